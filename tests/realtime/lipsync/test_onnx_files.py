"""ONNX exports as weights files, written here field by field as onnx.proto3 describes them."""

import contextlib
import math
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lipstream.realtime.errors import WeightsError
from lipstream.realtime.lipsync.network import Wav2Lip
from lipstream.realtime.lipsync.onnx_reader import read_initializers, read_values
from lipstream.realtime.lipsync.weights import read_weights

WIDTH = 0.0625
KINDS = {torch.float32: 1, torch.int64: 7, torch.float16: 10, torch.float64: 11, torch.bfloat16: 16}
HEAD = b"\x08\x09\x12\x07pytorch\x1a\x052.1.0"


def varint(value: int) -> bytes:
    rest, done = value, b""
    while rest > 0x7F:
        done += bytes([rest & 0x7F | 0x80])
        rest >>= 7
    return done + bytes([rest])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def part(field: int, content: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(content)) + content


def packed(dims: Iterable[int]) -> bytes:
    return part(1, b"".join(varint(dim) for dim in dims))


def unpacked(dims: Iterable[int]) -> bytes:
    return b"".join(number(1, dim) for dim in dims)


def tensor(name: str, value: torch.Tensor, *, field: int = 9, shape: Callable[..., bytes] = packed) -> bytes:
    """Return a TensorProto; its values are field 9, bytes, or 4, a packed list of floats."""
    content = value.contiguous().flatten().view(torch.uint8).numpy().tobytes() if value.numel() else b""
    return shape(value.shape) + number(2, KINDS[value.dtype]) + part(8, name.encode()) + part(field, content)


def model(*tensors: bytes) -> bytes:
    node = part(1, part(4, b"Conv") + part(1, b"crop"))
    return HEAD + part(7, node + b"".join(part(5, one) for one in tensors) + part(2, b"graph")) + part(8, number(2, 17))


def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(5)
    kept = Wav2Lip(WIDTH).state_dict()
    return {name: value for name, value in kept.items() if not name.endswith("num_batches_tracked")}


@pytest.mark.parametrize("prefix", ["", "model."])
@pytest.mark.parametrize(("field", "shape"), [(9, packed), (4, unpacked)])
def test_an_export_that_kept_its_names_is_the_network_itself(
    prefix: str, field: int, shape: Callable[..., bytes], tmp_path: Path
) -> None:
    given_values = state()
    tensors = [tensor(prefix + name, value, field=field, shape=shape) for name, value in given_values.items()]
    constants = [tensor("val_7", torch.tensor([1, 80])), tensor("/output/Constant", torch.tensor(2.0))]
    (tmp_path / "w.onnx").write_bytes(model(*tensors, *constants))
    network, metadata, form = read_weights(tmp_path / "w.onnx")
    assert (form, metadata.crop, metadata.size, metadata.width) == ("ONNX export", "detector", 96, WIDTH)
    found = network.state_dict()
    assert all(torch.equal(found[name], value) for name, value in given_values.items())


@pytest.mark.parametrize("dtype", KINDS)
def test_numbers_of_every_kind_are_read(dtype: torch.dtype, tmp_path: Path) -> None:
    value = torch.arange(6).reshape(2, 3).to(dtype)
    (tmp_path / "w.onnx").write_bytes(model(tensor("a", value), tensor("scalar", value[1, 2]), b"\x10\x08"))
    tensors = read_initializers(tmp_path / "w.onnx")
    assert set(tensors) == {"a", "scalar"}, "text is left out"
    values = read_values(tmp_path / "w.onnx", tensors)
    assert np.array_equal(values["a"], value.float().numpy())
    assert np.array_equal(values["scalar"], value[1, 2].float().numpy())
    assert values["scalar"].shape == ()


FIRST = "face_encoder_blocks.0.0.conv_block.0.weight"
ONE = torch.zeros(16, 6, 7, 7)
FUSED = "is an ONNX export in which convolutions and batch norms have become one: use the checkpoint"


@pytest.mark.parametrize(
    ("content", "meaning"),
    [
        (model(tensor("onnx::Conv_812", ONE), tensor("output_block.1.weight", ONE)), FUSED),
        (model(tensor(FIRST, ONE)), FUSED),
        (model(tensor(f"{FIRST}_scale", torch.ones(16)), tensor("b", ONE)), "is a quantised ONNX export"),
        (model(tensor("encoder.weight", ONE)), "has no tensor .* it is no Wav2Lip generator"),
        (model(tensor("audio", ONE) + number(14, 1)), "its tensors lie in another file"),
        (model(packed([3]) + number(2, 1) + part(8, b"a") + part(9, bytes(8))), "has another length than its shape"),
        (model(packed([2]) + number(2, 1) + part(8, b"a") + 2 * (varint(4 << 3 | 5) + bytes(4))), "than its shape"),
        (model(packed([1] * 9) + number(2, 1) + part(9, bytes(4))), "too many dimensions"),
        (model(tensor("a", ONE))[:-40], "ends too early"),
        (HEAD + part(7, b"\xff" * 12), "is damaged"),
        (HEAD + b"\x3b", "is damaged"),
    ],
)
def test_what_cannot_be_used_is_named(content: bytes, meaning: str, tmp_path: Path) -> None:
    (tmp_path / "w.onnx").write_bytes(content)
    with pytest.raises(WeightsError, match=rf"w\.onnx (is|has) .*{meaning}|w\.onnx {meaning}"):
        read_weights(tmp_path / "w.onnx")


def test_a_checkpoint_named_after_pytorch_is_no_export(tmp_path: Path) -> None:
    torch.save(state(), tmp_path / "pytorch_model.bin")
    assert read_weights(tmp_path / "pytorch_model.bin")[2] == "PyTorch checkpoint"


@settings(max_examples=150, deadline=None)
@given(places=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=6), kept=st.floats(0.2, 1))
def test_damage_is_refused_or_does_no_harm(
    places: list[tuple[float, int]], kept: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(model(*(tensor(f"layer.{at}", torch.ones(2, at)) for at in range(1, 5))))
    for place, value in places:
        content[min(int(place * len(content)), len(content) - 1)] = value
    path = tmp_path_factory.mktemp("onnx") / "w.onnx"
    path.write_bytes(content[: max(1, int(kept * len(content)))])
    with contextlib.suppress(WeightsError):
        values = read_values(path, read_initializers(path))
        assert sum(math.prod(one.shape) for one in values.values()) <= len(content)

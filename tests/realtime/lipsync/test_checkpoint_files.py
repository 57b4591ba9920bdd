"""Every form in which a Wav2Lip network comes, and files that are something else or damaged."""

import gzip
import io
import os
import pickle
import re
import tracemalloc
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from lipstream.avatar_cache.prepare import prepare
from lipstream.realtime.errors import WeightsError
from lipstream.realtime.lipsync.backends import create_predictor
from lipstream.realtime.lipsync.checkpoint_file import open_checkpoint
from lipstream.realtime.lipsync.graphs import FaceGraph, MouthGraph
from lipstream.realtime.lipsync.metadata import published_region
from lipstream.realtime.lipsync.network import Wav2Lip
from lipstream.realtime.lipsync.pickle_reader import Named, read_pickle
from lipstream.realtime.lipsync.predictor import MouthPredictor
from lipstream.realtime.lipsync.weights import load_weights
from tests.realtime.fakes import make_store

WIDTH = 0.0625


def small(layout: str = "published", size: int = 96) -> Wav2Lip:
    torch.manual_seed(3)
    network = Wav2Lip(WIDTH, size, layout_name=layout).eval()
    with torch.no_grad():
        for name, value in network.named_buffers():
            if name.endswith("running_mean"):
                value.normal_(std=0.1)
            elif name.endswith("running_var"):
                value.uniform_(0.5, 1.5)
            elif name.endswith("num_batches_tracked"):
                value.fill_(7)
    return network


@pytest.fixture(scope="module")
def network() -> Wav2Lip:
    return small()


def pixels(network: Wav2Lip) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return crops, mel windows, and the mouths that a back end should draw of them."""
    generator = torch.Generator().manual_seed(1)
    crops = torch.randint(0, 256, (2, network.size, network.size, 3), generator=generator, dtype=torch.uint8)
    mel = torch.rand(2, 80, 16, generator=generator) * 8 - 4
    with torch.no_grad():
        region = published_region(network.size)
        drawn = MouthGraph(network, region)(mel, crops, *FaceGraph(network, region)(crops))
    return crops.numpy(), mel.numpy(), drawn.numpy()


def traced(network: nn.Module, size: int = 96) -> torch.jit.ScriptModule:
    inputs = (torch.zeros(1, 1, 80, 16), torch.zeros(1, 6, size, size))
    script: torch.jit.ScriptModule = torch.jit.trace(network, inputs, check_trace=False)  # type: ignore[no-untyped-call]
    return script


class Wrapped(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, mel: torch.Tensor, face: torch.Tensor) -> torch.Tensor:
        drawn: torch.Tensor = self.model(mel, face)
        return drawn


def beside(state: dict[str, torch.Tensor]) -> dict[str, object]:
    """Return a checkpoint as training writes it: an optimizer of Adam's kind, steps, and a number of numpy's."""
    first = next(iter(state.values()))
    moments = {at: {"step": 3, "exp_avg": torch.ones_like(first), "exp_avg_sq": torch.ones(5)} for at in range(3)}
    return {
        "state_dict": OrderedDict(state),
        "optimizer": {"state": moments, "param_groups": [{"lr": 1e-4, "betas": (0.5, 0.999), "params": [0, 1, 2]}]},
        "global_step": 100_000,
        "global_epoch": 12,
        "loss": np.float64(0.03),
    }


def _save(form: str, network: Wav2Lip, path: Path) -> None:
    state = network.state_dict()
    modules = {f"module.{name}": tensor for name, tensor in state.items()}
    if form == "torchscript":
        traced(network).save(path)
    elif form == "torchscript of a wrapper":
        traced(Wrapped(network)).save(path)
    elif form == "safetensors":
        save_file(state, path)
    elif form == "module.safetensors":
        save_file({name: tensor.half() for name, tensor in modules.items()}, path, metadata={"format": "pt"})
    elif form == "whole module":
        torch.save(network, path)
    else:
        content = {"bare": state, "module": modules, "beside": beside(state), "legacy": beside(modules)}[form]
        torch.save(content, path, _use_new_zipfile_serialization=form != "legacy")


FORMS = ("bare", "module", "beside", "legacy", "torchscript", "torchscript of a wrapper", "whole module", "safetensors")


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_checkpoint_draws_the_same_pixels(form: str, network: Wav2Lip, tmp_path: Path) -> None:
    _save(form, network, tmp_path / "w.pth")
    loaded, metadata = load_weights(tmp_path / "w.pth")
    assert (metadata.width, metadata.size, metadata.head) == (WIDTH, 96, "paint")
    for name, tensor in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    assert np.array_equal(pixels(loaded)[2], pixels(network)[2])


Descendant = tuple[Wav2Lip, MouthPredictor]


@pytest.fixture(scope="module", params=[("tall", 192), ("odd-prelu", 288)], ids=lambda param: param[0])
def descendant(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Descendant:
    """Return a network and the back end that has its file; converting it leaves a thread pool behind."""
    network = small(*request.param)
    folder = tmp_path_factory.mktemp("descendant")
    torch.save({"state_dict": network.state_dict(), "optimizer": None}, folder / "w.pth")
    return network, create_predictor(folder / "w.pth", device="cpu", cache=folder, precision="fp32")


def test_descendants_load_and_draw_on_the_cpu(descendant: Descendant) -> None:
    network, predictor = descendant
    assert (predictor.metadata.layout, predictor.metadata.size) == (network.layout_name, network.size)
    crops, mel, drawn = pixels(network)
    features = predictor.encode_faces(crops)
    assert len(features.levels) == len(network.face_encoder_blocks) > 7
    mouths = predictor.predict(mel, features, np.arange(2))
    np.testing.assert_allclose(mouths.astype(int), drawn.astype(int), atol=1)


def test_an_avatar_has_as_many_levels_as_the_network(descendant: Descendant, tmp_path: Path) -> None:
    network, predictor = descendant
    avatar = make_store(tmp_path, {"ann": 5}).load("ann")
    for _ in range(2):  # made, then as it lies on the disk
        levels = prepare(avatar, predictor).features.levels
        assert [level.shape[0] for level in levels] == [avatar.manifest.frames] * len(network.face_encoder_blocks)


def test_halves_of_another_library_load_as_floats(network: Wav2Lip, tmp_path: Path) -> None:
    _save("module.safetensors", network, tmp_path / "w.safetensors")
    loaded, metadata = load_weights(tmp_path / "w.safetensors")
    assert metadata.window_offset_samples == -640
    assert loaded.output_block[1].weight.dtype == torch.float32
    torch.testing.assert_close(loaded.output_block[1].weight, network.output_block[1].weight, atol=1e-3, rtol=1e-3)


def test_of_a_checkpoint_with_an_optimizer_the_network_alone_is_read(network: Wav2Lip, tmp_path: Path) -> None:
    _save("beside", network, tmp_path / "w.pth")
    checkpoint = open_checkpoint(tmp_path / "w.pth")
    (tensors,) = checkpoint.maps
    assert set(tensors) == set(network.state_dict())


class Harm:
    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self._mark,)


@pytest.mark.parametrize("new", [True, False])
def test_code_beside_the_tensors_is_passed_over(new: bool, network: Wav2Lip, tmp_path: Path) -> None:
    content = {"hparams": Harm(tmp_path / "mark"), "state_dict": network.state_dict()}
    torch.save(content, tmp_path / "w.pth", _use_new_zipfile_serialization=new)
    loaded, _ = load_weights(tmp_path / "w.pth")
    assert np.array_equal(pixels(loaded)[2], pixels(network)[2])
    assert not (tmp_path / "mark").exists()


def _refusal(path: Path) -> str:
    with pytest.raises(WeightsError) as caught:
        load_weights(path)
    assert path.name in caught.value.message
    assert "\n" not in caught.value.message
    return caught.value.message


@pytest.mark.parametrize(
    ("names", "meaning"),
    [
        (("binary_pred.0.weight", "face_encoder_blocks.0.0.conv_block.0.weight"), "discriminator of picture quality"),
        (("face_encoder.0.conv_block.0.weight", "audio_encoder.0.conv_block.0.weight"), r"sync expert \(SyncNet\)"),
        (("conv1_1.weight", "conv3_3_norm.weight"), "the face detector S3FD"),
        (("module.sam.sa.conv1.weight",), r"attention over each skip connection \(SAM\)"),
        (("audio_refine.0.conv_block.0.weight",), "activations do not stand in the file"),
        (("fc.weight",), "it is no Wav2Lip generator"),
        (tuple(f"face_encoder_blocks.{at}.0.conv_block.0.weight" for at in range(10)), "10 face encoder blocks, which"),
        (tuple(f"face_encoder_blocks.{at}.0.conv_block.0.weight" for at in range(9)), "9 face encoder blocks, which"),
    ],
)
def test_what_is_no_network_of_the_family_is_named(names: tuple[str, ...], meaning: str, tmp_path: Path) -> None:
    torch.save({"state_dict": {name: torch.zeros(3, 3, 3, 3) for name in names}}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=rf"w\.pth (is|has) .*{meaning}"):
        load_weights(tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("name", "content", "meaning"),
    [
        ("w.onnx", b"\x08\x07\x12\x07pytorch\x1a\x051.0.0", "an ONNX export"),
        ("w.pth", b"\x08\x07\x12\x07pytorch\x1a\x051.0.0", "an ONNX export"),
        ("w.pth", b"\n<!DOCTYPE html><html>", "a web page, not a checkpoint"),
        ("w.pth", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer of Git LFS"),
        ("w.pth", b"", "empty"),
        ("w.onnx", b"", "empty"),
        ("w.pth", b"404: Not Found\n", "a text, not a checkpoint: it begins with '404: Not Found'"),
        ("w.pth", gzip.compress(b"weights"), "packed with gzip: unpack it first"),
        ("w.pth", b"w.pth".ljust(257, b"\0") + b"ustar", "a tar archive: unpack it first"),
    ],
)
def test_what_is_no_checkpoint_at_all_is_named(name: str, content: bytes, meaning: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    assert f"{name} is {meaning}" in _refusal(tmp_path / name)


@pytest.mark.filterwarnings("ignore:.torch.jit.freeze:DeprecationWarning")
def test_a_frozen_archive_is_named(network: Wav2Lip, tmp_path: Path) -> None:
    torch.jit.freeze(traced(network)).save(tmp_path / "w.pt")
    assert "frozen into its code" in _refusal(tmp_path / "w.pt")


def test_a_zip_of_something_else_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w.pth", "w") as file:
        file.writestr("word/document.xml", "")
    assert "a zip of something else" in _refusal(tmp_path / "w.pth")
    with zipfile.ZipFile(tmp_path / "w.pth", "w") as file:
        file.writestr("models/wav2lip.pth", "")
    assert "a zip of models/wav2lip.pth: unpack it first" in _refusal(tmp_path / "w.pth")


def test_what_is_no_regular_file_is_named_and_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "folder.pth").mkdir()
    assert "folder.pth is a folder: name the weights file in it" in _refusal(tmp_path / "folder.pth")
    os.mkfifo(tmp_path / "pipe.pth")
    assert "pipe.pth is no regular file" in _refusal(tmp_path / "pipe.pth")


@pytest.mark.parametrize("kept", [0.05, 0.5, 0.999])
def test_a_broken_download_is_named(kept: float, network: Wav2Lip, tmp_path: Path) -> None:
    _save("bare", network, tmp_path / "w.pth")
    whole = (tmp_path / "w.pth").read_bytes()
    (tmp_path / "w.pth").write_bytes(whole[: int(kept * len(whole))])
    assert "it ends too early, like a broken download" in _refusal(tmp_path / "w.pth")


Place = Callable[[dict[str, torch.Tensor]], object]


@pytest.mark.parametrize(
    "place",
    [
        lambda state: {b"state_dict": state, 7: None, (1, 2): "other"},
        lambda state: [{"step": 1}, (state, "more")],
        lambda state: {"model": {"generator": {"state_dict": state}}, "optimizer": beside(state)["optimizer"]},
    ],
)
def test_a_network_is_found_wherever_a_checkpoint_keeps_it(place: Place, network: Wav2Lip, tmp_path: Path) -> None:
    torch.save(place(network.state_dict()), tmp_path / "w.pth")
    loaded, _ = load_weights(tmp_path / "w.pth")
    assert all(torch.equal(loaded.state_dict()[name], tensor) for name, tensor in network.state_dict().items())


def test_a_checkpoint_that_holds_itself_is_read(network: Wav2Lip, tmp_path: Path) -> None:
    content: dict[str, object] = {"state_dict": network.state_dict()}
    content["self"] = [content]
    torch.save(content, tmp_path / "w.pth")
    assert load_weights(tmp_path / "w.pth")[1].size == 96


@pytest.mark.parametrize(
    ("change", "meaning"),
    [
        (lambda value: value.to(torch.float8_e4m3fn), "has numbers of a kind that is not read"),
        (lambda value: torch.quantize_per_tensor(value, 0.1, 0, torch.qint8), "is quantised: use the checkpoint"),
        (lambda value: nn.Parameter(value.to("meta")), r"has no values \(device meta\)"),
        (lambda value: value.to_sparse(), "is sparse: use the checkpoint"),
        (lambda value: (100 * value).to(torch.int32), "weight is of int32, not of floats"),
        (lambda value: value / 0, "weight holds numbers that are not finite"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*quantize_per_tensor:UserWarning", "ignore:.*torch.ao.quantization")
def test_tensors_that_cannot_be_drawn_with_are_named(
    change: Callable[[torch.Tensor], torch.Tensor], meaning: str, network: Wav2Lip, tmp_path: Path
) -> None:
    state = {name: change(value) if value.dim() == 4 else value for name, value in network.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "w.pth")
    assert re.search(meaning, _refusal(tmp_path / "w.pth"))


def archive(path: Path, root: bytes, storages: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("w/data.pkl", root)
        for key, data in storages.items():
            file.writestr(f"w/data/{key}", data)


def tensor(shape: tuple[int, ...], strides: tuple[int, ...], *, count: int, offset: int = 0) -> bytes:
    """Return a pickle of a map with the first tensor of a network, described as told."""

    class Storage:
        pass

    class Pickler(pickle.Pickler):
        def persistent_id(self, value: object) -> object:
            return ("storage", torch.FloatStorage, "0", "cpu", count) if value is Storage else None

    class Tensor:
        def __reduce__(self) -> tuple[object, tuple[object, ...]]:
            arguments: tuple[object, ...] = (Storage, offset, shape, strides, False, OrderedDict())
            return torch._utils._rebuild_tensor_v2, arguments

    buffer = io.BytesIO()
    Pickler(buffer, 2).dump(
        {
            "face_encoder_blocks.0.0.conv_block.0.weight": Tensor(),
            "face_encoder_blocks.6.0.conv_block.0.weight": Tensor(),
        }
    )
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("shape", "strides", "count", "offset", "message"),
    [
        ((2, 1, 3, 3), (0, 0, 0, 0), 16, 0, "a tensor is larger than its storage"),
        ((1, 1, 3, 3), (9, 9, 3, 1), 16, 9, "a tensor is larger than its storage"),
        ((1, 1, 3, 3), (9, 9, 3, 1), 17, 0, "it ends too early"),
        ((1, 1, 3, 3), (9, 9, 3, 1), 2**38, 0, "it names more bytes than it holds"),
        ((1, 1, 3, 3), (9, 9, 3, -1), 16, 0, "described in an unknown way"),
        ((1, 1, 3), (9, 9, 3, 1), 16, 0, "described in an unknown way"),
        ((1, 1, 3, 2**50), (9, 9, 3, 1), 16, 0, "described in an unknown way"),
        ((2**20, 1, 3, 3), (0, 0, 0, 0), 16, 0, "it names more bytes than it holds"),
    ],
)
def test_a_tensor_that_claims_more_than_there_is_is_refused(
    shape: tuple[int, ...], strides: tuple[int, ...], count: int, offset: int, message: str, tmp_path: Path
) -> None:
    archive(tmp_path / "w.pth", tensor(shape, strides, count=count, offset=offset), {"0": bytes(64)})
    assert message in _refusal(tmp_path / "w.pth")


def test_what_unpacks_to_more_than_the_file_is_refused(tmp_path: Path) -> None:
    count = 2**24
    root = tensor((1, 1, 3, 3), (9, 9, 3, 1), count=count)
    archive(tmp_path / "w.pth", root, {"0": bytes(4 * count)}, zipfile.ZIP_DEFLATED)
    assert (tmp_path / "w.pth").stat().st_size < 2**20
    assert "it names more bytes than it holds" in _refusal(tmp_path / "w.pth")
    archive(tmp_path / "v.pth", bytes(32 * 2**20), {}, zipfile.ZIP_DEFLATED)
    assert "data.pkl is too large" in _refusal(tmp_path / "v.pth")


def test_modules_that_hold_each_other_without_end_are_refused(tmp_path: Path) -> None:
    many = b"".join(b"X\x01\x00\x00\x00" + bytes([97 + at]) + b"h\x01" for at in range(10))  # ten times the last one
    root = b"\x80\x02c__torch__\nA\n)\x81q\x01" + b"c__torch__\nA\n)\x81}(" + many + b"ubq\x01"
    archive(tmp_path / "w.pth", root * 1 + (b"c__torch__\nA\n)\x81}(" + many + b"ubq\x01") * 20 + b".", {})
    assert "its modules have no end" in _refusal(tmp_path / "w.pth")
    itself = b"\x80\x02c__torch__\nA\n)\x81q\x01}(X\x01\x00\x00\x00ah\x01ub."
    archive(tmp_path / "v.pth", itself, {})
    assert "its modules have no end" in _refusal(tmp_path / "v.pth")


def test_many_modules_that_share_their_attributes_are_refused(tmp_path: Path) -> None:
    state = {f"a{at}": torch.nn.Parameter(torch.zeros(1)) for at in range(40)}
    modules = []
    for _ in range(1000):
        modules.append(nn.Module())
        modules[-1].__dict__ = state
    torch.save(modules, tmp_path / "w.pth")
    assert "its modules have no end" in _refusal(tmp_path / "w.pth")


def test_names_that_grow_without_end_are_refused(tmp_path: Path) -> None:
    module = nn.Module()
    module.register_buffer("a" * 2000, torch.zeros(1))
    torch.save(module, tmp_path / "w.pth")
    assert "its modules have no end" in _refusal(tmp_path / "w.pth")


def test_tensors_that_share_their_bytes_are_not_copied_for_each_name(network: Wav2Lip, tmp_path: Path) -> None:
    shared = torch.zeros(4 * 2**20)
    torch.save({name: shared.view(1, 1, 2048, -1) for name in network.state_dict()}, tmp_path / "w.pth")
    tracemalloc.start()
    try:
        checkpoint = open_checkpoint(tmp_path / "w.pth")
        with pytest.raises(WeightsError, match="it names more bytes than it holds"):
            checkpoint.read(checkpoint.maps[0])
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "value", [None, True, 3, 2**70, 0.5, "wörd", b"b", [1, [2]], (1, 2, 3, (4, ())), {"a": {3: 4}}]
)
@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_are_read_as_pickle_reads_them(value: object, protocol: int) -> None:
    data = pickle.dumps(value, protocol)
    if b"_codecs" not in data:  # bytes were a call then
        assert read_pickle(io.BytesIO(data)) == (value if value is not True or protocol > 1 else 1)


def test_a_call_is_kept_as_its_name() -> None:
    called = read_pickle(io.BytesIO(pickle.dumps(Path("x"))))
    assert isinstance(called, Named)
    assert called.name.endswith("PosixPath")


def test_a_key_of_tuples_without_end_does_not_end_the_process() -> None:
    depth = 300_000
    assert len(read_pickle(io.BytesIO(b"\x80\x02})" + b"\x85" * depth + b"K\x01s."))) == 1


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=200))
def test_a_pickle_of_any_bytes_gives_a_value_or_a_value_error(data: bytes) -> None:
    try:
        read_pickle(io.BytesIO(data))
    except ValueError:
        pass
    except BaseException as error:
        raise AssertionError(data) from error


@pytest.fixture(scope="module")
def samples(network: Wav2Lip, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("samples")
    few = {name: value for name, value in network.state_dict().items() if "encoder_blocks" in name}
    torch.save({"state_dict": few, "global_step": 3}, folder / "new")
    torch.save({"state_dict": few, "global_step": 3}, folder / "legacy", _use_new_zipfile_serialization=False)
    traced(network).save(folder / "torchscript")
    return {name: (folder / name).read_bytes() for name in ("new", "legacy", "torchscript")}


@settings(max_examples=60, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("form", ["new", "legacy", "torchscript"])
def test_damaged_files_load_or_get_one_sentence(
    form: str, samples: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(samples[form])
    path = tmp_path_factory.getbasetemp() / f"damaged-{form}.pth"
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        where = content.find(b"face_encoder_blocks") if data.draw(st.booleans()) else 0
        reach = 20_000 if where else len(content) - 1
        for _ in range(data.draw(st.integers(1, 8))):
            content[min(where + data.draw(st.integers(0, reach)), len(content) - 1)] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        load_weights(path)
    except WeightsError as error:
        said = error.message
    else:
        return
    assert path.name in said
    assert "\n" not in said

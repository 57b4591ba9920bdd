import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lipstream.realtime.errors import WeightsError
from lipstream.realtime.lipsync.metadata import (
    BUILT_IN_WEIGHTS,
    NO_PADS,
    PUBLISHED_PADS,
    Pads,
    Region,
    WeightsMetadata,
)
from lipstream.realtime.lipsync.network import AudioEncoderKind, Head, Wav2Lip
from lipstream.realtime.lipsync.stated_metadata import parse_metadata
from lipstream.realtime.lipsync.weights import load_weights, save_weights
from lipstream.realtime.lipsync.weights_file import read_file


@pytest.fixture(scope="module")
def network() -> Wav2Lip:
    torch.manual_seed(0)
    return Wav2Lip(0.125, 96, "copy", audio_width=0.25, ear="sliding").eval()


def _run(network: Wav2Lip) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    mel = torch.rand(1, 1, 80, 16, generator=generator)
    face: torch.Tensor = network(mel, torch.rand(1, 6, network.size, network.size, generator=generator))
    return face


@pytest.mark.parametrize(("size", "parameters"), [(96, 36_298_035), (128, 41_803_059), (256, 79_551_795)])
def test_the_published_network_has_its_published_size(size: int, parameters: int) -> None:
    with torch.device("meta"):
        network = Wav2Lip(1.0, size)
    assert sum(p.numel() for p in network.parameters()) == parameters


@pytest.mark.parametrize(
    ("layout", "size", "parameters"),
    [("tall", 256, 53_605_683), ("odd-prelu", 288, 48_520_815), ("odd", 288, 48_520_815 - 60)],
)
def test_descendants_have_the_sizes_of_their_published_code(layout: str, size: int, parameters: int) -> None:
    with torch.device("meta"):
        network = Wav2Lip(1.0, size, layout_name=layout)
    assert sum(p.numel() for p in network.parameters()) == parameters


@pytest.mark.parametrize(
    ("width", "size", "head", "ear"),
    [(0.25, 96, "paint", "published"), (0.25, 128, "copy", "sliding"), (0.1, 160, "paint", "both")],
)
def test_family_members_draw_a_face_in_range(width: float, size: int, head: Head, ear: AudioEncoderKind) -> None:
    face = _run(Wav2Lip(width, size, head, ear=ear).eval())
    assert face.shape == (1, 3, size, size)
    assert 0 <= face.min() <= face.max() <= 1


def test_a_sliding_ear_says_of_a_long_spectrogram_what_it_says_of_each_window() -> None:
    torch.manual_seed(0)
    ear = Wav2Lip(0.125, ear="sliding", audio_width=0.25).eval().audio_encoder
    sound = torch.rand(2, 1, 80, 40) * 8 - 4
    slid = ear(sound)
    assert slid.shape == (2, 64, 1, 25)
    assert slid.std() > 0
    for start in (0, 7, 24):
        torch.testing.assert_close(ear(sound[..., start : start + 16]), slid[..., start : start + 1])


@pytest.mark.parametrize(
    ("width", "size", "head", "layout"),
    [
        (0.25, 96, "paint", "published"),
        (0.25, 96, "copy", "published"),
        (0.125, 128, "copy", "published"),
        (0.0625, 256, "paint", "published"),
        (0.0625, 256, "copy", "published"),
        (0.0625, 256, "paint", "tall"),
        (0.0625, 288, "paint", "odd"),
        (0.0625, 288, "paint", "odd-prelu"),
    ],
)
@pytest.mark.parametrize("shares", [(0, 1, 0, 1), (0.5, 1, 0.125, 0.875), (0.57, 0.93, 0.31, 0.72), (0.1, 0.4, 0.8, 1)])
def test_what_is_left_out_changes_nothing_beside_it(
    width: float, size: int, head: Head, layout: str, shares: tuple[float, ...]
) -> None:
    torch.manual_seed(0)
    network = Wav2Lip(width, size, head, layout_name=layout).eval()
    with torch.no_grad():
        network.output_block[1].get_parameter("weight").mul_(40)
        mel, face = torch.rand(2, 1, 80, 16) * 8 - 4, torch.rand(2, 6, size, size)
        features, region = network.encode_face(face), Region(*(int(share * size) for share in shares))
        whole = network.decode(mel, features, face[:, 3:])
        part = network.decode(mel, network.encode_face(face, region), face[:, 3:], region)
    expected = whole[:, :, region.top : region.bottom, region.left : region.right]
    torch.testing.assert_close(part, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("layout", "size", "message"),
    [
        ("published", 64, "multiple of 32"),
        ("published", 100, "multiple of 32"),
        ("tall", 160, "multiple of 64"),
        ("odd", 96, "must be 288"),
        ("odd-prelu", 256, "must be 288"),
        ("round", 96, "no layout 'round'"),
    ],
)
def test_other_sizes_are_refused(layout: str, size: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Wav2Lip(0.25, size, layout_name=layout)


def test_our_own_files_come_back(network: Wav2Lip, tmp_path: Path) -> None:
    path, region = tmp_path / "own.safetensors", Region(40, 90, 10, 80)
    save_weights(
        network, path, window_offset_samples=-2600, decoded_region=region, licence="Apache-2.0", name="own",
        dtype=torch.float32,
    )  # fmt: skip
    loaded, metadata = load_weights(path)
    assert (metadata.width, metadata.audio_width, metadata.size) == (0.125, 0.25, 96)
    assert (metadata.head, metadata.ear) == (loaded.head, loaded.ear) == ("copy", "sliding")
    assert (metadata.decoded_region, metadata.window_offset_samples) == (region, -2600)
    assert metadata.look_ahead_samples == 800
    assert WeightsMetadata.from_json(metadata.to_json()) == metadata
    assert not loaded.training
    assert torch.equal(_run(loaded), _run(network))
    assert load_weights(path, window_offset_samples=-640)[1].window_offset_samples == -640


def test_fine_layers_come_back_with_their_weights(tmp_path: Path) -> None:
    network, path = Wav2Lip(0.125, 96, "copy", paint_scale=2), tmp_path / "fine.safetensors"
    save_weights(network, path, window_offset_samples=-2600, licence="CC0-1.0", name="fine", dtype=torch.float32)
    loaded, metadata = load_weights(path)
    assert (metadata.paint_scale, loaded.paint_scale) == (2, 2)
    assert WeightsMetadata.from_json(metadata.to_json()) == metadata
    for name, tensor in network.fine_paint.state_dict().items():
        assert torch.equal(tensor, loaded.fine_paint.state_dict()[name])


def test_only_a_copying_head_has_fine_paint() -> None:
    with pytest.raises(ValueError, match="head 'paint' has no paint of 2 times"):
        Wav2Lip(0.125, 96, "paint", paint_scale=2)


@pytest.mark.parametrize("wrapped", [True, False])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_official_checkpoints_load_strictly(wrapped: bool, prefix: str, tmp_path: Path) -> None:
    published = Wav2Lip(1.0, 96)
    state = {prefix + key: value for key, value in published.state_dict().items()}
    torch.save({"state_dict": state, "optimizer": None} if wrapped else state, tmp_path / "wav2lip.pth")
    network, metadata = load_weights(tmp_path / "wav2lip.pth")
    assert (metadata.width, metadata.size, metadata.window_offset_samples) == (1.0, 96, -640)
    assert (metadata.head, metadata.ear) == ("paint", "published")
    assert torch.equal(*(each.output_block[1].get_parameter("weight") for each in (network, published)))


@pytest.mark.parametrize(
    ("given", "crop", "pads"),
    [
        ({}, "lipstream", NO_PADS),
        ({"crop": "detector"}, "detector", PUBLISHED_PADS),
        ({"crop": "detector", "pads": "[4, 8, 1, -2]"}, "detector", Pads(4, 8, 1, -2)),
    ],
)
def test_the_crop_is_a_fact_of_the_file(given: dict[str, str], crop: str, pads: Pads) -> None:
    metadata = parse_metadata(META | given, path=Path("own.safetensors"), sha256="b" * 64)
    assert (metadata.crop, metadata.pads) == (crop, pads)
    assert WeightsMetadata.from_json(metadata.to_json()) == metadata


def test_a_crop_is_saved_with_the_weights(tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    save_weights(
        Wav2Lip(0.125, 96), path, window_offset_samples=-640, licence="CC0-1.0", name="own",
        crop="detector", pads=Pads(0, 20, 0, 0),
    )  # fmt: skip
    _, metadata = load_weights(path)
    assert (metadata.crop, metadata.pads) == ("detector", Pads(0, 20, 0, 0))


class Malicious:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (eval, ("__import__('pathlib').Path('harm').touch()",))


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": Malicious()}, tmp_path / "bad.pth")
    with pytest.raises(WeightsError, match=r"bad\.pth is not a checkpoint of plain tensors"):
        load_weights(tmp_path / "bad.pth")
    assert not (tmp_path / "harm").exists()


def _state(network: Wav2Lip) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in network.state_dict().items()}


META = {
    "format": "lipstream-weights-1", "width": "0.125", "audio_width": "0.25", "size": "96", "head": "copy",
    "ear": "sliding",
    "window_offset_samples": "-2600", "decoded_region": "[48, 96, 0, 96]",
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s, m: s.pop("audio_encoder.3.conv_block.0.weight"), "audio_encoder.3.conv_block.0.weight is missing"),
        (lambda s, m: s.update(extra=torch.zeros(1)), "unexpected tensor extra"),
        (
            lambda s, m: s.update({"output_block.1.bias": torch.zeros(3)}),
            r"output_block.1.bias has shape \[3\], expected \[6\]",
        ),
        (lambda s, m: m.pop("size"), "metadata is incomplete: 'size'"),
        (lambda s, m: m.update(format="other"), "'format' is 'other'"),
        (lambda s, m: m.update(head="draw"), "'head' is 'draw', expected 'paint' or 'copy'"),
        (lambda s, m: m.update(ear="deaf"), "'ear' is 'deaf', expected 'published' or 'sliding' or 'both'"),
        (lambda s, m: m.update(crop="circle"), "'crop' is 'circle', expected 'lipstream' or 'detector'"),
        (lambda s, m: m.update(crop="detector", pads="[0, 10]"), "pads are four whole numbers of pixels"),
        (lambda s, m: m.update(layout="round"), "'layout' is 'round', expected 'published' or 'tall' or"),
        (lambda s, m: m.update(layout="tall"), "multiple of 64, at least 192, not 96"),
        (lambda s, m: m.update(width="4000000"), "4e[+]06 wide, expected 4 at most"),
        (lambda s, m: m.update(width="nan"), "nan wide"),
        (lambda s, m: m.update(decoded_region=json.dumps([48, 97, 0, 96])), "not inside the 96 px crop"),
        (lambda s, m: m.update(window_offset_samples="-5000"), "ends before its frame"),
        (lambda s, m: m.update(window_offset_samples="999999999"), "999999999 waits too long, expected 12600 at most"),
        (lambda s, m: m.update(decoded_region="[" * 100_000), "metadata is incomplete: maximum recursion depth"),
        (lambda s, m: m.update(width="x" * 100_000), "metadata is incomplete: could not convert .{,2000}$"),
        (
            lambda s, m: s.update({"\x1b[2J" + 300 * "k": torch.zeros(1)}),
            "unexpected tensor \N{REPLACEMENT CHARACTER}.{98}…$",
        ),
        (lambda s, m: m.update(paint_scale="3"), "'paint_scale' is 3, expected 1 or 2"),
        (lambda s, m: m.update(head="paint", paint_scale="2"), "'paint_scale' is 2, expected 1$"),
        (lambda s, m: m.update(paint_scale="2"), "tensor fine_paint[.].* is missing"),
        (
            lambda s, m: m.update(paint_scale="2", decoded_region=json.dumps([48, 95, 0, 96])),
            r"a decoded region with even edges, not \(48, 95, 0, 96\)",
        ),
    ],
)
def test_a_wrong_file_gets_one_sentence_about_the_first_mismatch(
    change: Callable[[dict[str, torch.Tensor], dict[str, str]], object], message: str, network: Wav2Lip, tmp_path: Path
) -> None:
    state, meta = _state(network), dict(META)
    change(state, meta)
    save_file(state, tmp_path / "w.safetensors", metadata=meta)
    with pytest.raises(WeightsError, match=message) as caught:
        load_weights(tmp_path / "w.safetensors")
    assert "\n" not in caught.value.message


def test_texts_of_a_file_are_one_line_of_printable_characters(network: Wav2Lip, tmp_path: Path) -> None:
    texts = {"name": "\x1b]0;title\x07Ada\nBen", "licence": 1000 * "MIT "}
    save_file(_state(network), tmp_path / "w.safetensors", metadata=META | texts)
    _, metadata = load_weights(tmp_path / "w.safetensors")
    assert metadata.name == "\N{REPLACEMENT CHARACTER}]0;title\N{REPLACEMENT CHARACTER}Ada\N{REPLACEMENT CHARACTER}Ben"
    assert len(metadata.licence) == 200


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize("content", [b"", b"\x00" * 64, b"PK\x03\x04 not a zip", b"{}"])
def test_rubbish_is_refused(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=name):
        load_weights(tmp_path / name)
    with pytest.raises(WeightsError, match="cannot read the weights file"):
        load_weights(tmp_path / f"no-{name}")


def test_fine_paint_corrects_where_the_crop_has_the_mouth() -> None:
    ours = read_file(BUILT_IN_WEIGHTS).metadata
    assert ours.fine_window == Region(52, 72, 24, 72)
    assert dataclasses.replace(ours, size=288, decoded_region=Region(144, 200, 36, 252)).fine_window == Region(
        156, 200, 72, 216
    ), "no more than the region"
    for unknown in (
        dataclasses.replace(ours, crop="detector"),
        dataclasses.replace(ours, decoded_region=Region(80, 96, 12, 84)),
    ):
        assert unknown.fine_window == unknown.decoded_region

"""Damaged graphs of OpenVINO are noticed, and converted again, once."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from lipstream.realtime.lipsync import openvino_backend
from lipstream.realtime.lipsync.backends import create_predictor
from lipstream.realtime.lipsync.network import Wav2Lip
from lipstream.realtime.lipsync.openvino_backend import convert, quantized
from lipstream.realtime.lipsync.sealed_folder import is_whole, seal
from lipstream.realtime.lipsync.weights import save_weights
from tests.realtime.fakes import REGION

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "emptied": lambda _: b"",
    "cut": lambda data: data[:-1],
    "zeroed": lambda data: bytes(len(data)),
    "a list": lambda _: b"[1]",
}


@pytest.mark.parametrize("damage", [*DAMAGES, "missing"])
@pytest.mark.parametrize("name", ["a.bin", "b.xml", "seal"])
def test_a_sealed_folder_notices_each_damage(tmp_path: Path, name: str, damage: str) -> None:
    names = ("a.bin", "b.xml")
    for each in names:
        (tmp_path / each).write_bytes(each.encode() * 100)
    assert is_whole(tmp_path, "seal", names), "files of earlier versions have no seal"
    seal(tmp_path, "seal", names)
    assert is_whole(tmp_path, "seal", names)
    path = tmp_path / name
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(DAMAGES[damage](path.read_bytes()))
    assert is_whole(tmp_path, "seal", names) == (name == "seal" and damage == "missing")


def test_graphs_that_cannot_be_read_are_converted_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    torch.manual_seed(3)
    weights = tmp_path / "random.safetensors"
    network = Wav2Lip(0.125, 96, "copy", ear="both").eval()
    save_weights(network, weights, window_offset_samples=-2600, decoded_region=REGION, licence="CC0-1.0", name="random")

    def draw() -> np.ndarray:
        predictor = create_predictor(weights, device="cpu", cache=tmp_path, threads=1, precision="fp32")
        crops = np.random.default_rng(1).integers(0, 255, (1, 96, 96, 3), np.uint8)
        mel = np.random.default_rng(2).uniform(-4, 4, (1, 80, 16)).astype(np.float32)
        return predictor.predict(mel, predictor.encode_faces(crops), np.zeros(1, np.int64))

    expected = draw()
    folder = convert(weights, tmp_path)
    made_at = (folder / "mouth.xml").stat().st_mtime_ns
    for path in (folder / "compiled").iterdir():
        path.write_bytes(path.read_bytes()[:100])
    (folder / "graphs.sums.json").unlink()  # as earlier versions left them
    assert np.array_equal(draw(), expected)
    assert (folder / "mouth.xml").stat().st_mtime_ns == made_at, "what OpenVINO keeps for itself it makes again itself"
    assert not caplog.records

    (folder / "metadata.json").write_text("[]")
    with caplog.at_level(logging.WARNING):
        assert np.array_equal(draw(), expected)
    assert "cannot be used, and is made again" in caplog.text
    assert (folder / "mouth.xml").stat().st_mtime_ns != made_at
    assert not list(tmp_path.glob(".*")), "nothing is left of the damaged ones"


def test_damaged_eight_bits_are_fitted_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Fitting(Exception):  # noqa: N818 (a signal, not an error)
        """Raised where the fitting would begin."""

    def begin() -> None:
        raise Fitting

    monkeypatch.setattr(openvino_backend.ov, "Core", begin)
    names = ("mouth-int8.bin", "mouth-int8.xml")
    for name in names:
        (tmp_path / name).write_bytes(b"eight bits")
    seal(tmp_path, "int8.sums.json", names)
    assert quantized(tmp_path) == tmp_path / names[1]
    (tmp_path / names[0]).write_bytes(b"eight bit")
    with pytest.raises(Fitting):
        quantized(tmp_path)

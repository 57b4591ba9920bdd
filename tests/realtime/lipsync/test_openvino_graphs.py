"""What OpenVINO's graphs draw is what torch's network draws, of each kind of layer and network."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from lipstream.realtime.lipsync.fields import unpack_fields
from lipstream.realtime.lipsync.graphs import FaceGraph
from lipstream.realtime.lipsync.layers import AudioEncoderKind, Head, plan
from lipstream.realtime.lipsync.metadata import BUILT_IN_WEIGHTS, Region
from lipstream.realtime.lipsync.network import Wav2Lip
from lipstream.realtime.lipsync.openvino_backend import CALIBRATION, OpenVinoPredictor
from lipstream.realtime.lipsync.predictor import FaceFeatures, as_encoded
from lipstream.realtime.lipsync.torch_backend import TorchPredictor
from lipstream.realtime.lipsync.weights import load_weights, save_weights
from tests.realtime.fakes import FakePredictor, make_store, worker_settings

LEAST_PSNR_DB = 60.0
Kind = tuple[float, int, Head, AudioEncoderKind, str, int]
KINDS: tuple[Kind, ...] = (
    (0.25, 96, "copy", "both", "published", 1),
    (0.25, 96, "copy", "both", "published", 2),
    (0.125, 96, "paint", "published", "published", 1),
    (0.125, 128, "copy", "sliding", "published", 1),
    (0.0625, 192, "paint", "published", "tall", 1),
    (0.0625, 288, "copy", "published", "odd", 2),
    (0.0625, 288, "paint", "published", "odd-prelu", 1),
)


def random_weights(path: Path, kind: Kind) -> Path:
    """Write a random network whose norms and slopes do something, and whose output depends on all that is given."""
    width, size, head, ear, layout, scale = kind
    torch.manual_seed(7)
    network = (
        Wav2Lip(width, size, head, ear=ear, layout_name=layout, paint_scale=scale)
        .eval()
        .requires_grad_(requires_grad=False)
    )
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for values in (layer.weight, layer.get_buffer("running_var")):
                values.uniform_(0.5, 1.5)
            for values in (layer.bias, layer.get_buffer("running_mean")):
                values.normal_(std=0.2)
        elif isinstance(layer, nn.PReLU):
            layer.weight.uniform_(0.05, 0.4)
    network.output_block[1].get_parameter("weight").mul_(20 if head == "copy" else 3)
    if scale == 2:
        network.fine_paint.correct.weight.normal_(std=0.5)
    region = Region(size // 2, size - 2, size // 8, size - size // 8)
    save_weights(
        network, path, window_offset_samples=-640, decoded_region=region, licence="CC0-1.0", name="random",
        dtype=torch.float32,
    )  # fmt: skip
    return path


def faces(size: int) -> np.ndarray:
    ramp = np.linspace(0, 255, size)
    rng = np.random.default_rng(0)
    crops = [np.add.outer(ramp * rng.random(), ramp * rng.random()) % 256 for _ in range(9)]
    return np.ascontiguousarray(np.stack(crops).reshape(3, 3, size, size).transpose(0, 2, 3, 1).astype(np.uint8))


def psnr_db(found: np.ndarray, expected: np.ndarray, peak: float) -> float:
    return float(10 * np.log10(peak**2 / max(np.square(found.astype(float) - expected).mean(), 1e-9)))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(map(str, kind)))
def test_openvino_draws_what_torch_draws(kind: Kind, tmp_path: Path) -> None:
    weights = random_weights(tmp_path / "w.safetensors", kind)
    compiled = OpenVinoPredictor(weights, tmp_path, precision="f32")
    eager = TorchPredictor(weights, device="cpu")
    crops, frames = faces(kind[1]), np.array([0, 1, 2, 1, 0])
    mel = np.random.default_rng(1).uniform(-4, 4, (5, 80, 16)).astype(np.float32)
    features, expected = compiled.encode_faces(crops), eager.encode_faces(crops)
    assert [level.shape for level in features.levels] == [level.shape for level in expected.levels]
    mouths = eager.predict(mel, expected, frames)
    assert mouths.std() > 10, "there is something to compare"
    assert psnr_db(compiled.predict(mel, features, frames), mouths, 255) >= LEAST_PSNR_DB
    if kind[2] == "copy":
        found, fields = (unpack_fields(each.predict_fields(mel, features, frames)) for each in (compiled, eager))
        assert fields[0].std() > 0.002, "in shares of the crop"
        assert psnr_db(found[0], fields[0], 0.25) >= LEAST_PSNR_DB
        assert psnr_db(found[1], fields[1], 255) >= LEAST_PSNR_DB


def test_levels_that_were_kept_whole_draw_the_same(tmp_path: Path) -> None:
    eager = TorchPredictor(BUILT_IN_WEIGHTS, device="cpu")
    compiled = OpenVinoPredictor(BUILT_IN_WEIGHTS, tmp_path, precision="f32")
    crops, frames = faces(96), np.array([0, 2])
    mel = np.random.default_rng(3).uniform(-4, 4, (2, 80, 16)).astype(np.float32)
    network, _ = load_weights(BUILT_IN_WEIGHTS)
    with torch.no_grad():
        whole = FaceGraph(network, Region(0, 96, 0, 96))(torch.from_numpy(crops))
    kept = FaceFeatures(tuple(level.numpy() for level in whole), crops)
    assert [level.shape[2] for level in kept.levels] == [96, 48, 24, 12, 6, 3, 1]
    for predictor in (eager, compiled):
        encoded = predictor.encode_faces(crops)
        features = as_encoded(predictor, kept)
        assert [level.shape for level in features.levels] == [level.shape for level in encoded.levels]
        assert sum(level[0].size for level in encoded.levels) < 0.5 * sum(level[0].size for level in kept.levels)
        drawn, expected = (predictor.predict(mel, each, frames) for each in (features, encoded))
        assert np.abs(drawn.astype(int) - expected).max() <= 1
    assert as_encoded(FakePredictor(worker_settings(make_store(tmp_path, {}), "")), kept) is kept


def test_of_the_built_in_weights_the_code_and_the_mouths_are_torchs(tmp_path: Path) -> None:
    compiled = OpenVinoPredictor(BUILT_IN_WEIGHTS, tmp_path, precision="f32")
    eager = TorchPredictor(BUILT_IN_WEIGHTS, device="cpu")
    with np.load(CALIBRATION) as known:
        mel, crops = known["mel"][:24].astype(np.float32), known["crops"]
    frames = np.arange(24) % len(crops)
    np.testing.assert_allclose(compiled.encode_speech(mel), eager.encode_speech(mel), atol=1e-4)
    features = eager.encode_faces(crops)
    found, expected = (each.predict(mel, features, frames) for each in (compiled, eager))
    assert psnr_db(found, expected, 255) >= LEAST_PSNR_DB


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(map(str, kind)))
def test_the_layers_name_the_tensors_of_the_network(kind: Kind) -> None:
    width, size, head, ear, layout, scale = kind
    with torch.device("meta"):
        network = Wav2Lip(width, size, head, ear=ear, layout_name=layout, paint_scale=scale)
    expected = [(name, tuple(tensor.shape)) for name, tensor in network.state_dict().items()]
    layers = plan(width, size, head, ear=ear, layout_name=layout, paint_scale=scale)
    assert list(layers.shapes().items()) == expected


@pytest.mark.parametrize("form", ["w.safetensors", "w.pth"])
def test_a_file_of_ones_own_is_drawn_without_torch(form: str, tmp_path: Path) -> None:
    weights = random_weights(tmp_path / "w.safetensors", KINDS[2])
    if form == "w.pth":
        weights = tmp_path / form
        torch.save({"state_dict": load_weights(tmp_path / "w.safetensors")[0].state_dict(), "epoch": 3}, weights)
    program = (
        "import sys, pathlib; sys.modules['torch'] = None\n"
        "from lipstream.realtime.lipsync.backends import create_predictor\n"
        f"create_predictor(pathlib.Path({str(weights)!r}), device='cpu', cache=pathlib.Path({str(tmp_path)!r}))\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=120).returncode == 0

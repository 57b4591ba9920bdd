import logging
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
import torch

from lipstream.realtime.errors import SettingsError
from lipstream.realtime.lipsync import backends
from lipstream.realtime.lipsync.backends import create_predictor
from lipstream.realtime.lipsync.fields import unpack_fields
from lipstream.realtime.lipsync.layers import within
from lipstream.realtime.lipsync.metadata import BUILT_IN_WEIGHTS, Region
from lipstream.realtime.lipsync.network import Wav2Lip
from lipstream.realtime.lipsync.openvino_backend import CALIBRATION, OpenVinoPredictor, quantized
from lipstream.realtime.lipsync.predictor import CodedPredictor, MouthPredictor, StagedPredictor, draw_with
from lipstream.realtime.lipsync.quantize import LEAST_CHANNELS
from lipstream.realtime.lipsync.torch_backend import BATCHES, TorchPredictor
from lipstream.realtime.lipsync.weights import save_weights

REGION = Region(48, 94, 10, 84)


@pytest.fixture(scope="module", params=[("copy", "both"), ("paint", "published")], ids=lambda param: param[0])
def weights(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random network whose output depends on everything it is given."""
    torch.manual_seed(3)
    head, ear = request.param
    network = Wav2Lip(0.125, 96, head, ear=ear).eval()
    with torch.no_grad():
        network.output_block[1].get_parameter("weight").mul_(40 if head == "copy" else 3)
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    save_weights(network, path, window_offset_samples=-2600, decoded_region=REGION, licence="CC0-1.0", name="random")
    return path


@pytest.fixture(scope="module")
def cache(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the graphs of eight bits."""
    return tmp_path_factory.mktemp("cache")


def _inputs(count: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 255, 96)
    crops = np.stack([np.add.outer(ramp * rng.random(), ramp * rng.random()) % 256 for _ in range(count * 3)])
    crops = crops.reshape(count, 3, 96, 96).transpose(0, 2, 3, 1).astype(np.uint8)
    return rng.uniform(-4, 4, (count, 80, 16)).astype(np.float32), np.ascontiguousarray(crops)


def _draw(predictor: MouthPredictor) -> np.ndarray:
    mel, crops = _inputs()
    return predictor.predict(mel, predictor.encode_faces(crops), np.arange(len(crops)))


def test_both_back_ends_draw_what_the_network_draws(weights: Path, cache: Path) -> None:
    predictor = TorchPredictor(weights, device="cpu")
    mel, crops = _inputs()
    mouths = _draw(predictor)
    assert mouths.shape == (5, REGION.height, REGION.width, 3)
    network = predictor._mouth.network
    faces = torch.from_numpy(crops).permute(0, 3, 1, 2) / 255
    target = faces.clone()
    target[:, :, 48:] = 0
    whole = network(torch.from_numpy(mel)[:, None], torch.cat((target, faces), dim=1))
    expected = (whole[:, :, 48:94, 10:84].permute(0, 2, 3, 1) * 255).round().numpy()
    assert np.abs(mouths - expected).max() <= 1
    compiled = OpenVinoPredictor(weights, cache, precision="f32")
    assert compiled.metadata == predictor.metadata
    assert np.abs(_draw(compiled).astype(int) - mouths).max() <= 2


def test_both_back_ends_draw_the_same_fine_fields(tmp_path: Path) -> None:
    torch.manual_seed(5)
    network = Wav2Lip(0.125, 96, "copy", ear="both", paint_scale=2).eval()
    with torch.no_grad():
        network.output_block[1].get_parameter("weight").mul_(40)
        network.fine_paint.correct.weight.normal_(std=0.5)
    path = tmp_path / "fine.safetensors"
    save_weights(network, path, window_offset_samples=-2600, decoded_region=REGION, licence="CC0-1.0", name="fine")
    mel, crops = _inputs()
    drawn = []
    for predictor in (
        TorchPredictor(path, device="cpu"),
        OpenVinoPredictor(path, tmp_path, precision="f32"),
        OpenVinoPredictor(path, tmp_path, precision="int8"),
    ):
        assert predictor.metadata.paint_scale == 2
        draw, pixel_bytes = draw_with(predictor)
        mouths = draw(mel, predictor.encode_faces(crops), np.arange(len(crops)))
        assert mouths.shape == (5, REGION.height, REGION.width, pixel_bytes)
        drawn.append([unpack_fields(mouth) for mouth in mouths])
    for name, tolerance, others in (("f32", 0.2, drawn[1]), ("int8", 4, drawn[2])):
        for (flow, paint), (other_flow, other_paint) in zip(drawn[0], others, strict=True):
            assert paint.shape == (2 * REGION.height, 2 * REGION.width, 4)
            assert np.abs(paint - other_paint).mean() < tolerance, name
            assert np.abs(flow - other_flow).mean() < tolerance / 96, name
    window = within(predictor.metadata.fine_window, REGION)
    finest = drawn[0][0][1][2 * window.top : 2 * window.bottom, 2 * window.left : 2 * window.right]
    assert np.abs(finest[0::2] - finest[1::2]).mean() > 1, "its rows are no pairs"


def test_codes_are_drawn_as_the_windows_that_they_come_from(weights: Path, cache: Path) -> None:
    mel, crops = _inputs(11)
    for predictor in (
        TorchPredictor(weights, device="cpu"),
        OpenVinoPredictor(weights, cache, precision="f32"),
    ):
        assert isinstance(predictor, CodedPredictor)
        if not predictor.metadata.articulates:
            continue
        features, frames = predictor.encode_faces(crops), np.arange(11)[::-1].copy()
        codes = predictor.encode_speech(mel)
        assert len(codes) == 11
        expected = predictor.predict(mel, features, frames)
        assert np.abs(predictor.draw_mouths(codes, features, frames).astype(int) - expected).max() <= 1


def test_the_processors_own_precision_is_close(weights: Path, cache: Path) -> None:
    difference = _draw(create_predictor(weights, device="cpu", cache=cache)).astype(int) - _draw(
        TorchPredictor(weights, device="cpu")
    )
    assert np.abs(difference).mean() < 1.5


@pytest.mark.parametrize("weights", [("copy", "both")], indirect=True, ids=["copy"])
def test_damaged_graphs_of_eight_bits_are_made_again(
    weights: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    graph = quantized(weights, tmp_path)["mouth"]
    values = graph.with_suffix(".bin")
    size, made_at = values.stat().st_size, graph.stat().st_mtime_ns
    assert quantized(weights, tmp_path)["mouth"].stat().st_mtime_ns == made_at
    values.write_bytes(b"cut")
    with caplog.at_level(logging.WARNING):
        create_predictor(weights, device="cpu", cache=tmp_path, threads=1, precision="int8")
    assert "is damaged, and is made again" in caplog.text
    assert values.stat().st_size == size
    assert [path.name for path in tmp_path.iterdir()] == [graph.parent.name]


def test_eight_bits_draw_nearly_what_floats_draw(tmp_path: Path) -> None:
    assert quantized(BUILT_IN_WEIGHTS, tmp_path) == quantized(BUILT_IN_WEIGHTS, tmp_path)
    with np.load(CALIBRATION) as known:  # mirrored in time and in space: sounds and faces that were not fitted to
        mel, crops = known["mel"][:, :, ::-1].astype(np.float32), known["crops"][:, :, ::-1].copy()
    frames = np.arange(len(mel)) % len(crops)
    mouths = []
    for precision in ("f32", "int8"):
        predictor = OpenVinoPredictor(BUILT_IN_WEIGHTS, tmp_path, precision=precision)
        mouths.append(predictor.predict(mel, predictor.encode_faces(crops), frames))
    error = np.subtract(*mouths, dtype=float)
    assert 10 * np.log10(255**2 / np.square(error).mean()) > 45
    assert np.abs(error).max() > 2, "they are eight bits"


def test_wide_convolutions_have_eight_bits_and_thin_ones_keep_theirs(weights: Path, cache: Path) -> None:
    model = ov.Core().read_model(quantized(weights, cache)["mouth"])
    of: dict[bool, set[int]] = {True: set(), False: set()}
    for op in model.get_ops():
        if op.get_type_name() in ("Convolution", "ConvolutionBackpropData"):
            rounded = {op.input_value(at).get_node().get_type_name() == "FakeQuantize" for at in (0, 1)}
            assert len(rounded) == 1, "both of what is multiplied, or none"
            of[rounded.pop()].add(min(op.input_value(1).get_shape()[:2]))
    assert min(of[True]) >= LEAST_CHANNELS > max(of[False])


def test_a_frame_does_not_depend_on_its_batch(weights: Path, cache: Path) -> None:
    predictor = create_predictor(weights, device="cpu", cache=cache)
    mel, crops = _inputs(15)
    features = predictor.encode_faces(crops)
    alone = np.concatenate([predictor.predict(mel[i : i + 1], features, np.array([i])) for i in range(15)])
    for size in range(1, 16):
        frames = np.arange(size)[::-1].copy()
        together = predictor.predict(mel[frames], features, frames)
        assert np.abs(alone[frames].astype(int) - together).max() <= 2


def test_a_quick_start_draws_while_the_larger_batches_are_compiled(weights: Path, cache: Path) -> None:
    whole = OpenVinoPredictor(weights, cache, precision="f32")
    quick = OpenVinoPredictor(weights, cache, precision="f32", quick_start=True)
    assert isinstance(quick, StagedPredictor)
    expected = _draw(whole).astype(int)
    completing = threading.Thread(target=quick.complete)
    assert np.abs(_draw(quick) - expected).max() <= 1
    completing.start()
    assert np.abs(_draw(quick) - expected).max() <= 1
    completing.join()
    assert np.array_equal(_draw(quick), expected)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_short_numbers_draw_what_long_ones_draw_at_every_batch(weights: Path, precision: str) -> None:
    """The code for CUDA without the capture: half precision, a padded batch, faces gathered by index."""
    short = TorchPredictor(weights, device="cpu", precision=precision)
    long = TorchPredictor(weights, device="cpu", precision="fp32")
    mel, crops = _inputs(BATCHES[-1] + 3)
    mouths = [p.predict(mel, p.encode_faces(crops), np.arange(len(mel))[::-1].copy()) for p in (short, long)]
    assert mouths[0].shape == mouths[1].shape == (len(mel), REGION.height, REGION.width, 3)
    assert np.abs(np.subtract(*mouths, dtype=int)).max() <= (2 if precision == "fp16" else 24)
    features = long.encode_faces(crops)
    for count in sorted({*BATCHES, *(size - 1 for size in BATCHES[2:])}):
        frames = np.arange(count)[::-1].copy()
        alone = mouths[1][len(mel) - count :]
        assert np.abs(long.predict(mel[-count:], features, frames).astype(int) - alone).max() <= 1


def test_without_openvino_torch_draws_the_same_and_says_so(
    weights: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    expected = _draw(create_predictor(weights, device="cpu", cache=cache, precision="fp32")).astype(int)
    assert not caplog.records
    monkeypatch.setattr(backends, "openvino_backend", None)
    threads = torch.get_num_threads()
    try:
        predictor = create_predictor(weights, device="cpu", cache=cache, threads=1)
    finally:
        torch.set_num_threads(threads)
    assert isinstance(predictor, TorchPredictor)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert np.abs(_draw(predictor) - expected).max() <= 2
    with pytest.raises(SettingsError, match="needs OpenVINO"):
        create_predictor(weights, device="cpu", cache=cache, precision="int8")


def test_a_server_imports_all_it_needs_where_openvino_is_missing() -> None:
    program = "import sys; sys.modules['openvino'] = None; import lipstream.realtime.api.app; "
    program += "import lipstream.realtime.workers.render_loading"
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=120).returncode == 0

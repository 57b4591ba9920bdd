"""What a card draws, against what the CPU does. Needs nothing but torch: ``make bench-cuda`` runs it by itself.

Without a card the processor takes its place, and all but the capture is the same code. ``CARD=required`` refuses that.
"""

import gc
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from lipstream.realtime.lipsync.card import Processor, open_device
from lipstream.realtime.lipsync.metadata import BUILT_IN_WEIGHTS, Region
from lipstream.realtime.lipsync.network import Wav2Lip
from lipstream.realtime.lipsync.predictor import FaceFeatures
from lipstream.realtime.lipsync.torch_backend import BATCHES, TorchPredictor
from lipstream.realtime.lipsync.weights import save_weights

REGION = Region(48, 94, 10, 84)
NEEDED = os.environ.get("CARD") == "required"
needs_card = pytest.mark.skipif(not NEEDED and not torch.cuda.is_available(), reason="needs a CUDA device")
Sound = tuple[np.ndarray, np.ndarray]


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


@pytest.fixture
def device() -> str | Processor:
    return "cuda" if NEEDED or torch.cuda.is_available() else Processor()


def _inputs(count: int) -> Sound:
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 255, 96)
    crops = np.stack([np.add.outer(ramp * rng.random(), ramp * rng.random()) % 256 for _ in range(count * 3)])
    crops = crops.reshape(count, 3, 96, 96).transpose(0, 2, 3, 1).astype(np.uint8)
    return rng.uniform(-4, 4, (count, 80, 16)).astype(np.float32), np.ascontiguousarray(crops)


def _draw(predictor: TorchPredictor, count: int) -> np.ndarray:
    mel, crops = _inputs(count)
    return predictor.predict(mel, predictor.encode_faces(crops), np.arange(count))


@pytest.mark.parametrize(("precision", "most", "mean"), [("fp16", 6, 0.3), ("bf16", 32, 1.5), ("fp32", 6, 0.3)])
def test_every_precision_draws_what_long_numbers_draw(
    weights: Path, device: str | Processor, precision: str, most: int, mean: float
) -> None:
    expected = _draw(TorchPredictor(weights, device="cpu", precision="fp32"), 20).astype(int)
    # on a card, convolutions of long numbers have the mantissa of short ones (TF32)
    error = np.abs(_draw(TorchPredictor(weights, device=device, precision=precision), 20) - expected)
    assert error.max() <= most
    assert error.mean() <= mean


def test_every_batch_draws_each_mouth_as_if_it_were_alone(weights: Path, device: str | Processor) -> None:
    predictor = TorchPredictor(weights, device=device)
    mel, crops = _inputs(BATCHES[-1])
    features = predictor.encode_faces(crops)
    alone = [predictor.predict(mel[i : i + 1], features, np.array([i]))[0].astype(int) for i in range(len(mel))]
    for count in sorted({*BATCHES, *(size - 1 for size in BATCHES[2:])}):
        frames = np.arange(count)[::-1].copy()
        together = predictor.predict(mel[frames], features, frames)
        assert np.abs(together - np.stack([alone[i] for i in frames])).max() <= 6


def test_a_batch_that_was_drawn_is_not_overwritten_by_the_next(weights: Path, device: str | Processor) -> None:
    predictor = TorchPredictor(weights, device=device)
    mel, crops = _inputs(4)
    features = predictor.encode_faces(crops)
    first = predictor.predict(mel, features, np.arange(4))
    kept = first.copy()
    second = predictor.predict(mel[::-1].copy(), features, np.arange(4)[::-1].copy())
    assert np.array_equal(first, kept)
    assert not np.array_equal(second, kept)


def test_clips_take_turns_in_one_graph(weights: Path, device: str | Processor) -> None:
    predictor = TorchPredictor(weights, device=device)
    mel, crops = _inputs(6)
    clips = [predictor.encode_faces(np.ascontiguousarray(crops[part])) for part in (slice(0, 3), slice(3, 6))]
    once = [predictor.predict(mel[:3], clip, np.arange(3)) for clip in clips]
    again = [predictor.predict(mel[:3], clip, np.arange(3)) for clip in clips]
    assert np.array_equal(once, again)
    assert not np.array_equal(once[0], once[1])


@needs_card
def test_a_clip_that_is_let_go_of_takes_no_memory_on_the_card(weights: Path) -> None:
    predictor = TorchPredictor(weights, device="cuda")
    mel, crops = _inputs(2)

    def draw(copies: int) -> None:
        some = predictor.encode_faces(crops)
        many = FaceFeatures(tuple(np.repeat(level, copies, 0) for level in some.levels), np.repeat(crops, copies, 0))
        predictor.predict(mel, many, np.arange(2))

    draw(1)
    gc.collect()
    before = predictor.on.memory().allocated
    draw(200)
    gc.collect()
    assert predictor.on.memory().allocated <= before


@needs_card
def test_more_than_the_card_holds_is_told_and_it_draws_again(weights: Path) -> None:
    predictor = TorchPredictor(weights, device="cuda")
    mel, crops = _inputs(3)
    features = predictor.encode_faces(crops)
    expected = predictor.predict(mel, features, np.arange(3))
    share = 64 << 20
    torch.cuda.set_per_process_memory_fraction((predictor.on.memory().reserved + share) / predictor.on.memory().total)
    try:
        rows = 2 * share // features.levels[0][0].nbytes
        large = FaceFeatures(tuple(np.zeros((rows, *level.shape[1:]), level.dtype) for level in features.levels), crops)
        with pytest.raises(MemoryError):
            predictor.predict(mel, large, np.arange(3))
        assert np.array_equal(predictor.predict(mel, features, np.arange(3)), expected)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


@needs_card
def test_after_a_fault_on_the_card_it_is_lost_to_that_process_and_to_no_other(weights: Path) -> None:
    program = (
        "import sys, numpy as np\n"
        "from pathlib import Path\n"
        "from lipstream.realtime.lipsync.predictor import DeviceLostError\n"
        "from lipstream.realtime.lipsync.torch_backend import TorchPredictor\n"
        "predictor = TorchPredictor(Path(sys.argv[1]), device='cuda')\n"
        "features = predictor.encode_faces(np.zeros((2, 96, 96, 3), np.uint8))\n"
        "mel = np.zeros((1, 80, 16), np.float32)\n"
        "predictor.predict(mel, features, np.array([1]))\n"
        "try:\n"
        "    predictor.predict(mel, features, np.array([1 << 40]))\n"
        "except DeviceLostError as error:\n"
        "    print('lost:', error, flush=True)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(weights)], capture_output=True, text=True, check=False, timeout=120
    )
    assert "lost: cuda is gone: CUDA error" in run.stdout, run.stderr[-2000:]
    TorchPredictor(weights, device="cuda").try_out()


@needs_card
def test_the_card_is_the_one_that_the_settings_name() -> None:
    assert open_device("cuda:0").device == torch.device("cuda:0")
    assert open_device("cuda").answers()


@needs_card
def test_the_built_in_network_draws_on_a_card_what_it_draws_on_the_cpu() -> None:
    mouths = [_draw(TorchPredictor(BUILT_IN_WEIGHTS, device=name), 8).astype(int) for name in ("cuda", "cpu")]
    assert np.abs(np.subtract(*mouths)).mean() < 0.5

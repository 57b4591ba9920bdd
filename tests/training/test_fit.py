"""The fit at toy size: pairs, the cropped decoder, resuming, export."""

from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("moderngl")

from realtime.lipsync.network import Wav2Lip
from realtime.lipsync.weights import load_weights
from training.dataset import CROP, MOUTHS, ODD, REST
from training.export import DECODED_REGION, export
from training.fit import REGION, WIDTH, fit, lower_half
from training.pairs import WINDOW_OFFSET_SAMPLES, Pictures, Sound, draw_batch
from training.speech import VARIANTS, pack_mel


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    frames, columns = 50, 161
    mels = [pack_mel(rng.uniform(-4, 4, (80, columns)).astype(np.float32)) for _ in range(2)]
    np.savez(
        tmp_path / "speech.npz",
        mel=np.repeat(np.concatenate(mels)[None], VARIANTS, axis=0),
        mouth=rng.uniform(0, 1, (2 * frames, 13)).astype(np.float32),
        first_column=[0, columns, 2 * columns],
        first_frame=[0, frames, 2 * frames],
        closed=np.zeros(2 * frames, bool),
        voiced=[True, False],
    )
    np.savez(
        tmp_path / "faces-0000.npz",
        images=rng.integers(0, 256, (3, MOUTHS, CROP, CROP, 3), dtype=np.uint8),
        moments=np.array([[REST, 1, 2, 3, ODD]] * 3),
        identity=np.zeros(3, int),
    )
    return tmp_path


def test_windows_are_cut_by_the_rule_and_silent_outside(data):
    sound = Sound(data / "speech.npz")
    assert (sound.window(0, 0)[:, :13] == -4).all()
    later = sound.window(10, 0)
    with np.load(data / "speech.npz") as arrays:
        first = (10 * 640 + WINDOW_OFFSET_SAMPLES) // 200
        assert np.abs((later.T + 4) * 255 / 8 - arrays["mel"][0, first : first + 16]).max() < 0.01


def test_batches_hide_the_lower_half_and_never_aim_at_a_grimace(data):
    sound, pictures = Sound(data / "speech.npz"), Pictures(data, "faces")
    batch = draw_batch(pictures, sound, 16, np.random.default_rng(1))
    assert batch.mel.shape == (16, 1, 80, 16)
    assert not batch.face[:, :3, CROP // 2 :].any()
    assert torch.equal(batch.face[:, :3, : CROP // 2], batch.target[:, :, : CROP // 2])
    grimaces = torch.from_numpy(pictures.images[:, -1]).permute(0, 3, 1, 2).float() / 255
    for target in batch.target:
        assert not any(torch.equal(target, odd) or torch.equal(target, odd.flip(2)) for odd in grimaces)


def test_the_cropped_decoder_is_exact_where_it_counts():
    torch.manual_seed(0)
    network = Wav2Lip(WIDTH, CROP, "copy").eval()
    mel, face = torch.randn(2, 1, 80, 16), torch.rand(2, 6, CROP, CROP)
    with torch.no_grad():
        torch.nn.init.normal_(network.output_block[1].weight, std=0.5)
        whole, part = network(mel, face), lower_half(network, mel, face)
    top = REGION[0]
    assert torch.allclose(whole[:, :, top:], part[:, :, top:], atol=1e-5)


def test_a_fit_resumes_and_its_export_loads(data):
    checkpoint, out = data / "fit.pt", data / "w.safetensors"
    said: list[str] = []
    fit(data, checkpoint, minutes=0.01, listen_minutes=0.01, batch_size=2, progress=said.append)
    fit(data, checkpoint, minutes=0.02, batch_size=2, progress=said.append)
    assert "from step 0" in next(line for line in said if "scenes" in line)
    assert "from step 0," not in said[-1]
    export(checkpoint, out)
    network, metadata = load_weights(out)
    assert metadata.head == network.head == "copy"
    assert metadata.window_offset_samples == WINDOW_OFFSET_SAMPLES
    assert metadata.decoded_region == DECODED_REGION
    assert out.stat().st_size < 12_000_000

"""The place of the lips: a network of the published kind is fitted to a detector's crops and driven by the server."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lipstream.realtime.audio.mel import SILENCE_LEVEL, mel_spectrogram
from lipstream.realtime.errors import SettingsError, WeightsError
from lipstream.realtime.lipsync.alignment import PUBLISHED_OFFSET_SAMPLES
from lipstream.realtime.lipsync.metadata import NO_PADS, published_region
from lipstream.realtime.lipsync.network import Wav2Lip
from lipstream.realtime.lipsync.weights import load_weights, save_weights
from tests.realtime.speech import silence, voice
from tests.training.toy_faces import FRAMES, JAW, ToyFace, write_faces
from training.codes import code_channels, mouth_to_code
from training.export import export
from training.fit import fit, new_network
from training.pairs import CROP, REGIONS, TARGETS
from training.place import Lips, Way, figures_of, find_lips, measure, with_crop
from training.visemes import MOUTH_ACTIONS
from training.windows import windows_of

WIDTH = 0.125
STEPS, EAR_STEPS = 160, 60
SOUND = voice(1.4, 48000)


def _listening(network: Wav2Lip) -> None:
    """Let both audio encoders hear that loud means open, by the least squares of their last layers."""
    windows = windows_of(voice(2.0), PUBLISHED_OFFSET_SAMPLES)
    windows = np.concatenate([windows, np.full_like(windows[:8], SILENCE_LEVEL)])
    loud = windows[:, :, 3:6].mean(axis=(1, 2))
    mouths = np.zeros((len(windows), len(MOUTH_ACTIONS)), np.float32)
    mouths[:, JAW] = np.clip((loud - loud.min()) / np.ptp(loud), 0, 1)
    said = mouth_to_code(torch.from_numpy(mouths), code_channels(network)).numpy()[:, JAW]
    for kind in ("published", "sliding"):
        *body, last = network.eval().audio_encoder.get_submodule(kind)
        with torch.no_grad():
            heard = torch.nn.Sequential(*body)(torch.from_numpy(windows)[:, None])[:, :, 0, 0].numpy()
            told = np.linalg.lstsq(np.column_stack([heard, np.ones(len(heard))]), said, rcond=1e-5)[0]
            layer = last.conv_block[0]
            layer.weight.zero_(), layer.bias.zero_()
            layer.weight[JAW, :, 0, 0] = torch.from_numpy(told[:-1])
            layer.bias[JAW] = float(told[-1])


@pytest.mark.timeout(900)
def test_x(tmp_path: Path, monkeypatch) -> None:
    import time, cv2

    torch.set_num_threads(1)
    t = time.process_time()
    write_faces(tmp_path, 48, 5, np.random.default_rng(1))
    ticks = iter(range(10**6))
    monkeypatch.setattr("training.run.time", SimpleNamespace(monotonic=lambda: 0.1 * next(ticks)))
    fit(
        tmp_path,
        tmp_path / "fit.pt",
        minutes=STEPS / 600,
        head="paint",
        crop="detector",
        width=WIDTH,
        batch_size=2 * TARGETS,
        rate=4e-3,
    )
    print("fit", time.process_time() - t)
    t = time.process_time()
    torch.manual_seed(2)
    ear = new_network(head="paint", width=WIDTH)
    _listening(ear)
    save_weights(
        ear, tmp_path / "ear.safetensors", window_offset_samples=PUBLISHED_OFFSET_SAMPLES, licence="CC0-1.0", name="ear"
    )
    print("ear", time.process_time() - t)
    t = time.process_time()
    out = tmp_path / "toy.safetensors"
    export(tmp_path / "ear.safetensors", tmp_path / "fit.pt", out, head="paint", crop="detector", width=WIDTH)
    with_crop(out, tmp_path / "wrong.safetensors", "lipstream")
    models = [ToyFace(np.random.default_rng(100 + n)) for n in range(2)]
    seen = measure(
        models, out, SOUND, tmp_path / "store", {"right": Way(out), "wrong": Way(tmp_path / "wrong.safetensors")}
    )
    for way, sights in seen.items():
        lips = [x.lips for x in sights]
        print(figures_of(lips))
        print([(round(l.opening, 1), round(l.true_opening, 1), round(l.down, 1)) for l in lips])
        cv2.imwrite(f"/tmp/fitdata/toy_{way}.png", np.vstack([np.hstack(x[1:]) for x in sights[:6]]))
    print("measure", time.process_time() - t)
    t = time.process_time()
    assert 0

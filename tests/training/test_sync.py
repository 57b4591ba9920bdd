"""The scorer of sync: what it reads off scores, and that it learns to tell moments apart."""

from pathlib import Path

import numpy as np
import pytest
import torch

from training.augmentation import Sound
from training.speech import VARIANTS, pack_mel
from training.sync import HEARD_OFFSET, SyncScorer, fit_sync, grey_mouths, mistaken, offset_of
from training.visemes import MOUTH_ACTIONS


@pytest.mark.parametrize("lag", [-3, 0, 2])
def test_the_lag_is_where_pictures_are_like_the_sound(lag: int) -> None:
    embeddings = np.random.default_rng(0).standard_normal((80, 64)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    pictures, sounds = embeddings[10 - lag : 60 - lag], embeddings[10:60]
    found, confidence = offset_of(pictures @ sounds.T)
    assert found == pytest.approx(lag, abs=0.1)
    assert confidence == pytest.approx(1, abs=0.1)
    assert offset_of(pictures @ sounds[::-1].T)[1] < 0.3


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A folder with a clip whose mouth opens with the loudness of its sound."""
    frames, columns = 60, 192
    opening = np.convolve(np.random.default_rng(0).uniform(0, 1, frames + 8), np.ones(3) / 3, "same")[4:-4]
    heard = np.interp(np.arange(columns) / 3.2, np.arange(frames), opening)
    mel = np.repeat((8 * heard - 4)[None], 80, axis=0).astype(np.float32)
    np.savez(
        tmp_path / "speech-0000.npz",
        mel=np.repeat(pack_mel(mel)[None], VARIANTS, axis=0),
        mouth=np.zeros((frames, len(MOUTH_ACTIONS)), np.float32),
        columns=[columns],
        frames=[frames],
        closed=np.zeros(frames, bool),
        voiced=[True],
    )
    pictures = np.full((frames, 96, 96, 3), 160, np.uint8)
    for picture, open_by in zip(pictures, opening, strict=True):
        picture[70 - int(14 * open_by) : 70 + int(14 * open_by), 30:66] = 40
    np.savez(tmp_path / "sync-clips.npz", pictures=pictures[None], shown=np.arange(frames)[None])
    return tmp_path


def test_a_scorer_learns_which_sound_a_mouth_goes_with(clip: Path) -> None:
    torch.manual_seed(0)
    pictures = np.load(clip / "sync-clips.npz")["pictures"][0]
    windows = Sound(clip, "speech", HEARD_OFFSET).windows(np.arange(len(pictures)))
    scorer = SyncScorer()
    learning = torch.optim.Adam(scorer.parameters(), 2e-3)
    losses = []
    for _ in range(40):
        learning.zero_grad()
        loss = mistaken(scorer, grey_mouths(pictures), torch.from_numpy(windows))
        loss.backward()  # type: ignore[no-untyped-call]
        learning.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]
    lag, confidence = scorer.measure(pictures, windows)
    late, _ = scorer.measure(np.roll(pictures, 2, axis=0), windows)
    assert abs(lag) < 0.6
    assert late - lag == pytest.approx(2, abs=0.6)
    assert confidence > 0.1


def test_a_fit_resumes_and_loads(clip: Path) -> None:
    steps = []
    for minutes in (0.002, 0.1):
        fit_sync(clip, minutes=minutes, progress=str)
        steps.append(torch.load(clip / "sync.pt", weights_only=True)["step"])
    assert 0 < steps[0] < steps[1]
    assert not SyncScorer.load(clip / "sync.pt").training

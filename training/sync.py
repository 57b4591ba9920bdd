"""A small scorer of sync: do five pictures of a mouth and 200 ms of sound belong together?

After Chung and Zisserman, "Out of time: automated lip sync in the wild", ACCV workshops 2016: two networks give similar
embeddings for pictures and sound of one moment, trained with other moments of the same clip as negatives.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from training.augmentation import Sound, disguise
from training.figures import crop_mouth
from training.heads import Floats
from training.run import Run

HEARD_OFFSET = 0
"""The windows start with the frame: their 16 columns are the sound of five frames."""
_PICTURES, _EMBEDDING = 5, 128
_SHARPNESS = 12.0
_MOST = 7


def _convolutions(channels: int, strides: tuple[tuple[int, int], ...], last: tuple[int, int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for stride, wider in zip(strides, (32, 48, 64, 96), strict=True):
        layers += [nn.Conv2d(channels, wider, 3, stride, 1), nn.BatchNorm2d(wider), nn.ReLU()]
        channels = wider
    return nn.Sequential(*layers, nn.Conv2d(channels, _EMBEDDING, last), nn.Flatten())


class SyncScorer(nn.Module):
    """Embeds pictures and sound; the similarity of the two embeddings of a moment is its score."""

    def __init__(self) -> None:
        super().__init__()
        self.picture = _convolutions(_PICTURES, ((2, 2), (2, 2), (2, 2), (1, 1)), (5, 7))
        self.sound = _convolutions(1, ((2, 1), (2, 2), (2, 2), (1, 1)), (10, 4))

    @classmethod
    def load(cls, path: Path) -> SyncScorer:
        """Return the scorer written by `fit_sync`."""
        scorer = cls().eval()
        scorer.load_state_dict(torch.load(path, map_location="cpu", weights_only=True)["average"])
        return scorer

    def of_pictures(self, grey: Tensor) -> Tensor:
        """Return unit embeddings ``[T - 4, 128]`` of every five consecutive pictures ``[T, 40, 56]``, 0..1."""
        rows = grey.unfold(0, _PICTURES, 1).permute(0, 3, 1, 2)
        rows = rows - rows.mean(dim=(1, 2, 3), keepdim=True)
        return functional.normalize(self.picture(rows / (rows.std(dim=(1, 2, 3), keepdim=True) + 0.02)))

    def of_sound(self, windows: Tensor) -> Tensor:
        """Return unit embeddings ``[T, 128]`` of windows ``[T, 80, 16]`` at `HEARD_OFFSET`."""
        return functional.normalize(self.sound(windows[:, None] / 4))

    @torch.no_grad()
    def measure(self, pictures: NDArray[np.uint8], windows: Floats) -> tuple[float, float]:
        """Return by how many frames the pictures lag behind the sound, and the confidence.

        The confidence is the score at that offset minus the median over all offsets.

        Args:
            pictures: ``uint8[T, 96, 96, 3]``.
            windows: Mel windows of the same frames, ``float32[T, 80, 16]``.
        """
        seen, heard = self.of_pictures(grey_mouths(pictures)), self.of_sound(torch.from_numpy(windows))
        return offset_of((seen @ heard[: len(seen)].T).numpy())

    def stats(self, output: NDArray[np.uint8], truth: NDArray[np.uint8], windows: Floats) -> dict[str, float]:
        """Return the figures for a clip, predicted and true."""
        (lag, sure), (true_lag, true_sure) = self.measure(output, windows), self.measure(truth, windows)
        return {
            "sync: lag (frames)": lag,
            "sync: confidence": sure,
            "sync: lag, truth (frames)": true_lag,
            "sync: confidence, truth": true_sure,
        }


def grey_mouths(pictures: NDArray[np.uint8]) -> Tensor:
    """Return the mouths of pictures ``uint8[T, 96, 96, 3]`` in grey, ``[T, 40, 56]`` in 0..1."""
    return torch.from_numpy(crop_mouth(pictures).mean(axis=3) / 255)


def offset_of(scores: NDArray[np.float32]) -> tuple[float, float]:
    """Return where the diagonals of scores ``[T, T]`` (pictures by sounds) are highest, and by how much.

    Returns:
        Frames by which pictures lag (by a parabola through the highest three), and the highest minus the median.
    """
    means = np.array([np.diagonal(scores, -lag).mean() for lag in range(-_MOST, _MOST + 1)])
    at = int(np.clip(means.argmax(), 1, 2 * _MOST - 1))
    before, peak, after = means[at - 1 : at + 2]
    bend = before - 2 * peak + after
    lag = at - _MOST + (float(np.clip(0.5 * (before - after) / bend, -1, 1)) if bend < 0 else 0.0)
    return lag, float(means.max() - np.median(means))


def mistaken(scorer: SyncScorer, grey: Tensor, windows: Tensor) -> Tensor:
    """Return the loss of assigning the sounds of a clip to its pictures, and the pictures to the sounds.

    Args:
        grey: Pictures, ``[T, 40, 56]``.
        windows: Mel windows of the same frames, ``[T, 80, 16]``.
    """
    seen = scorer.of_pictures(grey)
    alike = _SHARPNESS * seen @ scorer.of_sound(windows[: len(seen)]).T
    moments = torch.arange(len(seen))
    return (functional.cross_entropy(alike, moments) + functional.cross_entropy(alike.T, moments)) / 2


def fit_sync(folder: Path, *, minutes: float, seed: int = 0, batch_size: int = 4, progress: Any = print) -> None:
    """Fit the scorer until the time is up; resume from ``sync.pt`` if it exists.

    Args:
        folder: Dataset: ``speech-*.npz`` and ``sync-clips.npz`` (see `training.clips.build_sync_clips`).
        minutes: Total training time.
        seed: Seed of all random choices.
        batch_size: Clips per step.
        progress: Called with a line of text now and then.
    """
    with np.load(folder / "sync-clips.npz") as data:
        mouths, shown = torch.stack([grey_mouths(clip) for clip in data["pictures"]]), data["shown"]
    sound = Sound(folder, "speech", HEARD_OFFSET)
    torch.manual_seed(seed)
    scorer = SyncScorer()
    groups: list[dict[str, Any]] = [{"params": list(scorer.parameters()), "pace": 1.0}]
    run = Run(scorer, groups, folder / "sync.pt", minutes=minutes, rate=1e-3)
    rng = np.random.default_rng([seed, run.step])
    going = run.done < 1
    while going:
        loss = torch.zeros(())
        for clip in rng.integers(len(mouths), size=batch_size):
            grey = mouths[clip].flip(2) if rng.random() < 0.5 else mouths[clip]
            windows = torch.from_numpy(sound.windows(shown[clip], int(rng.integers(sound.variants))))
            loss = loss + mistaken(scorer, grey + 0.02 * torch.randn(grey.shape), disguise(windows, rng)) / batch_size
        going = run.learn(loss)
        if run.step % 50 == 0:
            progress(f"sync, step {run.step} {run.done:4.0%} loss {float(loss.detach()):.3f}")

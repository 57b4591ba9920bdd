"""Input of the audio encoder: windows of the analysed speech, drawn and changed at random."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from lipstream.realtime.audio.mel import HIGHEST_HZ, LOWEST_HZ
from lipstream.realtime.lipsync.alignment import mel_columns
from training.speech import shards_of, unpack_mel
from training.voices import Floats

WINDOW_OFFSET_SAMPLES = -2440
_SILENCE, _SILENT = 0, -3.99
_BLUR = 4  # bands to each side: 240 Hz altogether
_BENT_BANDS = (1.8, 1.5, 1.0)  # standard deviations of half a wave, a wave, and one and a half over all bands
_MASKS, _MASKED_BANDS = 3, 12  # at most; each mask is used half of the time
_NEAR_CLOSURE_WEIGHT = 8.0


@dataclass
class Stretches:
    """Input of one training step.

    Attributes:
        sound: Spectrograms, ``[B, 1, 80, T]``.
        at: First column of each frame's window in the spectrogram, ``int64[B, N]``.
        mouths: Mouths of the frames, ``[B, N, 13]``.
        weights: Weight of each frame, ``[B, N]``: touching lips are rare in speech, a thirtieth, but most noticeable.
    """

    sound: Tensor
    at: Tensor
    mouths: Tensor
    weights: Tensor


class Sound:
    """The analysed speech of a folder, by windows.

    Args:
        folder: Folder with the output of `training.speech.build_speech`.
        stem: ``speech`` or ``held-speech``.
        offset: Samples (16 kHz) from a frame's start to its window's.
    """

    def __init__(self, folder: Path, stem: str, offset: int = WINDOW_OFFSET_SAMPLES) -> None:
        shards = [np.load(path) for path in shards_of(folder, stem)]

        def joined(key: str, axis: int = 0) -> NDArray[Any]:
            return np.concatenate([shard[key] for shard in shards], axis=axis)

        self._mel = joined("mel", 1)
        self.mouth, self.closed, self.voiced = joined("mouth"), joined("closed"), joined("voiced")
        self._first_column, self.first_frame = (np.cumsum([0, *joined(key)]) for key in ("columns", "frames"))
        self.variants = len(self._mel)
        clip_of = np.repeat(np.arange(len(self.voiced)), np.diff(self.first_frame))
        within = np.arange(len(self.mouth)) - self.first_frame[clip_of]
        columns = [mel_columns(frame, window_offset_samples=offset) for frame in range(int(within.max()) + 1)]
        first = self._first_column[clip_of]
        self._start = first + np.array([column.start for column in columns])[within]
        self._reach = columns[0].stop - columns[0].start
        self._bounds = np.stack([first, self._first_column[clip_of + 1]])
        self._near_closure = np.convolve(self.closed, np.ones(5), "same") > 0

    def windows(self, frames: NDArray[np.int64], variants: NDArray[np.int64] | int = 0) -> Floats:
        """Return the windows of frames (counted over all clips), ``float32[B, 80, 16]``."""
        return self._cut(frames, variants, self._reach)

    def _cut(self, frames: NDArray[np.int64], variants: NDArray[np.int64] | int, reach: int) -> Floats:
        columns = self._start[frames][:, None] + np.arange(reach)
        first, end = (bound[frames][:, None] for bound in self._bounds)
        variant = np.broadcast_to(np.asarray(variants).reshape(-1, 1), columns.shape)
        found = self._mel[variant, np.clip(columns, first, end - 1)]
        found[(columns < first) | (columns >= end)] = _SILENCE
        return unpack_mel(found).transpose(0, 2, 1)

    def draw(self, count: int, frames: int, rng: np.random.Generator, *, beyond: int = 0) -> Stretches:
        """Draw stretches of consecutive frames within one clip each, changed as if by another speaker.

        Args:
            count: Number of stretches.
            frames: Frames in each; shorter clips are not used.
            rng: Source of all random choices.
            beyond: Columns added after those of the last frame's window.
        """
        chosen = rng.choice(self.roomy(frames), count)
        first = self.first_frame[chosen] + rng.integers(
            self.first_frame[chosen + 1] - self.first_frame[chosen] - frames + 1
        )
        shown = first[:, None] + np.arange(frames)
        at = self._start[shown] - self._start[first][:, None]
        heard = self._cut(first, rng.integers(self.variants, size=count), int(at.max()) + self._reach + beyond)
        return Stretches(
            disguise(torch.from_numpy(heard), rng)[:, None],
            torch.from_numpy(at),
            torch.from_numpy(self.mouth[shown]),
            torch.from_numpy(np.where(self._near_closure[shown], _NEAR_CLOSURE_WEIGHT, 1.0).astype(np.float32)),
        )

    def roomy(self, frames: int) -> NDArray[np.int64]:
        """Return the clips with at least ``frames`` frames, each repeated by the number of stretches that fit in it."""
        room = np.diff(self.first_frame) - frames + 1
        return np.repeat(np.arange(len(room)), np.maximum(room, 0))


def _band_centres_hz() -> Tensor:
    step = 27 / np.log(6.4)
    low, high = (hz * 3 / 200 if hz < 1000 else 15 + step * np.log(hz / 1000) for hz in (LOWEST_HZ, HIGHEST_HZ))
    mel = np.linspace(low, high, 82)[1:-1]
    return torch.from_numpy(np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) / step))).float()


def _warp(windows: Tensor, factor: Tensor) -> Tensor:
    """Stretch the frequency axis by ``factor [B]``: another vocal tract length (Jaitly and Hinton, ICML 2013)."""
    centres = _band_centres_hz()
    wanted = centres * factor[:, None]
    right = torch.searchsorted(centres, wanted).clamp(1, 79)
    low, high = centres[right - 1], centres[right]
    part = ((wanted - low) / (high - low)).clamp(0, 1)[..., None]
    index = right[..., None].expand(-1, -1, windows.shape[2])
    return windows.gather(1, index - 1) * (1 - part) + windows.gather(1, index) * part


def _bend(windows: Tensor, rng: np.random.Generator) -> Tensor:
    """Shift formants by some bands, most of the time, low ones unlike high ones: vocal tracts differ in shape too."""
    count, bands = windows.shape[:2]
    along = torch.arange(bands, dtype=torch.float32)
    waves = torch.sin(np.pi / bands * torch.arange(1, len(_BENT_BANDS) + 1)[:, None] * along)
    moved = torch.from_numpy(rng.normal(0, _BENT_BANDS, (count, len(_BENT_BANDS)))).float() @ waves
    moved *= torch.from_numpy(rng.random((count, 1)) < 0.85)
    wanted = (along + moved).clamp(0, bands - 1)
    left = wanted.floor().long().clamp(max=bands - 2)
    part, index = (wanted - left)[..., None], left[..., None].expand(-1, -1, windows.shape[2])
    return windows.gather(1, index) * (1 - part) + windows.gather(1, index + 1) * part


def _mask(windows: Tensor, rng: np.random.Generator) -> Tensor:
    """Replace up to three ranges of bands by the window's mean (SpecAugment, Park et al., Interspeech 2019)."""
    count, bands = windows.shape[:2]
    along, hidden = torch.arange(bands), torch.zeros(count, bands, dtype=torch.bool)
    for _ in range(_MASKS):
        first = torch.from_numpy(rng.integers(0, bands, (count, 1)))
        length = torch.from_numpy(rng.integers(0, _MASKED_BANDS + 1, (count, 1)) * (rng.random((count, 1)) < 0.5))
        hidden |= (along >= first) & (along < first + length)
    return torch.where(hidden[..., None], windows.mean(dim=(1, 2), keepdim=True), windows)


def _other_pitch(windows: Tensor, pitch_hz: Tensor, glide: Tensor, depth: Tensor) -> Tensor:
    """Blur the harmonics of a voice and replace them by others.

    Narrow bands resolve the harmonics of a voice up to about a kilohertz, those of a woman or a child better than a
    man's. An encoder that has heard few voices would learn these harmonics by heart.

    Args:
        windows: Spectrograms, ``[B, 80, T]``.
        pitch_hz: Fundamental frequency at the middle of a window, ``[B]``.
        glide: Relative rise of the pitch from the middle to the end, ``[B]``.
        depth: Depth of the ripple made by the harmonics, spectrogram units, ``[B]``.
    """
    centres = _band_centres_hz()
    resolved = torch.sigmoid((1400 - centres) / 250)[:, None]
    blurred = functional.avg_pool1d(
        functional.pad(windows.transpose(1, 2), (_BLUR, _BLUR), mode="replicate"), 2 * _BLUR + 1, 1
    )
    smooth = windows + resolved * (blurred.transpose(1, 2) - windows)
    along = torch.linspace(-1, 1, windows.shape[2])
    pitch = pitch_hz[:, None, None] * (1 + glide[:, None, None] * along)
    ripple = depth[:, None, None] * torch.cos(2 * np.pi * centres[:, None] / pitch)
    return smooth + resolved * torch.sigmoid(3 * (smooth + 2)) * ripple  # quiet bands have no harmonics


def disguise(windows: Tensor, rng: np.random.Generator) -> Tensor:
    """Return windows ``[B, 80, T]`` with other vocal tracts, pitches, microphones, levels and rooms, and hidden bands.

    A unit of the spectrogram is 12.5 dB. Digital silence stays silent unless noise is added.
    """
    count, bands = windows.shape[:2]

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.from_numpy(rng.uniform(low, high, (count, *shape))).float()

    factor = torch.where(uniform(0, 1) < 0.85, uniform(0.8, 1.2), torch.ones(count))
    windows = _warp(_bend(windows, rng), factor)
    sounding = windows > _SILENT
    pitched = _other_pitch(windows, uniform(80, 320), uniform(-0.2, 0.2), uniform(0, 1.0))
    windows = torch.where((uniform(0, 1, 1, 1) < 0.4) & sounding, pitched, windows)
    waves = torch.cos(torch.linspace(0, np.pi, bands) * torch.arange(1, 5)[:, None])
    colour = torch.from_numpy(rng.normal(0, (0.30, 0.15, 0.10, 0.08), (count, 4))).float() @ waves
    louder = windows + (uniform(-1.2, 0.8, 1) + colour)[..., None]
    windows = torch.where(sounding, louder, windows)
    shape = torch.from_numpy(rng.normal(0, (0.5, 0.2, 0.15, 0.1), (count, 4))).float() @ waves
    floor = (uniform(-4.5, -0.8, 1) + shape)[..., None] + 0.25 * torch.from_numpy(
        rng.standard_normal(tuple(windows.shape))
    ).float()
    to_power = 2 * 12.5 / 20 * np.log(10)
    noisy = torch.logaddexp(windows * to_power, floor * to_power) / to_power
    masked = uniform(0, 1, 1, 1) < 0.4
    return _mask(torch.where(masked, noisy, windows).clamp(-4, 4), rng)

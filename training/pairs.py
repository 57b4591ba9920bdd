"""Training pairs: two pictures of one scene, and the sound of the target's moment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from realtime.lipsync.alignment import mel_columns
from training.people import PEOPLE
from training.speech import VARIANTS, unpack_mel

Floats = NDArray[np.float32]

WINDOW_OFFSET_SAMPLES = -2600
_SILENCE = 0
_BUILT_IN_SHARE = 0.5


class Sound:
    """The analysed speech of one file, window by window.

    Args:
        path: What `training.speech.build_speech` wrote.
    """

    def __init__(self, path: Path) -> None:
        with np.load(path) as data:
            self._mel = data["mel"]
            self.mouth, self.closed, self.voiced = data["mouth"], data["closed"], data["voiced"]
            self._first_column, self.first_frame = data["first_column"], data["first_frame"]
        self._clip_of = np.repeat(np.arange(len(self.voiced)), np.diff(self.first_frame))
        self.silent_clips = np.where(~self.voiced)[0]
        self._still = np.where((self.mouth.max(axis=1) < 0.004) & self.voiced[self._clip_of])[0]

    def window(self, frame: int, variant: int) -> Floats:
        """Return what the network hears at a frame (counted over all clips), ``float32[80, 16]``."""
        clip = self._clip_of[frame]
        first, last = self._first_column[clip : clip + 2]
        columns = mel_columns(int(frame - self.first_frame[clip]), window_offset_samples=WINDOW_OFFSET_SAMPLES)
        window = np.full((columns.stop - columns.start, 80), _SILENCE, np.uint8)
        begin, end = max(columns.start, 0), min(columns.stop, int(last - first))
        if end > begin:
            piece = self._mel[variant, first + begin : first + end]
            window[begin - columns.start : end - columns.start] = piece
        return unpack_mel(window).T

    def quiet_window(self, rng: np.random.Generator) -> Floats:
        """Return a window in which nobody speaks: plain silence, noise of some kind, or a pause in speech."""
        kind = rng.random()
        if kind < 0.3 or not len(self.silent_clips):
            return np.full((80, 16), -4.0, np.float32)
        if kind < 0.6 and len(self._still):
            return self.window(int(rng.choice(self._still)), int(rng.integers(VARIANTS)))
        clip = rng.choice(self.silent_clips)
        frame = int(rng.integers(self.first_frame[clip], self.first_frame[clip + 1]))
        return self.window(frame, int(rng.integers(VARIANTS)))


class Pictures:
    """All scenes of a folder, in memory.

    Args:
        folder: Holds the shards.
        stem: ``faces`` or ``held``.
    """

    def __init__(self, folder: Path, stem: str) -> None:
        images, moments, identities = [], [], []
        for path in sorted(folder.glob(f"{stem}-[0-9]*.npz")):
            if ".part" in path.name:
                continue
            with np.load(path) as data:
                images.append(data["images"])
                moments.append(data["moments"])
                identities.append(data["identity"])
        self.images = np.concatenate(images)
        self.moments, self.identity = np.concatenate(moments), np.concatenate(identities)
        self._built_in = np.where(self.identity < len(PEOPLE))[0]

    def draw_scene(self, rng: np.random.Generator) -> int:
        """Return a scene at random; the built-in people come more often than there are scenes of them."""
        if len(self._built_in) and rng.random() < _BUILT_IN_SHARE:
            return int(rng.choice(self._built_in))
        return int(rng.integers(len(self.images)))


@dataclass
class Batch:
    """What one step learns from: ``mel [B, 1, 80, 16]``, ``face [B, 6, S, S]``, ``target [B, 3, S, S]``."""

    mel: Tensor
    face: Tensor
    target: Tensor


def face_input(target: Tensor, reference: Tensor) -> Tensor:
    """Return the network's six channels: the target without its lower half, then the reference."""
    upper = target.clone()
    upper[:, :, target.shape[2] // 2 :] = 0
    return torch.cat([upper, reference], dim=1)


def draw_batch(pictures: Pictures, sound: Sound, size: int, rng: np.random.Generator) -> Batch:
    """Draw training pairs: the reference is at rest in half of them, else any mouth of the scene."""
    targets: list[NDArray[np.uint8]] = []
    references: list[NDArray[np.uint8]] = []
    mels: list[Floats] = []
    while len(targets) < size:
        scene = pictures.draw_scene(rng)
        moments = pictures.moments[scene]
        spoken = np.where(moments >= 0)[0]
        target = 0 if rng.random() < 0.14 else int(rng.choice(spoken))
        reference = 0 if rng.random() < 0.5 else int(rng.integers(len(moments)))
        if target == 0:
            mels.append(sound.quiet_window(rng))
        else:
            mels.append(sound.window(int(moments[target]), int(rng.integers(VARIANTS))))
        pair = pictures.images[scene, [target, reference]]
        if rng.random() < 0.5:
            pair = pair[:, :, ::-1]
        targets.append(pair[0])
        references.append(pair[1])

    def stack(images: list[NDArray[np.uint8]]) -> Tensor:
        return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255

    target_images = stack(targets)
    mel = torch.from_numpy(np.stack(mels))[:, None]
    return Batch(mel, face_input(target_images, stack(references)), target_images)

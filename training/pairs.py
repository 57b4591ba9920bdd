"""Training pairs: two pictures of one scene, and the mouth that the target shows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.people import PEOPLE
from training.speech import shards_of

CROP = 96
WIDTH, AUDIO_WIDTH = 0.25, 0.5
"""Side of the network's pictures, pixels, its width and that of its audio encoder."""
_BUILT_IN_SHARE = 0.3
_REST_SHARE = 0.12
"""Of the targets; a mouth that opens in silence is what one sees first."""
_REST_REFERENCES, _ODD_REFERENCES = 0.5, 0.2
"""Of the references: at rest; a scene's last mouth, which may be a laugh or a grimace. Others are any of the scene."""


class Pictures:
    """All scenes of a folder, in memory.

    Args:
        folder: Holds the shards.
        stem: ``faces`` or ``held``.
    """

    def __init__(self, folder: Path, stem: str) -> None:
        shards = [np.load(path) for path in shards_of(folder, stem)]
        self.images = np.concatenate([shard["images"] for shard in shards])
        self.mouths = np.concatenate([shard["mouths"] for shard in shards])
        self.identity = np.concatenate([shard["identity"] for shard in shards])
        self._built_in = np.where(self.identity < len(PEOPLE))[0]

    def draw_scene(self, rng: np.random.Generator) -> int:
        """Return a scene at random; the built-in people come more often than there are scenes of them."""
        if len(self._built_in) and rng.random() < _BUILT_IN_SHARE:
            return int(rng.choice(self._built_in))
        return int(rng.integers(len(self.images)))


@dataclass
class Batch:
    """What one step learns from: ``mouth [B, 13]``, ``face [B, 6, S, S]``, ``target [B, 3, S, S]``."""

    mouth: Tensor
    face: Tensor
    target: Tensor


def face_input(target: Tensor, reference: Tensor) -> Tensor:
    """Return the network's six channels: the target without its lower half, then the reference."""
    upper = target.clone()
    upper[:, :, target.shape[2] // 2 :] = 0
    return torch.cat([upper, reference], dim=1)


def draw_batch(pictures: Pictures, size: int, rng: np.random.Generator) -> Batch:
    """Draw training pairs: the reference is at rest in half of them, often the scene's last mouth, else any.

    A pair is mirrored, lit and tinted at random, both of its pictures alike.
    """
    pairs: list[NDArray[np.uint8]] = []
    mouths: list[NDArray[np.float32]] = []
    for _ in range(size):
        scene = pictures.draw_scene(rng)
        count = len(pictures.mouths[scene])
        target = 0 if rng.random() < _REST_SHARE else int(rng.integers(1, count))
        kinds = (_REST_REFERENCES, _ODD_REFERENCES, 1 - _REST_REFERENCES - _ODD_REFERENCES)
        reference = int(rng.choice([0, count - 1, int(rng.integers(count))], p=kinds))
        pair = pictures.images[scene, [target, reference]]
        pairs.append(pair[:, :, ::-1] if rng.random() < 0.5 else pair)
        mouths.append(pictures.mouths[scene, target])
    both = torch.from_numpy(np.stack(pairs)).permute(1, 0, 4, 2, 3).float() / 255
    gains = rng.uniform(0.75, 1.25, (size, 1, 1, 1)) * rng.normal(1, 0.06, (size, 3, 1, 1))
    both = (both * torch.from_numpy(gains).float()).clamp(0, 1)
    return Batch(torch.from_numpy(np.stack(mouths)), face_input(both[0], both[1]), both[0])

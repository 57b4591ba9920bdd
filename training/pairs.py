"""Training pairs: one picture of a scene as the reference, others as targets, with the targets' mouths."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from lipstream.realtime.lipsync.metadata import Region, published_region
from training.characters import PEOPLE
from training.speech import shards_of

CROP, FINE_CROP = 96, 192
WIDTH, AUDIO_WIDTH = 0.25, 0.5
"""Side of the network's pictures, px, and of those that its fine layers learn from; width of the network, and of its
audio encoder."""
DECODED_REGION = Region(CROP // 2, CROP, CROP // 8, CROP - CROP // 8)
"""Lips, chin and cheeks: 99 % of what speech changes in the rendered heads."""
REGIONS = {"lipstream": DECODED_REGION, "detector": published_region(CROP)}
"""Decoded region of each crop; in a detector's, whose lower edge is at the chin, speech moves all of the lower half."""
TARGETS = 3
"""Targets per reference, which share one pass of the face encoder."""
_BUILT_IN_SHARE = 0.3
MOVED = 0.12
"""By how much references are moved and scaled at most, as a share of their side."""
_REBOXED = 0.015
"""The same for whole scenes whose references are moved: a detector's box of a face differs from frame to frame."""
_REST_REFERENCES, _ODD_REFERENCES = 0.5, 0.25
"""Shares of the references at rest, and with a scene's last mouth (a laugh or a grimace); others are random."""


def stem_of(kind: str, crop: str, size: int = CROP) -> str:
    """Return the beginning of the shards' names.

    It is ``faces`` or ``held``, with ``detector-`` before it for that crop, and ``fine-`` for pictures of 192 px.
    """
    stem = kind if crop == "lipstream" else f"{crop}-{kind}"
    return stem if size == CROP else f"fine-{stem}"


class Pictures:
    """All scenes of a folder, in memory: the drawn ones, and with them the path-traced ones of Lipstream's crop.

    Args:
        folder: Folder of the shards.
        kind: ``faces`` or ``held``.
        crop: ``lipstream`` or ``detector``.
        size: Side of the pictures, px.

    Attributes:
        region: Decoded region of the crop, px of the pictures.
    """

    def __init__(self, folder: Path, kind: str, crop: str = "lipstream", size: int = CROP) -> None:
        shards = [np.load(path) for path in shards_of(folder, stem_of(kind, crop, size))]
        if crop == "lipstream":
            shards += [np.load(path) for path in sorted(folder.glob(f"traced-{stem_of(kind, crop, size)}-*[0-9].npz"))]
        self.region = Region(*(edge * size // CROP for edge in REGIONS[crop]))
        most = max(shard["mouths"].shape[1] for shard in shards)
        self.images = np.concatenate([_filled(shard["images"], most) for shard in shards])
        self.mouths = np.concatenate([_filled(shard["mouths"], most) for shard in shards])
        self.identity = np.concatenate([shard["identity"] for shard in shards])
        self._built_in = np.where(self.identity < len(PEOPLE))[0]

    def draw_scene(self, rng: np.random.Generator) -> int:
        """Return a random scene; those of the built-in people come more often than their number."""
        if len(self._built_in) and rng.random() < _BUILT_IN_SHARE:
            return int(rng.choice(self._built_in))
        return int(rng.integers(len(self.images)))


def _filled(scenes: NDArray[Any], count: int) -> NDArray[Any]:
    """Return scenes ``[S, P, ...]`` of `count` pictures each: the mouths after the one at rest are repeated."""
    have = scenes.shape[1]
    return scenes[:, [at if at < have else 1 + (at - 1) % (have - 1) for at in range(count)]]


@dataclass
class Batch:
    """Input of one training step.

    Attributes:
        mouth: Mouths of the targets, ``[B * T, 13]``, T of them for each face.
        face: ``[B, 6, S, S]``, see `face_input`.
        target: Decoded region of the targets, ``[B * T, 3, h, w]``.
        chosen: Pictures that serve as references, before they are moved, ``[B, 3, S, S]``.
    """

    mouth: Tensor
    face: Tensor
    target: Tensor
    chosen: Tensor

    @property
    def reference(self) -> Tensor:
        """The picture that serves as the reference of each target, not moved, ``[B * T, 3, S, S]``."""
        return self.chosen.repeat_interleave(len(self.target) // len(self.chosen), dim=0)


def face_input(target: Tensor, reference: Tensor) -> Tensor:
    """Return the network's six channels: the target without its lower half, then the reference."""
    upper = target.clone()
    upper[:, :, target.shape[2] // 2 :] = 0
    return torch.cat([upper, reference], dim=1)


def decoded(pictures: Tensor, region: Region = DECODED_REGION) -> Tensor:
    """Return the decoded region of pictures ``[..., S, S]``."""
    top, bottom, left, right = region
    return pictures[..., top:bottom, left:right]


def _lit(pictures: Tensor, rng: np.random.Generator) -> Tensor:
    """Return scenes ``[B, P, 3, S, S]`` in 0..1 under another light, so that copying works for any colour."""
    size = len(pictures)
    gains = rng.uniform(0.75, 1.25, (size, 1, 1, 1)) * rng.normal(1, 0.1, (size, 3, 1, 1))
    patches = torch.from_numpy(gains * rng.normal(1, 0.08, (size, 3, 3, 3))).float()
    light = functional.interpolate(patches, pictures.shape[-2:], mode="bicubic", align_corners=True)
    gamma = torch.from_numpy(rng.uniform(0.75, 1.3, (size, 1, 1, 1, 1))).float()
    return (pictures.clamp(min=1e-4) ** gamma * light[:, None]).clamp(0, 1)


def _moved(pictures: Tensor, rng: np.random.Generator, most: float) -> Tensor:
    """Return pictures ``[B, C, S, S]`` as other frames would show them: shifted and scaled, each in its own way."""
    moves = np.zeros((len(pictures), 2, 3), np.float32)
    moves[:, [0, 1], [0, 1]] = rng.uniform(1 - most, 1 + most, (len(pictures), 2))
    moves[:, :, 2] = rng.uniform(-2 * most, 2 * most, (len(pictures), 2))
    grid = functional.affine_grid(torch.from_numpy(moves), list(pictures.shape), align_corners=False)
    return functional.grid_sample(pictures, grid, padding_mode="border", align_corners=False)


def draw_batch(pictures: Pictures, size: int, rng: np.random.Generator, *, moved: float = 0.0) -> Batch:
    """Draw references and targets.

    A reference is at rest, shows the last mouth of its scene, or is any picture of the scene.

    A scene is mirrored, lit unevenly and tinted at random, all of its pictures in the same way.

    Args:
        size: Number of scenes, with `TARGETS` targets each.
        rng: Source of all random choices.
        moved: By how much references are moved at most, as a share of their side. Those of published networks are other
            frames: the more they are moved, the more the mouth must find its place by the upper half and the crop.
    """
    chosen: list[NDArray[np.uint8]] = []
    mouths: list[NDArray[np.float32]] = []
    for _ in range(size):
        scene = pictures.draw_scene(rng)
        count = len(pictures.mouths[scene])
        kinds = (_REST_REFERENCES, _ODD_REFERENCES, 1 - _REST_REFERENCES - _ODD_REFERENCES)
        reference = int(rng.choice([0, count - 1, int(rng.integers(count))], p=kinds))
        targets = rng.permutation(count)[:TARGETS]
        images = pictures.images[scene, [reference, *targets]]
        chosen.append(images[:, :, ::-1] if rng.random() < 0.5 else images)
        mouths.append(pictures.mouths[scene, targets])
    tensor = _lit(torch.from_numpy(np.stack(chosen)).permute(0, 1, 4, 2, 3).float() / 255, rng)
    if moved:
        tensor = _moved(tensor.flatten(1, 2), rng, _REBOXED).view_as(tensor)
    first = tensor[:, 0]
    face = face_input(first, _moved(first, rng, moved) if moved else first)
    drawn = decoded(tensor[:, 1:], pictures.region).flatten(0, 1)
    return Batch(torch.from_numpy(np.concatenate(mouths)), face, drawn, first)

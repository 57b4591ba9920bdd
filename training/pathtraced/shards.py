"""Shards of path-traced training pictures, whoever renders them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.pathtraced.mesh import QuadHeads
from training.pathtraced.people import Sitter
from training.pathtraced.scenes import HELD_OUT, Plan, Scene, random_scene, random_sitter

HEADS, PLAN = "traced-heads.npz", "traced-plan.npz"
TRACED = 100_000
"""Number of the first path-traced person, far beyond those of the drawn heads."""
_CROP = 96
_HELD_OUT_SEEDS = 1_000

Pictures = NDArray[np.uint8]
Take = Callable[[QuadHeads, Plan, Sitter, list[Scene]], list[Pictures]]
"""Renders the scenes of one person: ``uint8[MOUTHS, size, size, 3]`` each, blue first."""


def stem_of(size: int, *, held_out: bool) -> str:
    """Return the beginning of the shards' names: ``traced-`` before that of `training.pairs.stem_of`."""
    return ("traced-fine-" if size > _CROP else "traced-") + ("held" if held_out else "faces")


def write_shard(folder: Path, number: int, take: Take, *, scenes: int, size: int, seed: int, held_out: bool) -> Path:
    """Render one shard, some scenes of one person, unless it is there.

    Args:
        folder: Dataset with the plan of `training.pathtraced.plan`.
        number: Number of the shard; with the seed it decides everything that is drawn.
        take: Renders pictures of this size.
        scenes: Number of scenes.
        size: Side of the pictures, px.
        seed: Seed of all shards.
        held_out: Whether to draw the people kept for evaluation, or the others.

    Returns:
        Path of a file as `training.dataset.build_faces` describes it.
    """
    path = folder / f"{stem_of(size, held_out=held_out)}-{number:04d}.npz"
    if path.exists():
        return path
    heads, plan = QuadHeads.load(folder / HEADS), Plan.load(folder / PLAN)
    rng = np.random.default_rng((seed + _HELD_OUT_SEEDS * held_out) * 100_003 + number)
    count = len(heads.names)
    index = int(rng.integers(count - HELD_OUT, count) if held_out else rng.integers(count - HELD_OUT))
    sitter = random_sitter(heads.names[index], rng, male=bool(plan.male[index]))
    drawn = [random_scene(heads, sitter, plan, rng) for _ in range(scenes)]
    fields: dict[str, Any] = {
        "images": np.stack(take(heads, plan, sitter, drawn)),
        "mouths": np.stack([scene.mouths for scene in drawn]),
        "identity": np.full(scenes, TRACED + index),
    }
    part = path.with_suffix(".part.npz")
    np.savez(part, **fields)
    part.rename(path)
    return path

"""Finds the cut of a clip whose end matches its beginning best. Pure arithmetic."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from lipstream.avatar_cache.motion_graph import Loop

SHORTEST_FRAMES = 50
_SMOOTH = 1.6
"""Largest accepted mismatch at a seam, in the clip's median step from frame to frame."""
_JUMP_COST = 0.2
"""Share of the clip's length that is given up for one median step less of mismatch."""


_SCENE_STEP, _SCENE_FACTOR = 10.0, 6.0
"""Mean change of a small picture, 0..255, from which a step is a change of scene, if it is also this many times as
large as the median step, and half as many times as its neighbours."""

_FLASH_FRAMES = 15
"""A scene that is back after so many frames goes on."""


def find_shots(looks: npt.NDArray[np.float32]) -> list[tuple[int, int]]:
    """Return the half-open ranges of frames between a clip's changes of scene.

    Args:
        looks: ``float32[N, D]``: a small picture of each frame, 0..255.
    """
    steps = np.abs(np.diff(looks, axis=0)).mean(axis=1)
    usual = float(np.median(steps)) if steps.size else 0.0
    around = np.pad(steps, 1)
    beside = np.maximum(around[:-2], around[2:])
    is_cut = (steps > _SCENE_STEP) & (steps > _SCENE_FACTOR * np.maximum(usual, beside / 2))
    edges: list[int] = [0]
    for edge in (np.flatnonzero(is_cut) + 1).tolist():
        before = edges[-1] - 1
        is_back = before >= 0 and np.abs(looks[edge] - looks[before]).mean() <= _SCENE_STEP
        if is_back and edge - edges[-1] <= _FLASH_FRAMES:
            edges.pop()  # something passed before the camera, or a light flashed
        else:
            edges.append(edge)
    return list(pairwise([*edges, len(looks)]))


@dataclass(frozen=True, slots=True)
class Cut:
    """The part of a clip that repeats.

    Attributes:
        start: First frame, from 0.
        end: Frame after the last one, above ``start``.
        loop: ``seamless`` or ``pingpong``.
        jump: Change over the seam, in median steps from frame to frame; 1 for a clip that turns round.
    """

    start: int
    end: int
    loop: Loop
    jump: float


def find_cut(looks: npt.NDArray[np.float32], *, loop: Loop | None = None) -> Cut:
    """Return the best seam within a clip; without a smooth one, the whole clip to and fro.

    Args:
        looks: ``float32[N, D]``: one vector per frame, such as a small picture.
        loop: Required kind of loop; ``None`` for the best one.
    """
    count = len(looks)
    whole = Cut(0, count, "pingpong", 1.0)
    if loop == "pingpong" or count <= SHORTEST_FRAMES:
        return whole
    centred = looks - looks.mean(axis=0)
    square = (centred**2).sum(axis=1)
    apart = np.sqrt(np.maximum(square[:, None] + square - 2 * centred @ centred.T, 0))
    usual = max(float(np.median(np.diagonal(apart, 1))), 1e-3)
    # Frame s replaces frame e: they match if both and their predecessors look alike, so that speeds match too. The
    # successor of the last frame is unknown: there the step to the first frame should be a median one.
    whole_miss = abs(float(apart[-1, 0]) / usual - 1)
    best, best_worth = (0, count, whole_miss), 1 - _JUMP_COST * whole_miss
    for start in range(1, count - SHORTEST_FRAMES):
        ends = np.arange(start + SHORTEST_FRAMES, count)
        misses = 0.5 * (apart[start, ends] + apart[start - 1, ends - 1]) / usual
        worth = (ends - start) / count - _JUMP_COST * misses
        at = int(worth.argmax())
        passes = misses[at] <= _SMOOTH or loop == "seamless"
        if passes and (worth[at] > best_worth or best[2] > _SMOOTH):
            best, best_worth = (start, int(ends[at]), float(misses[at])), float(worth[at])
    start, end, miss = best
    if miss > _SMOOTH and loop != "seamless":
        return whole
    return Cut(start, end, "seamless", float(apart[end - 1, start]) / usual)

"""Finds where a clip can be cut so that its end flows into its beginning. Pure arithmetic."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lipstream.avatar_cache.manifest import Loop

SHORTEST_FRAMES = 50
_SMOOTH = 1.6
"""Largest mismatch over a seam, in the clip's usual steps from frame to frame, that passes."""
_JUMP_COST = 0.2
"""Share of the clip's length that one usual step's mismatch less is worth."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The part of a clip that is shown over and over.

    Attributes:
        start: First frame.
        end: One past the last.
        loop: How it goes on after the last frame.
        jump: Change over the seam, in usual steps from frame to frame; 1 where the clip turns round.
    """

    start: int
    end: int
    loop: Loop
    jump: float


def find_cut(looks: npt.NDArray[np.float32], *, loop: Loop | None = None) -> Cut:
    """Return the best seam within a clip, or the whole clip to and fro where none is smooth.

    Args:
        looks: ``float32[N, D]``: small pictures (and whatever else should match), as vectors.
        loop: Asked for; ``None`` for what is best.
    """
    count = len(looks)
    whole = Cut(0, count, "pingpong", 1.0)
    if loop == "pingpong" or count <= SHORTEST_FRAMES:
        return whole
    centred = looks - looks.mean(axis=0)
    square = (centred**2).sum(axis=1)
    apart = np.sqrt(np.maximum(square[:, None] + square - 2 * centred @ centred.T, 0))
    usual = max(float(np.median(np.diagonal(apart, 1))), 1e-3)
    # Showing s in the place of e: right if s looks like e, and what went before likewise, so that speeds match too.
    # What would follow the last frame is not known: there the step to the first one should be a usual one.
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

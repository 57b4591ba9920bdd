"""Finds where a clip can be cut so that its end flows into its beginning. Pure arithmetic."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avatar_cache.manifest import Loop

SHORTEST_FRAMES = 50
_SMOOTH = 1.6
"""Largest jump, in the clip's usual steps, that passes for a seam."""
_JUMP_COST = 0.2
"""Share of the clip's length that a jump of one usual step more is worth."""


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
    # Leaving out frame e and showing s: right if s looks like e, and what went before likewise (so speeds match).
    starts = np.arange(1, count - SHORTEST_FRAMES)
    best: Cut | None = None
    best_worth = -np.inf
    for start in starts:
        ends = np.arange(start + SHORTEST_FRAMES, count)
        jumps = 0.5 * (apart[start, ends] + apart[start - 1, ends - 1]) / usual
        worth = (ends - start) / count - _JUMP_COST * jumps
        at = int(worth.argmax())
        if (jumps[at] <= _SMOOTH or loop == "seamless") and worth[at] > best_worth:
            best_worth = worth[at]
            best = Cut(int(start), int(ends[at]), "seamless", float(jumps[at]))
    return best or whole

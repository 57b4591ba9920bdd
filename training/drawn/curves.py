"""Smooth curves through points: outlines, tapered strokes, and strands between two guides."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

Points = NDArray[np.float64]
"""``float64[N, 2]``: x to the right, y down, in the units of a drawing."""
Pairs = Sequence[tuple[float, float]]
_STEPS = 24
"""Points of a curve between two that are given."""


def open_curve(points: Pairs | Points, steps: int = _STEPS) -> Points:
    """Return a smooth curve through points, from the first to the last."""
    given = np.asarray(points, np.float64)
    return _spline(given, "natural", steps)


def closed_curve(points: Pairs | Points) -> Points:
    """Return a smooth closed curve through points."""
    given = np.asarray(points, np.float64)
    return _spline(np.concatenate([given, given[:1]]), "periodic", _STEPS)[:-1]


def joined(*sides: Pairs | Points) -> Points:
    """Return a closed outline of curves, each of which begins where the one before it ends, with corners between."""
    return np.concatenate([open_curve(side) for side in sides])


def _spline(given: Points, ends: str, steps: int) -> Points:
    along = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(given, axis=0).T) ** 0.5)])  # centripetal: no loops
    at = np.interp(np.arange(steps * (len(given) - 1) + 1) / steps, np.arange(len(given)), along)
    return np.asarray(CubicSpline(along, given, bc_type=ends)(at))


def moved(points: Points, x: float, y: float) -> Points:
    """Return points moved to the right and down."""
    return np.asarray(points + np.array((x, y)))


def mirrored(points: Pairs | Points, middle: float) -> Points:
    """Return points reflected at an upright line."""
    return np.asarray(points, np.float64) * (-1, 1) + (2 * middle, 0)


def ellipse(x: float, y: float, half_width: float, half_height: float, tilt_degrees: float = 0.0) -> Points:
    """Return an ellipse about a centre; a positive tilt is clockwise."""
    turn, tilt = np.linspace(0, 2 * np.pi, 72, endpoint=False), np.radians(tilt_degrees)
    across, down = half_width * np.cos(turn), half_height * np.sin(turn)
    return np.stack(
        [x + across * np.cos(tilt) - down * np.sin(tilt), y + across * np.sin(tilt) + down * np.cos(tilt)], axis=1
    )


def stroke(line: Points, widths: Sequence[float]) -> Points:
    """Return the outline of a stroke whose width changes evenly from each of `widths` to the next along the line."""
    t = np.linspace(0, 1, len(line))
    half = np.interp(t, np.linspace(0, 1, len(widths)), widths)[:, None] / 2
    return np.concatenate([line + half * _across(line), (line - half * _across(line))[::-1]])


def beside(line: Points, distance: float) -> Points:
    """Return a curve at a distance from another: below one that runs to the right."""
    return line + distance * _across(line)


def _across(line: Points) -> Points:
    """Return the unit vectors across a line: down for one that runs to the right."""
    along = np.gradient(line, axis=0)
    along /= np.maximum(np.hypot(along[:, :1], along[:, 1:]), 1e-9)
    return np.asarray(along[:, ::-1] * (-1, 1))


def between(first: Points, last: Points, share: float | Points) -> Points:
    """Return the curve at a share of the way from one curve to another of as many points.

    Args:
        share: 0..1, or one for each point, ``float64[N, 1]``.
    """
    return (1 - share) * first + share * last

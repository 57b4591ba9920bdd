"""Measures in decoded pictures when a mouth opens. The module is pure."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

REST_S = (-0.3, -0.1)
WATCH_S = 0.6
STEP_S = 0.01
SMOOTH_STEPS = 4
"""Steps in one picture of 40 ms."""
LEAST_RATIO = 4.0
"""Least ratio of the change in an opening mouth to the change in a resting one."""


def half_open_s(
    origins_s: Sequence[float], times_s: npt.NDArray[np.float64], mouths: npt.NDArray[np.uint8]
) -> float | None:
    """Return the time from the beginning of speech until the mouth is half open.

    Pictures are 40 ms apart. Many beginnings at different offsets to the pictures give a finer curve.

    Args:
        origins_s: Times at which speech begins, each after a pause of at least 0.3 s.
        times_s: Time of each picture on the same clock, s, ``float64[n]``.
        mouths: Part of each picture that holds the mouth, ``uint8[n, h, w]``.

    Returns:
        Time in seconds, negative if the mouth opens first; ``None`` if it does not open.
    """
    after: list[npt.NDArray[np.float64]] = []
    rests: list[float] = []
    for origin_s in origins_s:
        since_s = times_s - origin_s
        at_rest = (since_s >= REST_S[0]) & (since_s < REST_S[1])
        near = (since_s >= REST_S[0]) & (since_s < WATCH_S)
        if np.count_nonzero(at_rest) < 2 or np.count_nonzero(near) < 10:
            continue
        rest = mouths[at_rest].astype(np.float32).mean(axis=0)
        change = np.abs(mouths[near] - rest).mean(axis=(1, 2))
        rests += change[since_s[near] < REST_S[1]].tolist()
        after.append(np.stack([since_s[near], change]))
    if not after:
        return None
    points = np.concatenate(after, axis=1)
    grid = np.arange(REST_S[0], WATCH_S, STEP_S)
    places = np.clip(((points[0] - grid[0]) / STEP_S).astype(int), 0, len(grid) - 1)
    counts = np.bincount(places, minlength=len(grid))
    sums = np.bincount(places, weights=points[1], minlength=len(grid))
    kernel = np.ones(SMOOTH_STEPS)
    curve = np.convolve(sums, kernel, "same") / np.maximum(np.convolve(counts, kernel, "same"), 1)
    base, peak = float(np.median(rests)), float(np.percentile(curve[grid > 0], 90))
    if peak < LEAST_RATIO * max(base, 0.25):
        return None
    half = base + (peak - base) / 2
    place = int(np.argmax((curve >= half) & (grid >= REST_S[1])))
    below, above = curve[place - 1], curve[place]
    share = (half - below) / (above - below) if above > below else 1.0
    return float(grid[place - 1] + share * STEP_S + STEP_S / 2)

"""Mira's bob: locks of strands between two guides, in units of a thousandth of the picture's width."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.drawn import palette as c
from training.drawn.canvas import Canvas, Colour, Cover, Gradient
from training.drawn.curves import Pairs, Points, between, closed_curve, moved, open_curve, stroke

_SHADOW = (7.0, 17.0)
"""How far the hair's shadow falls to the right and down."""


@dataclass(frozen=True)
class _Lock:
    """Hair between an outer and an inner guide, from root to tip.

    Attributes:
        strands: Number of strands of each of its four tones.
        shine: Where along the lock it reflects the window, 0..1.
    """

    outer: Pairs
    inner: Pairs
    strands: int
    shine: float

    def guides(self) -> tuple[Points, Points]:
        """Return both guides as curves of as many points."""
        first, last = (_even(open_curve(guide)) for guide in (self.outer, self.inner))
        return first, last

    def outline(self) -> Points:
        """Return the lock's outline."""
        first, last = self.guides()
        return np.concatenate([first, last[::-1]])


# fmt: off
_BACK: Pairs = ((500, 92), (390, 108), (312, 176), (274, 290), (262, 430), (264, 570), (282, 680), (318, 728),
                (400, 744), (500, 748), (600, 744), (682, 728), (718, 680), (736, 570), (738, 430), (726, 290),
                (688, 176), (610, 108))
_CROWN: Pairs = ((530, 88), (420, 94), (332, 150), (286, 250), (300, 330), (350, 300), (420, 236), (500, 206),
                 (548, 190), (596, 214), (646, 290), (690, 330), (714, 250), (676, 154), (612, 100))
_LOCKS = (
    _Lock(((556, 96), (640, 108), (694, 170), (724, 290), (736, 430), (736, 580), (718, 676), (686, 730), (640, 744)),
          ((546, 130), (604, 140), (652, 190), (676, 280), (668, 390), (650, 500), (634, 610), (632, 680), (640, 744)),
          95, 0.36),
    _Lock(((522, 92), (406, 102), (318, 170), (280, 290), (264, 430), (264, 580), (282, 676), (314, 730), (360, 744)),
          ((544, 130), (448, 132), (366, 190), (326, 280), (330, 390), (350, 500), (366, 610), (368, 680), (360, 744)),
          110, 0.36),
    _Lock(((548, 112), (612, 126), (664, 176), (692, 262), (692, 360), (662, 470)),
          ((548, 186), (570, 216), (602, 256), (630, 310), (648, 380), (662, 470)),
          60, 0.42),
    _Lock(((548, 112), (460, 112), (376, 162), (326, 252), (312, 352), (338, 476)),
          ((548, 186), (510, 220), (446, 258), (390, 312), (356, 384), (338, 476)),
          85, 0.42),
)
# fmt: on
"""From the farthest to the nearest."""
_TONES: tuple[tuple[Colour, float], ...] = (
    (c.HAIR_DEEP, 0.55),
    (c.HAIR_DARK, 0.60),
    ((62, 86, 164), 0.50),
    (c.HAIR_LIGHT, 0.38),
)


def _even(curve: Points, count: int = 96) -> Points:
    """Return points of a curve at even distances."""
    along = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(curve, axis=0).T))])
    at = np.linspace(0, along[-1], count)
    return np.stack([np.interp(at, along, curve[:, k]) for k in (0, 1)], axis=1)


def front_shadow(canvas: Canvas) -> Cover:
    """Return where the hair in front of the face throws its shadow."""
    return canvas.cover(*(moved(lock.outline(), *_SHADOW) for lock in _LOCKS), soft=6)


def paint_back(canvas: Canvas) -> None:
    """Paint the hair behind the neck."""
    rng = np.random.default_rng(3)
    outline = closed_curve(_BACK)
    back = canvas.cover(outline)
    canvas.paint(back, Gradient(c.HAIR_DARK, c.HAIR_DEEP, (500, 200), (500, 640)))
    for tone, amount in ((c.HAIR_DARK, 0.8), ((10, 12, 36), 0.6), (c.HAIR, 0.25)):
        strands = []
        for x in rng.uniform(270, 730, 60):
            bend = 0.12 * (500 - x)
            line = open_curve(((x, 560), (x + 0.3 * bend, 660), (x + bend, 740 + rng.uniform(-8, 4))), 8)
            strands.append(stroke(line, (0.5, rng.uniform(2, 5), 0.5)))
        canvas.paint(canvas.cover(*strands, soft=0.6).within(back), tone, amount)


def paint_front(canvas: Canvas) -> None:
    """Paint the crown, the hair beside the face, and the fringe."""
    rng = np.random.default_rng(7)
    canvas.paint(canvas.cover(closed_curve(_CROWN)), Gradient(c.HAIR, c.HAIR_DARK, (400, 110), (620, 330)))
    for number, lock in enumerate(_LOCKS):
        nearer = number >= len(_LOCKS) - 2
        if nearer:  # the fringe lies over the hair at the sides
            shade = canvas.cover(moved(lock.outline(), 2, 9), soft=7)
            canvas.glaze(shade, (12, 14, 40), 0.5)
        _paint_lock(canvas, lock, rng)
    _paint_parting(canvas)
    _paint_flyaways(canvas, rng)


def _paint_lock(canvas: Canvas, lock: _Lock, rng: np.random.Generator) -> None:
    first, last = lock.guides()
    whole = canvas.cover(lock.outline())
    left = first[:, 0].mean() < 500
    lit, dim = (c.HAIR, c.HAIR_DARK) if left else (c.HAIR_DARK, (24, 32, 76))
    canvas.paint(whole, Gradient(lit, dim, tuple(first[20]), tuple(last[80])))
    ends = canvas.cover(stroke(between(first, last, 0.5)[60:], (10, 70, 90)), soft=16).within(whole)
    canvas.paint(ends, c.HAIR_DEEP, 0.45)
    for tone, amount in _TONES:
        strands = [_strand(first, last, rng, rng.uniform(0, 0.45), rng.uniform(0.55, 1.0)) for _ in range(lock.strands)]
        canvas.paint(canvas.cover(*strands).within(whole), tone, amount * (1.0 if left else 0.8))
    _paint_shine(canvas, lock, whole, rng)
    edge = stroke(last[6:], (0.4, 2.6, 3.0, 1.6, 0.4))
    canvas.paint(canvas.cover(edge), (10, 12, 40), 0.75)
    canvas.paint(canvas.cover(stroke(first[4:], (0.4, 2.0, 2.4, 1.4, 0.4))), (10, 12, 40), 0.45)


def _paint_shine(canvas: Canvas, lock: _Lock, whole: Cover, rng: np.random.Generator) -> None:
    """Paint the band in which the hair reflects the window: soft, then strand by strand."""
    first, last = lock.guides()
    middle = int(lock.shine * (len(first) - 1))
    bright = 1.0 if first[:, 0].mean() < 500 else 0.6
    across = np.stack([between(first, last, share)[middle] for share in np.linspace(0.1, 0.9, 9)])
    band = canvas.cover(stroke(across, (14, 40, 44, 30, 8)), soft=13).within(whole)
    canvas.glaze(band, c.HAIR_LIGHT, 0.40 * bright)
    strands = []
    for _ in range(2 * lock.strands // 3):
        begin, end = lock.shine - abs(rng.normal(0.07, 0.05)), lock.shine + abs(rng.normal(0.09, 0.06))
        strands.append(_strand(first, last, rng, max(begin, 0.02), end, 0.8))
    canvas.paint(canvas.cover(*strands, soft=0.5).within(whole), c.HAIR_SHINE, 0.55 * bright)


def _strand(
    first: Points, last: Points, rng: np.random.Generator, begin: float, end: float, thick: float = 1.0
) -> Points:
    """Return a tapered strand between two guides, over a part of their length."""
    share, drift = rng.uniform(0.02, 0.98), rng.normal(0, 0.05)
    low, high = (int(np.clip(t, 0, 1) * (len(first) - 1)) for t in (begin, end))
    t = np.linspace(0, 1, len(first))[:, None]
    line = between(first, last, np.clip(share + drift * np.sin(np.pi * t), 0.0, 1.0))[low : max(high, low + 4)]
    return stroke(line, (0.3, thick * rng.uniform(1.2, 3.6), 0.3))


def _paint_parting(canvas: Canvas) -> None:
    line = open_curve(((552, 92), (546, 120), (548, 152), (548, 190)))
    canvas.paint(canvas.cover(stroke(line, (1, 9, 11, 6)), soft=3), c.HAIR_DEEP, 0.75)
    canvas.paint(canvas.cover(stroke(line[20:], (0.4, 2.0, 2.4, 0.6)), soft=0.6), (206, 158, 150), 0.5)


def _paint_flyaways(canvas: Canvas, rng: np.random.Generator) -> None:
    """Paint single hairs that stand off the outline."""
    rim = closed_curve(_BACK)
    hairs = []
    for _ in range(30):
        at = int(rng.integers(0, len(rim)))
        if rim[at, 1] > 640:
            continue
        span = rim[np.arange(at, at + int(rng.integers(30, 60))) % len(rim)]
        away = (span - (500, 420)) * np.linspace(0.0, rng.uniform(0.015, 0.05), len(span))[:, None]
        hairs.append(stroke(span + away, (0.9, 1.1, 0.2)))
    canvas.paint(canvas.cover(*hairs), c.HAIR_DARK, 0.7)

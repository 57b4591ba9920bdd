"""Mira's eyes and brows: drawn at any share of the lids, in units of a thousandth of the picture's width."""

from __future__ import annotations

import numpy as np

from training.drawn import palette as c
from training.drawn.canvas import Canvas, Gradient
from training.drawn.curves import Pairs, Points, between, ellipse, moved, open_curve, stroke

# The right eye of the picture, x from the face's middle.
_UPPER: Pairs = ((30, 427), (44, 407), (68, 394), (96, 395), (122, 413))
_SHUT: Pairs = ((31, 428), (47, 436), (74, 442), (101, 438), (123, 424))
_LOWER: Pairs = ((30, 427), (48, 437), (74, 442), (101, 435), (122, 413))
_CREASE: Pairs = ((36, 410), (52, 388), (76, 377), (104, 382), (127, 402))
_CREASE_SHUT: Pairs = ((36, 412), (54, 396), (78, 388), (104, 392), (126, 408))
_BROW: Pairs = ((35, 369), (66, 354), (100, 349), (136, 365))
_IRIS = (75.0, 414.5, 27.0, 27.5)
"""Centre, half width and half height."""
_HIGHLIGHTS = ((-9.0, -10.0, 7.0, 6.4), (9.0, 10.0, 3.4, 3.0))
_LASHES = 9
_MIDDLE = 500.0


def _placed(points: Points, side: int) -> Points:
    """Return a curve of the right eye in the picture, on one side of the face: 1 right, -1 left."""
    return points * (side, 1) + (_MIDDLE, 0)


def paint_eyes(canvas: Canvas, shut: float) -> None:
    """Paint both eyes with their lids shut by a share, 0..1, and the brows."""
    for side in (-1, 1):
        _paint_eye(canvas, side, shut)
        _paint_brow(canvas, side)


def _paint_eye(canvas: Canvas, side: int, shut: float) -> None:
    upper, lower = open_curve(_UPPER), open_curve(_LOWER)
    rim = between(upper, open_curve(_SHUT), shut)
    crease = between(open_curve(_CREASE), open_curve(_CREASE_SHUT), shut)
    if shut < 1:
        _paint_ball(canvas, side, rim, lower)
    lid = canvas.cover(_placed(np.concatenate([crease, rim[::-1]]), side))
    canvas.paint(lid, Gradient(c.LID, (242, 198, 178), (_MIDDLE, 412), (_MIDDLE, 384)), 0.55 + 0.45 * shut)
    round_lid = canvas.cover(ellipse(_MIDDLE + 70 * side - 6, 410, 22, 9), soft=8).within(lid)
    canvas.glaze(round_lid, c.SKIN_LIGHT, 0.7 * shut)
    for depth, width in ((0.0, 1.0), (6.0, 2.2)):  # the fold, and its soft shadow
        fold = canvas.cover(
            _placed(stroke(moved(crease, 0, -0.3 * depth), (0.6, 2.4 * width, 2.6 * width, 0.5)), side),
            soft=0.4 + 0.5 * depth,
        )
        canvas.paint(fold, c.SKIN_LINE, 0.75 if not depth else 0.22)
    _paint_lashes(canvas, side, rim, shut)
    water = canvas.cover(_placed(stroke(moved(lower, 0, 0.5), (0.6, 1.8, 2.2, 1.6)), side), soft=0.5)
    canvas.paint(water, (150, 84, 84), 0.55 * (1 - shut))
    bag = canvas.cover(_placed(stroke(moved(lower, 0, 9), (0.3, 3.0, 2.6, 0.3)), side), soft=2.0)
    canvas.tint(bag, c.SHADE, 0.5)


def _paint_ball(canvas: Canvas, side: int, rim: Points, lower: Points) -> None:
    opening = canvas.cover(_placed(np.concatenate([rim, lower[::-1]]), side))
    canvas.paint(opening, Gradient(c.WHITE_SHADE, c.WHITE, (_MIDDLE, 394), (_MIDDLE, 420)))
    inner = canvas.cover(_placed(np.array(ellipse(31, 427, 7, 5)), side), soft=1.6).within(opening)
    canvas.paint(inner, (226, 138, 130), 0.85)
    dx, y, half_width, half_height = _IRIS
    x = _MIDDLE + side * dx
    iris = canvas.cover(ellipse(x, y, half_width, half_height)).within(opening)
    canvas.paint(iris, c.IRIS_DARK)
    inside = canvas.cover(ellipse(x, y, half_width - 2.6, half_height - 2.6), soft=0.9).within(opening)
    canvas.paint(inside, Gradient((20, 92, 112), c.IRIS, (x, y - 16), (x, y + 8)))
    glow = canvas.cover(ellipse(x, y + 11, 15, 10), soft=5).within(inside)
    canvas.paint(glow, c.IRIS_LIGHT, 0.85)
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    spokes = [
        stroke(
            np.array(((x + 10 * np.cos(a), y + 10 * np.sin(a)), (x + 22 * np.cos(a), y + 22 * np.sin(a)))), (0.5, 1.1)
        )
        for a in turn + 0.06 * np.sin(7 * turn)
    ]
    canvas.paint(canvas.cover(*spokes[::2]).within(inside), c.IRIS_LIGHT, 0.26)
    canvas.paint(canvas.cover(*spokes[1::2]).within(inside), c.IRIS_DARK, 0.26)
    canvas.paint(canvas.cover(ellipse(x, y, 10.4, 10.8), soft=0.7).within(opening), (8, 22, 34))
    shadow = canvas.cover(_placed(stroke(moved(rim, 0, 4), (4, 15, 17, 5)), side), soft=3.0).within(opening)
    canvas.paint(shadow, (58, 40, 74), 0.55)
    for across, down, wide, high in _HIGHLIGHTS:  # of one window: on the same side of both eyes
        spot = canvas.cover(ellipse(x + across, y + down, wide, high), soft=0.5).within(opening)
        canvas.paint(spot, (255, 255, 255), 0.97)


def _paint_lashes(canvas: Canvas, side: int, rim: Points, shut: float) -> None:
    corner = rim[-1]
    tail = np.stack([*rim, moved(corner, 4, -4 + 6 * shut), moved(corner, 8, -9 + 12 * shut)])
    line = stroke(tail, (1.2, 4.4, 5.8, 6.6, 6.2, 0.6))
    lashes = []
    for t in np.linspace(0.52, 0.985, _LASHES):
        root = rim[round(t * (len(rim) - 1))]
        length = 3.0 + 10.0 * t**2
        open_way = np.array((1.5 * (t - 0.40), -0.72 + 0.2 * t))
        shut_way = np.array((1.3 * (t - 0.40), 0.75 - 0.2 * t))
        way = (1 - shut) * open_way + shut * shut_way
        way = way / max(float(np.hypot(*way)), 0.35)
        bend = np.array((0.10, -0.16)) * length
        points = np.stack([root, root + 0.55 * length * way, root + length * way + bend])
        lashes.append(stroke(open_curve(points, 6), (2.4, 1.5, 0.3)))
    canvas.paint(canvas.cover(*(_placed(one, side) for one in (line, *lashes))), c.LASH, 0.97)


def _paint_brow(canvas: Canvas, side: int) -> None:
    rng = np.random.default_rng(11)
    spine = open_curve(_BROW, 40)
    shape = stroke(spine, (5.0, 11.5, 12.0, 9.0, 1.2))
    canvas.paint(canvas.cover(_placed(shape, side), soft=1.6), c.BROW, 0.72)
    hairs = []
    for t in np.linspace(0.0, 0.95, 90):
        root = moved(spine[round(t * (len(spine) - 1))], 0, rng.uniform(-4.5, 4.5) * (1 - 0.8 * t))
        rise = -np.cos(np.pi * min(0.15 + 0.65 * t + rng.normal(0, 0.05), 1)) * 7.0
        points = np.stack([root, moved(root, 5.5, 0.6 * rise), moved(root, 12.5, rise + 1.0)])
        hairs.append(stroke(open_curve(points, 5), (1.4, 1.2, 0.2)))
    canvas.paint(canvas.cover(*(_placed(hair, side) for hair in hairs)), (36, 30, 62), 0.75)

"""Mira as stills: the drawn woman with open eyes, her eyes at each state of the lids, and what is behind her."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lipstream.avatar_cache.stills import EYES_WINDOW, LIDS, Stills, window_slices
from training.drawn.canvas import Canvas, Gradient
from training.drawn.curves import ellipse
from training.drawn.eyes import paint_eyes
from training.drawn.face import paint_body, paint_face, paint_mouth
from training.drawn.hair import front_shadow, paint_back, paint_front

Picture = NDArray[np.uint8]
MIRA = "mira"
DESCRIPTION = "A drawn young woman with a blue bob in an amber top."
TALL = 1.25
"""Height over width of her still."""
_WIDTH = 1000.0


def draw_mira(size_px: int, shut: float = 0.0, tall: float = TALL) -> Picture:
    """Return Mira, blue first with alpha, ``uint8[tall * size_px, size_px, 4]``.

    Args:
        size_px: Width of the picture; the drawing is as sharp at any.
        shut: How far the lids are shut, 0..1.
        tall: Height over width; what is added to a square shows more of her top.
    """
    canvas = Canvas((_WIDTH, tall * _WIDTH), size_px)
    paint_back(canvas)
    paint_body(canvas)
    paint_face(canvas, front_shadow(canvas))
    paint_mouth(canvas)
    paint_eyes(canvas, shut)
    paint_front(canvas)
    return canvas.picture()


def draw_wall(size_px: int) -> Picture:
    """Return what is behind her, ``uint8[size_px, size_px, 3]``, blue first: a warm wall with a low sun."""
    canvas = Canvas((_WIDTH, _WIDTH), size_px)
    wall = canvas.cover(ellipse(500, 500, 1200, 1200))
    canvas.paint(wall, Gradient((255, 236, 218), (244, 190, 172), (300, 0), (700, 1000)))
    sun = canvas.cover(ellipse(640, 360, 330, 330), soft=3)
    canvas.paint(sun, Gradient((255, 220, 168), (250, 178, 140), (560, 60), (700, 700)))
    return np.asarray(canvas.picture()[..., :3])


def draw_stills(size_px: int) -> Stills:
    """Return Mira's stills."""
    rows, columns = window_slices(EYES_WINDOW, size_px)
    lids = tuple(draw_mira(size_px, shut, tall=1.0)[rows, columns] for shut in LIDS)
    return Stills(draw_mira(size_px), lids, draw_wall(size_px))

"""Training crops by the convention of published networks: a face detector's rectangle, squeezed to the square.

Boxes and crops come from the same functions that a server uses for weights with ``crop: detector``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lipstream.avatar_cache.crop_geometry import crop_face
from lipstream.avatar_cache.detector_box import cropped_boxes, detector_box, to_rectangles
from lipstream.avatar_cache.forehead import bare_forehead
from lipstream.realtime.lipsync.metadata import NO_PADS
from lipstream.realtime.picture.i420 import bgr_to_i420
from training.heads import Floats
from training.pairs import CROP

Images = NDArray[np.uint8]

VIEW_PX = 160
"""Side of the square view that is rendered around a box: the box is some 120 px high in it."""
_UP, _AROUND = 0.4, 1.5
_JITTER = 0.015
"""Standard deviation of each edge of a box, as a share of its sides: boxes of one face differ by 0.01 to 0.02."""


def view_around(window: tuple[float, float, float]) -> tuple[float, float, float]:
    """Return the part of the picture to render, which holds the detector's box, from `training.dataset.face_window`."""
    x, y, half = window
    return x, y + _UP * half, _AROUND * half


def box_of(view: Images, points: Floats, rng: np.random.Generator | None = None) -> NDArray[np.float64]:
    """Return left, top, right and bottom of a face in the view, px, lower for a fringe as the detector's are.

    Args:
        view: ``uint8[VIEW_PX, VIEW_PX, 3]``, BGR.
        points: The 68 points in the view, ``float32[68, 2]`` in 0..1.
        rng: Source of the detector's error; ``None`` for none.
    """
    places = points * VIEW_PX
    box = detector_box(places, bare_forehead(view, places))
    if rng is not None:
        width, height = box[2:] - box[:2]
        box += rng.normal(0, _JITTER, 4) * (width, height, width, height)
    return box


def cut(view: Images, box: NDArray[np.float64]) -> Images:
    """Return the crop of a view: ``uint8[96, 96, 3]``, BGR.

    Args:
        view: ``uint8[VIEW_PX, VIEW_PX, 3]``, BGR.
        box: Left, top, right and bottom, px.
    """
    (place,) = cropped_boxes(to_rectangles(box[None]), NO_PADS, (VIEW_PX, VIEW_PX))
    return crop_face(bgr_to_i420(view), place, CROP, "detector")

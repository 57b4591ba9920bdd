"""Lays a second photograph of a face, with its eyes shut, over the first one."""

import cv2
import numpy as np
import numpy.typing as npt

from lipstream.avatar_cache.photo import Bgr
from lipstream.realtime.errors import AvatarError

Floats = npt.NDArray[np.float32]

_STEADY = (*range(17), *range(17, 36))
"""Landmarks that do not move with the lids or the lips: jaw, brows and nose."""
_BROWS_TO_NOSE = slice(17, 36)
_ECC_SIDE = 160
"""Width of the strip between brows and nose that is compared to find the exact place, px."""
_ECC_STEPS = 80, 1e-5
_LEAST_LIKENESS = 0.5
"""Least correlation of brows and nose in the two pictures."""


def lay_over(picture: Bgr, points: Floats, shut: Bgr, shut_points: Floats) -> Bgr:
    """Return ``shut`` moved and coloured so that its face lies on that of ``picture``.

    Args:
        picture: ``uint8[h, w, 3]``, the photograph with open eyes.
        points: Landmarks in ``picture``, ``float32[68, 2]`` px.
        shut: ``uint8[H, W, 3]``, the photograph with shut eyes.
        shut_points: Landmarks in ``shut``, ``float32[68, 2]`` px.

    Raises:
        AvatarError: If the two do not show the same face from the same side.
    """
    steady = list(_STEADY)
    matrix, _ = cv2.estimateAffinePartial2D(shut_points[steady], points[steady], method=cv2.LMEDS)
    if matrix is None:
        raise AvatarError("the picture with shut eyes cannot be laid over the other one")
    height, width = picture.shape[:2]
    moved = cv2.warpAffine(shut, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    found, likeness = _nudge(picture, np.asarray(moved, np.uint8), points)
    if likeness < _LEAST_LIKENESS:
        raise AvatarError(
            "the picture with shut eyes shows another face, or the same from another side: take both in one sitting"
        )
    whole = np.vstack((found, (0, 0, 1)))[:2] @ np.vstack((matrix, (0, 0, 1)))
    laid = cv2.warpAffine(shut, whole, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return _recolour(np.asarray(laid, np.uint8), picture, points)


def _nudge(picture: Bgr, moved: Bgr, points: Floats) -> tuple[npt.NDArray[np.float64], float]:
    """Return what moves ``moved`` onto the picture, ``float64[2, 3]``, and their likeness there, -1..1."""
    around = points[_BROWS_TO_NOSE]
    margin = 0.1 * float(np.ptp(around[:, 0]))
    corner = np.maximum(around.min(axis=0) - margin, 0)
    scale = _ECC_SIDE / (float(np.ptp(around[:, 0])) + 2 * margin)
    size = _ECC_SIDE, max(round((float(np.ptp(around[:, 1])) + 2 * margin) * scale), 16)
    view = np.array([[scale, 0, -scale * corner[0]], [0, scale, -scale * corner[1]]])
    strips = [
        cv2.GaussianBlur(cv2.cvtColor(cv2.warpAffine(p, view, size), cv2.COLOR_BGR2GRAY), (0, 0), 1.5).astype(
            np.float32
        )
        for p in (picture, moved)
    ]
    compared = np.full(size[::-1], 255, np.uint8)
    for first in (36, 42):
        eye = (points[first : first + 6] - corner) * scale
        middle, half = eye.mean(axis=0), float(np.ptp(eye[:, 0])) / 2
        axes = round(1.35 * half), round(0.95 * half)
        cv2.ellipse(compared, tuple(np.rint(middle).astype(int).tolist()), axes, 0, 0, 360, 0, -1)
    step = np.eye(2, 3, dtype=np.float32)
    try:
        likeness, step = cv2.findTransformECC(
            strips[0], strips[1], step, cv2.MOTION_AFFINE,
            (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, *_ECC_STEPS), compared, 3,
        )  # fmt: skip
    except cv2.error:  # the two have nothing in common
        return np.eye(2, 3), -1.0
    back = np.linalg.inv(np.vstack((step, (0, 0, 1))))  # it maps the first strip's pixels to the second's
    full = np.vstack((view, (0, 0, 1)))
    return (np.linalg.inv(full) @ back @ full)[:2], float(likeness)


def _recolour(laid: Bgr, picture: Bgr, points: Floats) -> Bgr:
    """Return ``laid`` with the light of the picture, as it is far from the eyes: exposures differ."""
    side = float(np.ptp(points[:, 0]))
    light = [cv2.GaussianBlur(p.astype(np.float32), (0, 0), 0.06 * side) for p in (laid, picture)]
    ratio = np.clip((light[1] + 4) / (light[0] + 4), 0.5, 2)
    coloured: Bgr = np.clip(np.rint(laid * ratio), 0, 255).astype(np.uint8)
    return coloured

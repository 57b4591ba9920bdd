"""Measures how visible a painted mouth is in its picture: its edge, and its sharpness. Pure functions."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

_DEPTHS = (0.0, 0.02, 0.04, 0.06)
"""Contours inside the mask at which an edge is looked for, as shares of its width: further in, lips really move."""


@dataclass(frozen=True, slots=True)
class Blend:
    """Comparison of a painted picture with the picture before.

    Attributes:
        seam: Mean step of luma across the worst contour of the mask, over the same step before: 1 is invisible.
        sharpness: Variance of the Laplacian inside the mask, over that of the ring around it: 1 is as sharp.
        sharpness_before: The same ratio before painting, 1 for a mask as sharp as its ring.
    """

    seam: float
    sharpness: float
    sharpness_before: float


def measure_blend(before: npt.NDArray[np.uint8], after: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_]) -> Blend:
    """Compare luma planes.

    Args:
        before: ``uint8[h, w]``, luma without the painted mouth.
        after: ``uint8[h, w]``, luma with it.
        mask: ``bool[h, w]``, the pixels that painting may change.
    """
    width = int(mask.any(axis=0).sum())
    seams = []
    for depth in _DEPTHS:
        inner = _eroded(mask, round(depth * width))
        natural = border_step(before, inner)
        if inner.any() and natural > 0:
            seams.append(border_step(after, inner) / natural)
    ring = _dilated(mask, max(width // 8, 1)) & ~mask
    inside = _eroded(mask, round(_DEPTHS[-1] * width))
    return Blend(
        max(seams, default=1.0),
        _sharpness(after, inside) / max(_sharpness(after, ring), 1e-6),
        _sharpness(before, inside) / max(_sharpness(before, ring), 1e-6),
    )


def mouth_sharpness(
    before: npt.NDArray[np.uint8],
    after: npt.NDArray[np.uint8],
    mask: npt.NDArray[np.bool_],
    *,
    but: npt.NDArray[np.bool_] | None = None,
) -> float:
    """Return the variance of the Laplacian inside a mask, over that of the picture before: 1 is as sharp.

    Args:
        before: ``uint8[h, w]``, luma without the painted mouth.
        after: ``uint8[h, w]``, luma with it.
        mask: ``bool[h, w]``, the pixels that painting may change; those near its edge are left out.
        but: ``bool[h, w]``, pixels that are left out in both, with those around them; default: none.
    """
    inside = _eroded(mask, round(_DEPTHS[-1] * int(mask.any(axis=0).sum())))
    if but is not None:
        inside &= ~_dilated(but, 2)
    return _sharpness(after, inside) / max(_sharpness(before, inside), 1e-6)


def border_step(luma: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_]) -> float:
    """Return the mean absolute step of luma between neighbours on either side of a mask's border."""
    values = luma.astype(np.float32)
    steps = [np.abs(np.diff(values, axis=axis))[np.diff(mask.astype(np.int8), axis=axis) != 0] for axis in (0, 1)]
    joined = np.concatenate(steps)
    return float(joined.mean()) if joined.size else 0.0


def _sharpness(luma: npt.NDArray[np.uint8], where: npt.NDArray[np.bool_]) -> float:
    return float(cv2.Laplacian(luma, cv2.CV_32F)[where].var()) if where.any() else 0.0


def _kernel(pixels: int) -> npt.NDArray[np.uint8]:
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * pixels + 1, 2 * pixels + 1)), np.uint8)


def _eroded(mask: npt.NDArray[np.bool_], pixels: int) -> npt.NDArray[np.bool_]:
    return np.asarray(cv2.erode(mask.astype(np.uint8), _kernel(pixels)), np.bool_)


def _dilated(mask: npt.NDArray[np.bool_], pixels: int) -> npt.NDArray[np.bool_]:
    return np.asarray(cv2.dilate(mask.astype(np.uint8), _kernel(pixels)), np.bool_)

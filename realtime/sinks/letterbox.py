"""Fits pictures of one size into a frame of another size."""

import cv2
import numpy as np

from lipstream.realtime.picture.i420 import Picture, planes

_BLACK, _GREY = 16, 128


def fit_picture(picture: Picture, size: tuple[int, int]) -> Picture:
    """Return a picture scaled to another size, with black bars if the aspect ratio differs.

    Args:
        picture: I420, ``uint8[h * 3 // 2, w]``; returned without a copy if it has the size.
        size: Width and height, px.
    """
    rows, width = picture.shape
    if (width, rows * 2 // 3) == size:
        return picture
    fitted = np.full((size[1] * 3 // 2, size[0]), _BLACK, np.uint8)
    fitted[size[1] :] = _GREY
    scale = min(size[0] / width, size[1] / (rows * 2 // 3))
    inner = [int(edge * scale) // 2 * 2 for edge in (width, rows * 2 // 3)]
    left, top = [(whole - part) // 4 * 2 for whole, part in zip(size, inner, strict=True)]
    for source, target, step in zip(planes(picture), planes(fitted), (1, 2, 2), strict=True):
        scaled = cv2.resize(source, (inner[0] // step, inner[1] // step), interpolation=cv2.INTER_AREA)
        height, width = scaled.shape
        target[top // step : top // step + height, left // step : left // step + width] = scaled
    return fitted

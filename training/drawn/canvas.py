"""A picture that is painted by coverage: antialiased shapes, soft shapes, gradients, clipping."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from training.drawn.curves import Points

Floats = NDArray[np.float32]
Colour = tuple[float, float, float]
"""Red, green, blue of sRGB, 0..255."""
_OVERSAMPLE = 2
_SHIFT = 6
"""Binary digits behind the point of OpenCV's coordinates."""


@dataclass(frozen=True)
class Cover:
    """How far pixels are covered, in a rectangle of a canvas; 0 outside it.

    Attributes:
        top: First row, px.
        left: First column, px.
        values: ``float32[h, w]``, 0..1.
    """

    top: int
    left: int
    values: Floats

    @property
    def place(self) -> tuple[slice, slice]:
        """Rows and columns in the canvas."""
        height, width = self.values.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)

    def within(self, other: Cover) -> Cover:
        """Return the part of this cover that lies in another."""
        clip = np.zeros_like(self.values)
        top, left = max(self.top, other.top), max(self.left, other.left)
        rows = min(self.top + self.values.shape[0], other.top + other.values.shape[0]) - top
        columns = min(self.left + self.values.shape[1], other.left + other.values.shape[1]) - left
        if rows > 0 and columns > 0:
            clip[top - self.top :, left - self.left :][:rows, :columns] = other.values[
                top - other.top :, left - other.left :
            ][:rows, :columns]
        return Cover(self.top, self.left, self.values * clip)


@dataclass(frozen=True)
class Gradient:
    """Colours that change evenly from a first point to a last one, in the units of the drawing."""

    first: Colour
    last: Colour
    start: tuple[float, float]
    end: tuple[float, float]


class Canvas:
    """A transparent picture.

    Args:
        units: Width and height of the drawing, in its own units.
        width_px: Width of the finished picture.
    """

    def __init__(self, units: tuple[float, float], width_px: int) -> None:
        self._scale = _OVERSAMPLE * width_px / units[0]
        self._size = round(width_px * units[1] / units[0]), width_px
        height, width = (_OVERSAMPLE * side for side in self._size)
        self._premultiplied = np.zeros((height, width, 4), np.float32)

    def cover(self, *outlines: Points, soft: float = 0.0) -> Cover:
        """Return what closed outlines enclose together, its edge blurred over `soft` units."""
        blur = soft * self._scale
        scaled = [outline * self._scale for outline in outlines]
        margin = int(np.ceil(3 * blur)) + 2
        low = np.floor(np.min([points.min(axis=0) for points in scaled], axis=0)).astype(int) - margin
        high = np.ceil(np.max([points.max(axis=0) for points in scaled], axis=0)).astype(int) + margin
        width, height = (high - low).tolist()
        drawn = np.zeros((height, width), np.uint8)
        for points in scaled:  # one by one: together, OpenCV leaves out what two of them cover
            fixed = np.rint((points - low - 0.5) * (1 << _SHIFT)).astype(np.int32)  # OpenCV counts from pixels' centres
            cv2.fillPoly(drawn, [fixed], 255, cv2.LINE_AA, _SHIFT)
        values = drawn.astype(np.float32) / 255
        if blur:
            values = np.asarray(cv2.GaussianBlur(values, (0, 0), blur), np.float32)
        top, left = max(low[1], 0), max(low[0], 0)
        rows, columns = self._premultiplied.shape[:2]
        inside = values[top - low[1] : max(rows - low[1], 0), left - low[0] : max(columns - low[0], 0)]
        return Cover(int(top), int(left), np.asarray(inside, np.float32))

    def paint(self, cover: Cover, colour: Colour | Gradient, amount: float = 1.0) -> None:
        """Lay a colour over the picture."""
        layer = self._premultiplied[cover.place]
        weight = (amount * cover.values)[..., None]
        layer *= 1 - weight
        layer[..., :3] += weight * (self._colours(cover, colour) / 255)
        layer[..., 3:] += weight

    def tint(self, cover: Cover, factors: Colour, amount: float = 1.0) -> None:
        """Multiply the colours that are there: shade below 1, light above."""
        layer = self._premultiplied[cover.place]
        layer[..., :3] *= 1 + (amount * cover.values)[..., None] * (np.asarray(factors, np.float32) - 1)
        np.minimum(layer[..., :3], layer[..., 3:], out=layer[..., :3])

    def glaze(self, cover: Cover, colour: Colour, amount: float) -> None:
        """Lay a colour over what is painted, without covering more of the background."""
        layer = self._premultiplied[cover.place]
        weight = (amount * cover.values)[..., None]
        layer[..., :3] += weight * (layer[..., 3:] * (np.asarray(colour, np.float32) / 255) - layer[..., :3])

    def picture(self) -> NDArray[np.uint8]:
        """Return the picture, blue first with alpha: ``uint8[h, w, 4]``."""
        height, width = self._size
        small = cv2.resize(self._premultiplied, (width, height), interpolation=cv2.INTER_AREA)
        alpha = small[..., 3:]
        colours = small[..., 2::-1] / np.maximum(alpha, 1e-6)
        return np.asarray(np.rint(255 * np.clip(np.dstack([colours, alpha]), 0, 1)), np.uint8)

    def _colours(self, cover: Cover, colour: Colour | Gradient) -> Floats:
        if not isinstance(colour, Gradient):
            return np.asarray(colour, np.float32)
        (x0, y0), (x1, y1) = colour.start, colour.end
        rows, columns = cover.values.shape
        x = (np.arange(columns, dtype=np.float32) + cover.left) / self._scale - x0
        y = (np.arange(rows, dtype=np.float32) + cover.top) / self._scale - y0
        length = (x1 - x0) ** 2 + (y1 - y0) ** 2
        t = np.clip((x[None] * (x1 - x0) + y[:, None] * (y1 - y0)) / length, 0, 1)[..., None]
        t = t * t * (3 - 2 * t)
        return np.asarray((1 - t) * np.asarray(colour.first) + t * np.asarray(colour.last), np.float32)

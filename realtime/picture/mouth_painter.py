"""Paints a small predicted mouth into a full-size picture and changes only the pixels that speech changes.

The network sees the face at 96 px or so; the picture has more detail. Where the predicted mouth equals the one that
the picture already shows, the picture's own detail stays; where it differs, the prediction replaces it::

    out = base + mask * weight * (up(new - shown + changed * shown) - up(changed) * base)

with ``shown`` the base picture's mouth as the network drew (or saw) it, ``new`` the mouth to paint, both at the
network's size, ``up`` the map to picture pixels, and ``changed`` (0..1) the difference of the two around a pixel. All
but the last product is computed at the network's size, where there are fewer pixels.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from lipstream.realtime.lipsync.metadata import Region
from lipstream.realtime.picture.i420 import BGR_TO_YCBCR, BGR_TO_YCBCR_OFFSET, Picture, planes

Floats = npt.NDArray[np.float32]
Mouth = npt.NDArray[np.uint8]

Into = Callable[[tuple[int, ...]], npt.NDArray[Any]]
"""Gives the array, of any content, for a result of a shape."""
Outline = tuple[tuple[float, float], ...]
"""A convex polygon around lips and jaw, in shares of the face box, x before y; empty if it is not known."""

_CHANGE_LOW, _CHANGE_HIGH = 6.0, 24.0
"""Luma differences at which the picture's own detail begins to fade, and at which it is gone."""


@dataclass(frozen=True, slots=True)
class Box:
    """The rectangle of the picture that the network sees, px; in an avatar's manifest a square of even numbers."""

    x: int
    y: int
    width: int
    height: int


MOST_PLACES = 64
"""A detector's boxes change their size with every frame, and the masks of a large one take half a megabyte."""
_OUTLINE_SOFTNESS = 0.022
"""Standard deviation of the outline's soft edge, as a share of the face box."""


def feather_mask(region: Region, crop_size: int = 0, outline: Outline = ()) -> Floats:
    """Return ``float32[h, w]``: 1 over the mouth and jaw, falling smoothly to 0 before the region's edge.

    Args:
        region: Half-open rectangle of the face crop that the network decodes, px of the crop.
        crop_size: Side of the crop, px; required with an outline.
        outline: Polygon outside which the mask is 0, so that a collar or the background near the jaw stays as it is;
            empty for none.
    """
    rows = np.abs((np.arange(region.height) + 0.5) / region.height * 2 - 1)[:, None]
    columns = np.abs((np.arange(region.width) + 0.5) / region.width * 2 - 1)[None, :]
    distance = (rows**4 + columns**4) ** 0.25  # a rounded rectangle
    ramp = np.clip((0.96 - distance) / 0.26, 0, 1)
    mask: Floats = (ramp * ramp * (3 - 2 * ramp)).astype(np.float32)
    return mask * _outline_mask(region, crop_size, outline) if outline else mask


def paste_mask(region: Region, crop_size: int, outline: Outline = ()) -> Floats:
    """Return ``float32[h, w]``, 0..1, for the crop of a detector's box, which ends close under the chin.

    The mask is 1 in nearly the whole lower half, which the published script pastes. It falls to 0 at the region's
    edges: above the middle of the crop, and over a twenty-fourth of the crop at the other three.

    Args:
        region: Half-open rectangle of the face crop that the network decodes, px of the crop.
        crop_size: Side of the crop, px.
        outline: Polygon in shares of the face box outside which the mask is 0; empty for none.
    """
    edge = crop_size / 24
    rows, columns = np.arange(region.height, dtype=np.float32), np.arange(region.width, dtype=np.float32)
    above = max(crop_size // 2 - region.top, edge)
    down = _smooth(rows / above) * _smooth((region.height - 1 - rows) / edge)
    across = _smooth(columns / edge) * _smooth((region.width - 1 - columns) / edge)
    mask: Floats = (down[:, None] * across[None, :]).astype(np.float32)
    return mask * _outline_mask(region, crop_size, outline) if outline else mask


def _smooth(ramp: Floats) -> Floats:
    clipped = np.clip(ramp, 0, 1)
    smoothed: Floats = clipped * clipped * (3 - 2 * clipped)
    return smoothed


def _outline_mask(region: Region, crop_size: int, outline: Outline) -> Floats:
    inside = np.zeros((crop_size, crop_size), np.uint8)
    corners = np.rint((np.array(outline) * crop_size - 0.5) * 16).astype(np.int32)
    cv2.fillConvexPoly(inside, corners, 255, cv2.LINE_AA, 4)
    soft = cv2.GaussianBlur(inside.astype(np.float32) / 255, (0, 0), _OUTLINE_SOFTNESS * crop_size)
    # A Gaussian never reaches 0: cut off its tail.
    clipped: Floats = np.clip(soft * 1.04 - 0.02, 0, 1)[region.top : region.bottom, region.left : region.right]
    return clipped


class Places:
    """Where a mouth lies in face boxes, and how much of each pixel is painted; caches the last sizes of box.

    Args:
        region: Half-open rectangle of the face crop that the network decodes, px of the crop.
        crop_size: Side of the crop, px.
        outline: Polygon around lips and jaw, in shares of the face box; empty if it is not known.
        crop: Content of the face crop: ``lipstream`` or ``detector``.

    Attributes:
        region: The decoded region, px of the crop.
        crop_size: Side of the crop, px.
        feather: ``float32[h, w]``: share of each of the region's pixels that is painted, 0..1.
    """

    def __init__(self, region: Region, crop_size: int, outline: Outline = (), crop: str = "lipstream") -> None:
        self.region, self.crop_size = region, crop_size
        self.feather = (paste_mask if crop == "detector" else feather_mask)(region, crop_size, outline)
        self._places: dict[tuple[int, int, int, int], Place] = {}

    def mask(self, box: Box, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
        """Return ``bool[h, w]``: the pixels of a picture of ``shape`` that painting may change."""
        place = self.of(box)
        touched = np.zeros(shape, np.bool_)
        around = place.chroma_mask.repeat(2, axis=0).repeat(2, axis=1) > 0
        place.luma_of(touched, box)[:] = (place.luma_mask > 0) | around
        return touched

    def of(self, box: Box) -> "Place":
        """Return the place in face boxes of this size and parity."""
        key = box.width, box.height, box.x % 2, box.y % 2
        place = self._places.get(key)
        if place is None:
            if len(self._places) >= MOST_PLACES:
                self._places.clear()
            place = self._places[key] = Place(self.region, self.crop_size, box, self.feather)
        return place


class MouthPainter(Places):
    """Paints mouths of pixels into pictures."""

    def paint(self, picture: Picture, box: Box, *, shown: Mouth, new: Mouth, weight: float = 1.0) -> None:
        """Paint a mouth into a picture, in place.

        Args:
            picture: ``uint8[h * 3 // 2, w]``, I420.
            box: Face box, px of the picture.
            shown: ``uint8[h, w, 3]`` BGR: the mouth that the picture shows, in the decoded region's pixels.
            new: ``uint8[h, w, 3]`` BGR: the mouth to paint.
            weight: 0 leaves the picture, 1 replaces the mouth.
        """
        place = self.of(box)
        change = cv2.transform(cv2.subtract(new, shown, dtype=cv2.CV_32F), BGR_TO_YCBCR)
        changed = _changed(cv2.extractChannel(change, 0))
        base = cv2.transform(shown.astype(np.float32), BGR_TO_YCBCR_OFFSET)
        painted = cv2.add(change, cv2.multiply(base, cv2.merge((changed, changed, changed))))
        wide = place.widen(cv2.merge((painted, changed)))
        luma, blue, red = planes(picture)

        view = place.luma_of(luma, box)
        # Both by the same curve: where the picture is even, what they have in common must vanish, or a grid shows.
        sharp, faded = (place.luma_up(cv2.extractChannel(wide, channel), cv2.INTER_CUBIC) for channel in (0, 3))
        _blend(view, sharp, faded, place.luma_mask, weight)

        _, *ups, changed = cv2.split(place.chroma_up(wide))
        for up, plane in zip(ups, (blue, red), strict=True):
            _blend(place.chroma_of(plane, box), up, changed, place.chroma_mask, weight)


class _Enlargement:
    """Maps one axis of the region to picture pixels.

    OpenCV resizes whole pixels to whole pixels several times as fast as it warps. Face boxes begin and end on whole
    pixels, so an axis of the crop can be resized that way. The resized span is the region plus as many crop pixels
    around it as it takes to begin and end on whole picture pixels; on even ones if the box does, so that chroma planes
    can be resized by themselves.

    Attributes:
        before: Added before the region, px of the crop.
        after: Added behind the region, px of the crop.
        size: Length of the resized span, px of the picture.
        within: Part of the resized span that covers the region, px of the picture; even at both ends in an even box,
            inside the region in an odd one.
        start: Offset of ``within`` from the face box's edge, px of the picture.
    """

    def __init__(self, first: int, stop: int, crop: int, at: int, box: int) -> None:
        self.even = at % 2 == 0 and box % 2 == 0
        grid = 2 * crop if self.even else crop
        begin = next(edge for edge in range(first, -1, -1) if edge * box % grid == 0)
        end = next(edge for edge in range(stop, crop + 1) if edge * box % grid == 0)
        self.before, self.after = first - begin, end - stop
        self.size = (end - begin) * box // crop
        offset = begin * box // crop
        low, high = first * box // crop, -(-stop * box // crop)
        if self.even:
            low, high = low // 2 * 2, -(-high // 2) * 2
        else:
            low, high = -(-(at + low) // 2) * 2 - at, (at + high) // 2 * 2 - at
        self.start, self.within = low, slice(low - offset, high - offset)

    def part(self, chosen: slice) -> "_Enlargement":
        """Return the same axis with a part of ``within``, given in pixels of half the size."""
        part = copy.copy(self)
        first = self.within.start
        part.start, part.within = (
            self.start + 2 * chosen.start,
            slice(first + 2 * chosen.start, first + 2 * chosen.stop),
        )
        return part

    @property
    def half(self) -> slice:
        """``within`` for planes of half the size."""
        return slice(self.within.start // 2, self.within.stop // 2)


class Place:
    """The region's rectangle and masks for face boxes of one size.

    Attributes:
        rows, columns: The axes of the region.
        luma_mask: Weight of each pixel of the rectangle, ``float32[h, w]``, 0..1.
        chroma_mask: Weight at half the size, ``float32[h // 2, w // 2]``, 0..1.
    """

    def __init__(self, region: Region, crop: int, box: Box, feather: Floats) -> None:
        self.rows = _Enlargement(region.top, region.bottom, crop, box.y, box.height)
        self.columns = _Enlargement(region.left, region.right, crop, box.x, box.width)
        wide = self.widen(feather)
        self.luma_mask = np.ascontiguousarray(np.clip(self.luma_up(wide, cv2.INTER_LINEAR), 0, 1))
        self.chroma_mask = np.ascontiguousarray(np.clip(self.chroma_up(wide), 0, 1))

    def painted(self) -> tuple[slice, slice]:
        """Return the rows and columns of the rectangle outside which no weight is above 0, in pixels of chroma."""
        height, width = self.chroma_mask.shape
        luma = self.luma_mask[: 2 * height, : 2 * width].reshape(height, 2, width, 2).max(axis=(1, 3))
        touched = np.maximum(luma, self.chroma_mask) > 0
        rows, columns = (np.flatnonzero(touched.any(axis=axis)) for axis in (1, 0))
        if not rows.size:
            return slice(0, height), slice(0, width)
        return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)

    def narrowed(self, rows: slice, columns: slice) -> "Place":
        """Return the place of a part of the rectangle, given in pixels of chroma."""
        part = copy.copy(self)
        part.rows, part.columns = self.rows.part(rows), self.columns.part(columns)
        part.chroma_mask = np.ascontiguousarray(self.chroma_mask[rows, columns])
        luma = tuple(slice(2 * each.start, 2 * each.stop) for each in (rows, columns))
        part.luma_mask = np.ascontiguousarray(self.luma_mask[luma])
        return part

    def widen(self, small: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the region's pixels with their edges repeated outward, to the span that is resized."""
        rows, columns = self.rows, self.columns
        edges = rows.before, rows.after, columns.before, columns.after
        return np.asarray(cv2.copyMakeBorder(small, *edges, cv2.BORDER_REPLICATE)) if any(edges) else small

    def luma_up(self, wide: npt.NDArray[Any], interpolation: int, into: Into | None = None) -> npt.NDArray[Any]:
        """Return the region's rectangle at the picture's size.

        Args:
            wide: ``[h, w, ...]`` from :meth:`widen`.
            into: Gives the array for the shape of the resized span; default: a fresh one.
        """
        return self.within(self.luma_span(wide, interpolation, into))

    def luma_span(self, wide: npt.NDArray[Any], interpolation: int, into: Into | None = None) -> npt.NDArray[Any]:
        """Return the span of which :meth:`within` is the region's rectangle; arguments as for :meth:`luma_up`."""
        rows, columns = self.rows.size, self.columns.size
        out = into((rows, columns, *wide.shape[2:])) if into else None
        return np.asarray(cv2.resize(wide, (columns, rows), out, interpolation=interpolation))

    def within(self, span: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the view of the region's rectangle in the resized span."""
        return span[self.rows.within, self.columns.within]

    def chroma_up(self, wide: Floats, into: Into | None = None) -> Floats:
        """Return the region's rectangle at half the picture's size; ``into`` as for :meth:`luma_up`."""
        if not (self.rows.even and self.columns.even):
            up = self.luma_up(wide, cv2.INTER_LINEAR)
            return np.asarray(cv2.resize(up, (up.shape[1] // 2, up.shape[0] // 2), interpolation=cv2.INTER_AREA))
        rows, columns = self.rows.size // 2, self.columns.size // 2
        out = into((rows, columns, *wide.shape[2:])) if into else None
        half: Floats = cv2.resize(wide, (columns, rows), out, interpolation=cv2.INTER_LINEAR)
        return half[self.rows.half, self.columns.half]

    def luma_corner(self, box: Box) -> tuple[int, int]:
        """Return the rectangle's first row and column in a picture, px; both even."""
        return box.y + self.rows.start, box.x + self.columns.start

    def luma_of(self, plane: npt.NDArray[Any], box: Box) -> npt.NDArray[Any]:
        """Return the view of the rectangle in a plane of the picture's size."""
        top, left = self.luma_corner(box)
        height, width = self.luma_mask.shape
        return plane[..., top : top + height, left : left + width]

    def chroma_of(self, plane: npt.NDArray[Any], box: Box) -> npt.NDArray[Any]:
        """Return the view of the rectangle in a plane of half the picture's size."""
        top, left = (edge // 2 for edge in self.luma_corner(box))
        height, width = self.chroma_mask.shape
        return plane[..., top : top + height, left : left + width]


def _changed(luma_change: Floats) -> Floats:
    ramp = np.clip((np.abs(luma_change) - _CHANGE_LOW) / (_CHANGE_HIGH - _CHANGE_LOW), 0, 1)
    blurred: Floats = cv2.GaussianBlur(cv2.dilate(ramp, np.ones((3, 3), np.uint8)), (0, 0), 1.0)
    return blurred


def _blend(view: Picture, painted: Floats, changed: Floats, mask: Floats, weight: float) -> None:
    """Apply the module's formula to one plane, in place."""
    change = cv2.subtract(painted, cv2.multiply(changed, view, dtype=cv2.CV_32F))
    view[:] = cv2.add(view, cv2.multiply(change, mask, scale=weight), dtype=cv2.CV_8U)  # rounds, and stays in 0..255

"""Paints a mouth of fields at the picture's own size: each pixel is sampled once from the clip's own frame.

With ``under`` the clip's frame without any painted mouth, ``up`` the map from the network's size to picture pixels, and
``soft`` (0..1) the share of each pixel that is painted::

    out = under + soft * (sample(under, up(settled(flow))) * (1 - up(mask)) + up(paint) - under)

Luma and chroma are sampled apart, each at its own size, so that lips keep their lines and skin its pores. ``paint`` is
already multiplied by the mask.
"""

import functools
import math
import threading
from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from lipstream.realtime.lipsync.fields import PAINT_STEPS, unpack_fields
from lipstream.realtime.picture.i420 import BGR_TO_YCBCR, Picture, planes
from lipstream.realtime.picture.mouth_painter import Box, Floats, Mouth, Places

_TO_COVER = np.zeros((4, 5), np.float32)
"""Maps mask, blue, green and red to the share that is kept, 0..1, and to Y, Cb, Cr times the mask."""
_TO_COVER[0] = (-1 / PAINT_STEPS, 0, 0, 0, 1)
_TO_COVER[1:, 0] = np.array((16, 128, 128), np.float32) / PAINT_STEPS
_TO_COVER[1:, 1:4] = BGR_TO_YCBCR

FLOW_SOFTNESS = 0.8
"""Standard deviation of the blur of a flow, px of the crop: where it jumps from one pixel to the next, as along a jaw,
a line of the picture would be squeezed until it breaks into dashes."""
HOLD_PX = 0.2
"""Displacement, px of the crop, that is halved; smaller ones vanish, since moving skin by a fraction of a pixel only
blurs it and makes it shimmer, and larger ones stay as they are."""
_WAY_SOFTNESS = 1.5
"""Standard deviation of the blur of the way from one mouth to another, px of the crop: where it jumps, along a lip, the
paint beside it would be drawn out into dots."""
_STEPS = 3
"""Iterations that find where a point of a mouth on its way comes from; further ones move it by less than 0.1 px."""
_LAID_FROM = 0.5
"""Weight from which the paint of a mouth on its way is laid in full: below it there is hardly a gap to see it in."""


class _Scratch(threading.local):
    """Arrays of a thread that every picture uses again: fresh ones of this size cost more than the arithmetic."""

    def __init__(self) -> None:
        self._arrays: dict[str, npt.NDArray[np.uint8]] = {}

    def floats(self, name: str, shape: tuple[int, ...]) -> Floats:
        """Return ``float32`` of a shape, with any content."""
        return self.bytes(name, (*shape[:-1], 4 * shape[-1])).view(np.float32)

    def bytes(self, name: str, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
        """Return ``uint8`` of a shape, with any content."""
        size = math.prod(shape)
        array = self._arrays.get(name)
        if array is None or array.size < size:
            array = self._arrays[name] = np.empty(size, np.uint8)
        return array[:size].reshape(shape)


_scratch = _Scratch()


def _into(name: str) -> Callable[[tuple[int, int]], Floats]:
    return functools.partial(_scratch.floats, name)


class FieldPainter(Places):
    """Paints mouths of fields into pictures."""

    def size(self, box: Box) -> int:
        """Return the number of bytes that :meth:`cut` returns."""
        place = self.of(box)
        return place.luma_mask.size + 2 * place.chroma_mask.size

    def cut(self, picture: Picture, box: Box) -> npt.NDArray[np.uint8]:
        """Return the pixels that painting may change: ``uint8[n]``, the rectangle's luma, then both chroma planes."""
        luma, *chroma = planes(picture)
        place = self.of(box)
        parts = [place.luma_of(luma, box), *(place.chroma_of(plane, box) for plane in chroma)]
        return np.concatenate([part.ravel() for part in parts])

    def restore(self, picture: Picture, box: Box, pixels: npt.NDArray[np.uint8]) -> None:
        """Put back what :meth:`cut` returned, in place; ``pixels`` may be longer."""
        luma, *chroma = planes(picture)
        place = self.of(box)
        at = 0
        for view in (place.luma_of(luma, box), *(place.chroma_of(plane, box) for plane in chroma)):
            view[:] = pixels[at : at + view.size].reshape(view.shape)
            at += view.size

    def paint(self, picture: Picture, box: Box, *, rest: Mouth, new: Mouth, weight: float = 1.0) -> None:
        """Paint a mouth into a frame of the clip, in place.

        Args:
            picture: ``uint8[h * 3 // 2, w]``, I420, without any painted mouth.
            box: Face box, px of the picture.
            rest: ``uint8[h, w, 8]``, fields of the mouth at rest.
            new: ``uint8[h, w, 8]``, fields of the mouth to paint.
            weight: 0 paints ``rest``, 1 ``new``, between them a mouth on its way.
        """
        flow, paint = mix_fields(rest, new, weight, self.crop_size)
        place = self.of(box)
        x, y = (place.widen(plane) for plane in self._positions(_settled(flow, HOLD_PX / self.crop_size), box))
        kept, lit, *tints = cv2.split(place.widen(np.asarray(cv2.transform(paint, _TO_COVER))))
        luma, *chroma = planes(picture)

        # Linear interpolation keeps a grid of positions as it is, but for the half pixel at the region's edge, where
        # the mask is 0.
        across, down = place.luma_up(x, cv2.INTER_LINEAR, _into("x")), place.luma_up(y, cv2.INTER_LINEAR, _into("y"))
        sampled = _sample(luma, across, down, cv2.INTER_CUBIC)
        keeps, laid = (
            place.luma_up(kept, cv2.INTER_CUBIC, _into("kept")),
            place.luma_up(lit, cv2.INTER_CUBIC, _into("laid")),
        )
        _lay(place.luma_of(luma, box), sampled, keeps, laid, place.luma_mask)

        # A pixel of chroma lies amid four of luma.
        across, down = (
            place.chroma_up(plane * np.float32(0.5) - np.float32(0.25), _into(name))
            for plane, name in ((x, "x"), (y, "y"))
        )
        keeps = place.chroma_up(kept, _into("kept"))
        for plane, tint in zip(chroma, tints, strict=True):
            sampled, laid = _sample(plane, across, down, cv2.INTER_LINEAR), place.chroma_up(tint, _into("laid"))
            _lay(place.chroma_of(plane, box), sampled, keeps, laid, place.chroma_mask)

    def _positions(self, flow: tuple[Floats, Floats], box: Box) -> tuple[Floats, Floats]:
        """Return the columns and rows of the picture, px, where the region's pixels come from, ``float32[h, w]``."""
        x, y = flow
        across, down = box.width / self.crop_size, box.height / self.crop_size
        height, width = x.shape
        columns = (np.arange(self.region.left, self.region.left + width) + 0.5) * across + (box.x - 0.5)
        rows = (np.arange(self.region.top, self.region.top + height) + 0.5) * down + (box.y - 0.5)
        return (
            x * np.float32(box.width) + columns.astype(np.float32),
            y * np.float32(box.height) + rows.astype(np.float32)[:, None],
        )


def mix_fields(rest: Mouth, new: Mouth, weight: float, crop_size: int) -> tuple[Floats, Floats]:
    """Return flow and paint of the mouth at ``weight`` of the way from ``rest`` to ``new``: the lips move.

    A point that ``new`` shows at ``p`` lies in ``rest`` at ``p + d(p)``, with ``d`` the blurred difference of their
    flows, and on its way at ``p + (1 - weight) d(p)``. So the mixture shows at ``q`` what ``new`` has at the ``p`` that
    solves ``q = p + (1 - weight) d(p)``, found by iteration. Teeth and the dark between them keep to the lips, and are
    laid over the rest mouth in full from half the way on.

    Args:
        rest: ``uint8[h, w, 8]``.
        new: ``uint8[h, w, 8]``.
        weight: 0..1.
        crop_size: Side of the crop, px.

    Returns:
        What :func:`lipstream.realtime.lipsync.fields.unpack_fields` returns.
    """
    if weight >= 1 or weight <= 0:
        return unpack_fields(new if weight >= 1 else rest)
    (flow, paint), (at_rest, bare) = unpack_fields(new), unpack_fields(rest)
    back: Floats = cv2.GaussianBlur(flow - at_rest, (0, 0), _WAY_SOFTNESS, borderType=cv2.BORDER_REPLICATE)
    back *= np.float32((weight - 1) * crop_size)
    rows, columns = np.mgrid[: flow.shape[0], : flow.shape[1]].astype(np.float32)
    across, down = columns, rows
    for _ in range(_STEPS):
        way = _at(back, across, down)
        across, down = columns + way[..., 0], rows + way[..., 1]
    moved, laid = _at(flow, across, down), _at(paint, across, down)
    share = min(1.0, weight / _LAID_FROM)
    return (
        np.asarray(cv2.addWeighted(moved, weight, at_rest, 1 - weight, 0)),
        np.asarray(cv2.addWeighted(laid, share, bare, 1 - share, 0)),
    )


def _at(field: Floats, across: Floats, down: Floats) -> Floats:
    return np.asarray(cv2.remap(field, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def _settled(flow: Floats, hold: float) -> tuple[Floats, Floats]:
    """Return a flow's x and y without jumps, and without displacements far below ``hold``, in shares of the crop."""
    blurred: Floats = cv2.GaussianBlur(flow, (0, 0), FLOW_SOFTNESS, borderType=cv2.BORDER_REPLICATE)
    x, y = cv2.split(blurred)
    square = x * x + y * y
    share = square / (square + np.float32(hold * hold))
    return x * share, y * share


def _sample(plane: Picture, x: Floats, y: Floats, interpolation: int) -> npt.NDArray[np.uint8]:
    """Return a plane's pixels at the positions ``x`` and ``y``, in an array of this thread."""
    sampled = _scratch.bytes("sampled", x.shape)
    cv2.remap(plane, x, y, interpolation, sampled, cv2.BORDER_REPLICATE)
    return sampled


def _lay(view: Picture, sampled: npt.NDArray[np.uint8], kept: Floats, paint: Floats, soft: Floats) -> None:
    """Apply the module's formula to one plane, in place."""
    change = _scratch.floats("change", view.shape)
    cv2.multiply(sampled, kept, change, 1, cv2.CV_32F)
    cv2.add(change, paint, change)
    cv2.subtract(change, view, change, None, cv2.CV_32F)
    cv2.multiply(change, soft, change)
    cv2.add(view, change, view, None, cv2.CV_8U)  # rounds, and stays in 0..255

"""The mouths of one clip: how a painter of pixels and one of fields look to the compositor.

Both give, for each pixel of a picture::

    out = under + soft * (spoken - under)

``under`` is the picture below the mouth and ``soft`` (0..1) falls to 0 inside the decoded region's edge and the outline
of the jaw. ``spoken`` of pixels is the enlarged prediction where it differs from the resting mouth, and the picture
where it does not. ``spoken`` of fields is the clip's own frame, sampled where each pixel comes from, under enlarged
paint: ``sample(under, flow) * (1 - mask) + paint``.
"""

from collections.abc import Sequence
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from lipstream.realtime.lipsync.fields import with_paint
from lipstream.realtime.picture.field_painter import FieldPainter
from lipstream.realtime.picture.i420 import Picture
from lipstream.realtime.picture.mouth_painter import Box, Mouth, MouthPainter


class ClipMouths(Protocol):
    """Paints mouths over those at rest in the frames of one clip."""

    def paint(self, picture: Picture, frame: int, mouth: Mouth, weight: float, own: float = 0.0) -> None:
        """Paint a mouth into a copy of a frame with its mouth at rest, in place.

        Args:
            picture: ``uint8[h * 3 // 2, w]``, I420.
            frame: Index of the frame in the clip.
            mouth: ``uint8[h, w, 3]`` pixels or ``uint8[h, w, 8 or 20]`` fields, of the decoded region.
            weight: 0 leaves the mouth at rest, 1 shows ``mouth``.
            own: Share of the clip's own mouth in the frame as it is stored, 0..1; the result has as much of it.
        """

    def mask(self, frame: int, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
        """Return ``bool[h, w]``: the pixels of a picture of ``shape`` that painting may change."""


class PixelMouths:
    """``ClipMouths`` of pixels.

    Args:
        rest: ``uint8[N, h, w, 3]`` BGR, the mouths at rest.
        boxes: N face boxes, px.
    """

    def __init__(self, rest: Mouth, boxes: Sequence[Box], painter: MouthPainter) -> None:
        self._rest, self._boxes, self._painter = rest, boxes, painter

    def paint(self, picture: Picture, frame: int, mouth: Mouth, weight: float, own: float = 0.0) -> None:
        """Blend the resting mouth's pixels into those of ``mouth``."""
        weight *= 1 - own  # what is painted is a difference
        self._painter.paint(picture, self._boxes[frame], shown=self._rest[frame], new=mouth, weight=weight)

    def mask(self, frame: int, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
        """Return the pixels that painting may change."""
        return self._painter.mask(self._boxes[frame], shape)


class FieldMouths:
    """``ClipMouths`` of fields.

    Args:
        rest: ``uint8[N, h, w, 8 or 20]``, fields of the mouths at rest; or ``uint8[N, h, w, 4]``, their flow, if they
            paint nothing.
        under: ``uint8[N, n]``, what :meth:`FieldPainter.cut` returned for the clip's own frames.
        boxes: N face boxes, px.
    """

    def __init__(self, rest: Mouth, under: npt.NDArray[np.uint8], boxes: Sequence[Box], painter: FieldPainter) -> None:
        self._rest, self._under, self._boxes, self._painter = rest, under, boxes, painter

    def paint(self, picture: Picture, frame: int, mouth: Mouth, weight: float, own: float = 0.0) -> None:
        """Move the resting mouth's fields to those of ``mouth``, and paint them over the clip's own frame."""
        box = self._boxes[frame]
        self._painter.restore(picture, box, self._under[frame])
        rest = with_paint(self._rest[frame], mouth.shape[-1]) if weight < 1 else mouth
        self._painter.paint(picture, box, rest=rest, new=mouth, weight=weight)
        if own:
            painted = self._painter.cut(picture, box)
            below = self._under[frame][: painted.size]
            self._painter.restore(picture, box, cv2.addWeighted(below, own, painted, 1 - own, 0).reshape(-1))

    def mask(self, frame: int, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
        """Return the pixels that painting may change."""
        return self._painter.mask(self._boxes[frame], shape)

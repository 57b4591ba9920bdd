"""Paints a mouth of fields at the picture's own size: each pixel is sampled once from the clip's own frame.

With ``under`` the clip's frame without any painted mouth, ``up`` the map from the network's size to picture pixels, and
``soft`` (0..1) the share of each pixel that is painted::

    out = under + soft * (sample(under, up(settled(flow))) * (1 - up(mask)) + up(paint) - under)

Luma and chroma are sampled apart, each at its own size, so that lips keep their lines and skin its pores. ``paint`` is
already multiplied by the mask. Mask and paint may have twice the network's size, which ``up`` enlarges as much less.
The sum of sample and paint is never bluer or greener than teeth are in the light of the clip, nor redder than its
lips, unless the sample is: nothing in a mouth is, but a network that has not seen skin like a clip's may paint it so.

The clip is sampled and blended in floats, which takes OpenCV three quarters of the time of bytes, or half. Paint is
enlarged in bytes, all four channels at once.
"""

import math
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from lipstream.realtime.lipsync.fields import FLOW_STEP, PAINT_STEPS, split_fields
from lipstream.realtime.lipsync.metadata import Region
from lipstream.realtime.picture.field_motion import HOLD_PX, close_over_teeth, lay_firmly, mix_fields, settle
from lipstream.realtime.picture.i420 import BGR_TO_YCBCR, Picture, chroma_planes, planes
from lipstream.realtime.picture.mouth_painter import MOST_PLACES, Box, Floats, Mouth, Outline, Place, Places
from lipstream.realtime.picture.scratch_arrays import into, scratch

_TO_CHROMA = np.zeros((4, 5), np.float32)
"""Maps mask, blue, green and red to the share that is kept, 0..1, to Cb and Cr times the mask, and to 0: OpenCV maps
four channels to four in a quarter of the time that it takes for three."""
_TO_CHROMA[0] = -1 / PAINT_STEPS, 0, 0, 0, 1
_TO_CHROMA[1:3, 0] = 128 / PAINT_STEPS
_TO_CHROMA[1:3, 1:4] = BGR_TO_YCBCR[1:]

_REACH_PX = 4
"""Pixels of luma around a position that sampling may read, in a plane of half the size as well; even."""
_GREY = 128.0
"""Cb and Cr of grey."""
_TOOTH_TINT = 0.2
"""Chroma of teeth as a share of that of the mouth and the skin around it: the median of 16 rendered heads is 0.23 for
Cb and 0.20 for Cr. Teeth of pure grey look blue among warm skin."""
_LIP_SPREAD = 2.0
"""Cr of the reddest paint above the mean of the clip's mouth and the skin around it, in standard deviations."""


class FieldPainter(Places):
    """Paints mouths of fields into pictures.

    Args:
        bares_teeth: Whether the clip does, so that lips and paint are made to cover them; default false. The other
            arguments are those of :class:`Places`.
    """

    def __init__(
        self,
        region: Region,
        crop_size: int,
        outline: Outline = (),
        crop: str = "lipstream",
        *,
        bares_teeth: bool = False,
    ) -> None:
        super().__init__(region, crop_size, outline, crop)
        self._bares_teeth = bares_teeth
        self._fine = Places(Region(*(2 * edge for edge in region)), 2 * crop_size)
        """The places of paint at twice the crop's size."""
        self._pairs: dict[tuple[Place, bool], tuple[Place, Place]] = {}

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
            rest: ``uint8[h, w, 8]``, fields of the mouth at rest, or ``uint8[h, w, 20]`` with fine paint.
            new: Fields of the mouth to paint, of the same shape.
            weight: 0 paints ``rest``, 1 ``new``, between them a mouth on its way.
        """
        flow, paint = self._fields(rest, new, weight)
        place, over = self._painted(box, is_fine=paint.shape[0] != flow.shape[0])
        luma, chroma = planes(picture)[0], chroma_planes(picture)
        moves = settle(flow, HOLD_PX / self.crop_size)
        moves *= np.array(((box.width,), (box.height,)), np.float32)[..., None]
        window = _window(moves, place, box, luma.shape)
        seen = window.seen(box)
        top, left = place.luma_corner(seen)
        moves += np.array(((left,), (top,)), np.float32)[..., None]
        x, y = place.widen(moves[0]), place.widen(moves[1])
        span = over.luma_span(over.widen(paint), cv2.INTER_CUBIC, _spare_bytes)
        cover = over.within(span)

        source = _floats_of(window.of(luma), "source")
        sampled = _sample(
            source,
            place.luma_up(x, cv2.INTER_LINEAR, into("x")),
            place.luma_up(y, cv2.INTER_LINEAR, into("y")),
            cv2.INTER_CUBIC,
        )
        hidden, laid = _luma_of(cover, over.within(_from_blue(span)), sampled)
        sampled -= hidden
        sampled += laid
        _lay(place.luma_of(luma, box), place.luma_of(source, seen), sampled, place.luma_mask)

        x *= np.float32(0.5)
        y *= np.float32(0.5)
        across, down = place.chroma_up(x, into("x")), place.chroma_up(y, into("y"))
        sources = _floats_of(window.half_of(chroma), "source")
        kept, blue, red = _chroma_of(cover)
        mixed = scratch("mixed", across.shape)
        views, unders = place.chroma_of(chroma, box), place.chroma_of(sources, seen)
        for source, view, under, laid, bound in zip(
            sources, views, unders, (blue, red), (_bound_blue, _bound_red), strict=True
        ):
            sampled = _sample(source, across, down, cv2.INTER_LINEAR)
            np.multiply(sampled, kept, out=mixed)
            mixed += laid
            bound(mixed, sampled, under)
            _lay(view, under, mixed, place.chroma_mask)

    def _fields(self, rest: Mouth, new: Mouth, weight: float) -> tuple[Floats, Mouth]:
        """Return what :func:`mix_fields` returns, with the paint in bytes."""
        if 0 < weight < 1:
            flow, mixed = mix_fields(rest, new, weight, self.crop_size)
            paint = np.rint(mixed).astype(np.uint8)
        else:
            steps, paint = split_fields(new if weight >= 1 else rest)
            flow = np.multiply(steps, FLOW_STEP, out=scratch("flow", steps.shape))
        if self._bares_teeth:
            flow = close_over_teeth(flow, self.crop_size)
            paint = lay_firmly(paint)
        return flow, paint

    def _painted(self, box: Box, *, is_fine: bool) -> tuple[Place, Place]:
        """Return where flow and paint lie, of the rectangle only what is ever painted; caches the last sizes of box."""
        whole = self.of(box)
        pair = self._pairs.get((whole, is_fine))
        if pair is None:
            if len(self._pairs) >= MOST_PLACES:
                self._pairs.clear()
            inside = whole.painted()
            over = self._fine.of(box) if is_fine else whole  # the same pixels of the picture
            pair = self._pairs[whole, is_fine] = whole.narrowed(*inside), over.narrowed(*inside)
        return pair


class _Window(NamedTuple):
    """The rectangle of a picture that holds all positions of a mouth and the pixels that it changes, px; even."""

    top: int
    bottom: int
    left: int
    right: int

    def of(self, plane: Picture) -> Picture:
        """Return the view of the rectangle in a plane of the picture's size."""
        return plane[self.top : self.bottom, self.left : self.right]

    def half_of(self, chroma: Picture) -> Picture:
        """Return the view of the rectangle in planes of half the picture's size."""
        return chroma[..., self.top // 2 : self.bottom // 2, self.left // 2 : self.right // 2]

    def seen(self, box: Box) -> Box:
        """Return a face box as it lies in the rectangle."""
        return Box(box.x - self.left, box.y - self.top, box.width, box.height)


def _window(moves: Floats, place: Place, box: Box, shape: tuple[int, ...]) -> _Window:
    """Return the rectangle of a picture of ``shape`` that painting with displacements of ``moves``, px, reads."""
    edges: list[int] = []
    for moved, first, length, size in zip(
        moves[::-1], place.luma_corner(box), place.luma_mask.shape, shape, strict=True
    ):
        low, high, *_ = cv2.minMaxLoc(moved)
        begin, end = first + min(int(low), 0) - _REACH_PX, first + length + max(int(high), 0) + _REACH_PX
        edges += [max(begin // 2 * 2, 0), min(-(-end // 2) * 2, size)]
    return _Window(*edges)


def _floats_of(numbers: npt.NDArray[np.uint8], name: str) -> Floats:
    """Return an array's numbers as floats, in an array of this thread."""
    floats = scratch(name, numbers.shape)
    np.copyto(floats, numbers)
    return floats


def _sample(source: Floats, across: Floats, down: Floats, interpolation: int) -> Floats:
    """Return a plane's pixels at displacements from each pixel, px, in an array of this thread."""
    sampled = scratch("sampled", across.shape)
    kind = interpolation | cv2.WARP_RELATIVE_MAP
    return np.asarray(cv2.remap(source, across, down, kind, sampled, cv2.BORDER_REPLICATE))


def _spare_bytes(shape: tuple[int, ...]) -> Mouth:
    """Return an array of this thread that its memory goes beyond by a byte, for :func:`_from_blue`."""
    return np.asarray(scratch("span", (math.prod(shape) + 1,), np.uint8)[:-1].reshape(shape))


def _from_blue(span: Mouth) -> Mouth:
    """Return pixels of :func:`_spare_bytes` one byte on: blue, green and red come first, as OpenCV expects them."""
    return np.asarray(scratch("span", (span.size + 1,), np.uint8)[1:].reshape(span.shape))


def _luma_of(cover: Mouth, colours: Mouth, sampled: Floats) -> tuple[Floats, Floats]:
    """Return how much of the luma ``sampled`` paint hides, and the luma of the paint, ``float32[h, w]``.

    Args:
        cover: ``uint8[h, w, 4]``, mask, blue, green and red times the mask.
        colours: The same from blue on; the fourth byte is not read.
    """
    shape = cover.shape[:2]
    mask, grey = scratch("mask", shape, np.uint8), scratch("grey", shape, np.uint8)
    cv2.extractChannel(cover, 0, mask)
    cv2.cvtColor(colours, cv2.COLOR_BGRA2GRAY, grey)  # by the weights of BT.601, from 0 to 255
    hidden, laid = scratch("hidden", shape), scratch("laid", shape)
    cv2.multiply(sampled, mask, hidden, 1 / PAINT_STEPS, cv2.CV_32F)
    cv2.addWeighted(grey, 219 / 255, mask, 16 / PAINT_STEPS, 0, laid, cv2.CV_32F)
    return hidden, laid


def _chroma_of(cover: Mouth) -> list[Floats]:
    """Return the share that is kept, 0..1, and Cb and Cr of the paint, ``float32[h // 2, w // 2]``."""
    height, width = cover.shape[0] // 2, cover.shape[1] // 2
    half = scratch("half", (height, width, 4), np.uint8)
    cv2.resize(cover, (width, height), half, interpolation=cv2.INTER_AREA)
    pixels = _floats_of(half, "half floats")
    cv2.transform(pixels, _TO_CHROMA, pixels)
    tones = [scratch(name, (height, width)) for name in ("kept", "blue", "red", "none")]
    cv2.split(pixels, tones)
    return tones[:3]


def _bound_blue(blue: Floats, sampled: Floats, under: Floats) -> None:
    """Make Cb no bluer than teeth among the clip's pixels ``under`` the mouth, or than the sample, in place.

    ``sampled`` is lost.
    """
    mean, _ = cv2.meanStdDev(_middle(under))
    np.maximum(sampled, _tooth_tone(mean), out=sampled)
    np.minimum(blue, sampled, out=blue)


def _bound_red(red: Floats, sampled: Floats, under: Floats) -> None:
    """Make Cr no greener than teeth and no redder than lips, or than the sample, in place, as :func:`_bound_blue`."""
    mean, spread = cv2.meanStdDev(_middle(under))
    least = np.minimum(sampled, _tooth_tone(mean), out=scratch("least", red.shape))
    np.maximum(sampled, np.float32(mean[0, 0] + _LIP_SPREAD * spread[0, 0]), out=sampled)
    np.minimum(red, sampled, out=red)
    np.maximum(red, least, out=red)


def _middle(under: Floats) -> Floats:
    """Return the middle half of a plane in both directions, where lips are."""
    height, width = under.shape
    return under[height // 4 : height - height // 4, width // 4 : width - width // 4]


def _tooth_tone(mean: npt.NDArray[np.float64]) -> np.float32:
    """Return Cb or Cr of teeth in a mouth of a mean Cb or Cr."""
    return np.float32(_GREY + _TOOTH_TINT * (mean[0, 0] - _GREY))


def _lay(view: Picture, under: Floats, painted: Floats, soft: Floats) -> None:
    """Blend one plane into the clip's pixels ``under`` it, into ``view``; ``painted`` is lost."""
    painted -= under
    painted *= soft
    cv2.add(under, painted, view, None, cv2.CV_8U)  # rounds, and stays in 0..255

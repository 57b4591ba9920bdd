"""Fields at the network's size, before they are painted: held still, mixed, and mended where a clip bares its teeth.

A network that is used to closed lips covers such teeth by half with the dark of an open mouth, and what it leaves of
them is a grey haze. There dark paint is laid :func:`firmly <lay_firmly>`. As it closes the lips it hides less than the
whole height of the teeth, and a strip of them stays. There the lips are :func:`closed further <close_over_teeth>`.
"""

import functools

import cv2
import numpy as np
import numpy.typing as npt

from lipstream.realtime.lipsync.fields import PAINT_STEPS, unpack_fields
from lipstream.realtime.picture.scratch_arrays import scratch

Floats = npt.NDArray[np.float32]
Mouth = npt.NDArray[np.uint8]

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

_DARK, _LIGHT = 90.0, 130.0
"""Brightest channel of paint up to which it is the dark between lips, and from which it is lips, tongue or teeth."""
_HIDDEN_FROM = 0.3
"""Rows of the clip, beyond its own, that a row of the mouth must skip to count as hiding them."""
_CLOSED_FURTHER = 0.5
"""How much further the lips close, as a share of what they hide: chosen by looking, so that p, b and m close over the
teeth of a wide smile and vowels keep them."""
_CHIN_PX = 13
"""Rows of the crop below the lips over which that fades away."""
_BARELY, _FULLY = 0.15, 0.5
"""Mask of dark paint at which it vanishes where it is laid firmly, and from which it covers in full."""
_LEVELS = np.arange(256, dtype=np.float32)
_DARKNESS = np.clip((_LIGHT - _LEVELS) / np.float32(_LIGHT - _DARK), 0, 1)
"""How dark paint is, 0..1, by its brightest channel, 0..255."""
_SHARES = np.maximum(_LEVELS, 1) / np.float32(PAINT_STEPS)
_RAMP = np.clip((_SHARES - np.float32(_BARELY)) / np.float32(_FULLY - _BARELY), 0, 1)
_FIRMER = _RAMP * _RAMP * (3 - 2 * _RAMP) / _SHARES - 1
"""What is added to 1 for the factor that lays dark paint firmly, by its mask, 0..255."""


def settle(flow: Floats, hold: float) -> Floats:
    """Return a flow without jumps, and without displacements far below ``hold``.

    Args:
        flow: ``float32[h, w, 2]``, in shares of the crop's side.
        hold: Displacement that is halved, in shares of the crop's side.

    Returns:
        ``float32[2, h, w]``, x and y, an array of this thread.
    """
    blurred = scratch("blurred", flow.shape)
    cv2.GaussianBlur(flow, (0, 0), FLOW_SOFTNESS, blurred, borderType=cv2.BORDER_REPLICATE)
    moves, squares = scratch("moves", (2, *flow.shape[:2])), scratch("squares", (2, *flow.shape[:2]))
    cv2.split(blurred, tuple(moves))
    np.multiply(moves, moves, out=squares)
    share, least = squares
    share += least
    np.add(share, np.float32(hold * hold), out=least)
    share /= least
    moves *= share
    return moves


def mix_fields(rest: Mouth, new: Mouth, weight: float, crop_size: int) -> tuple[Floats, Floats]:
    """Return flow and paint of the mouth at ``weight`` of the way from ``rest`` to ``new``: the lips move.

    A point that ``new`` shows at ``p`` lies in ``rest`` at ``p + d(p)``, with ``d`` the blurred difference of their
    flows, and on its way at ``p + (1 - weight) d(p)``. So the mixture shows at ``q`` what ``new`` has at the ``p`` that
    solves ``q = p + (1 - weight) d(p)``, found by iteration. Teeth and the dark between them keep to the lips, and are
    laid over the rest mouth in full from half the way on.

    Args:
        rest: ``uint8[h, w, 8]``, or ``uint8[h, w, 20]`` with fine paint.
        new: Of the same shape.
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
    moved = _at(flow, across, down)
    if paint.shape[0] != flow.shape[0]:
        size = paint.shape[1], paint.shape[0]
        across, down = (cv2.resize(2 * place + np.float32(0.5), size) for place in (across, down))
    laid = _at(paint, across, down)
    share = min(1.0, weight / _LAID_FROM)
    return (
        np.asarray(cv2.addWeighted(moved, weight, at_rest, 1 - weight, 0)),
        np.asarray(cv2.addWeighted(laid, share, bare, 1 - share, 0)),
    )


def close_over_teeth(flow: Floats, crop_size: int) -> Floats:
    """Return a flow whose lower lip rises further where the lips close over something that the clip shows.

    Where they do, the flow skips rows of the clip from one row of the mouth to the next. What lies below is taken from
    still lower by half as many rows, and less and less so towards the chin.

    Args:
        flow: ``float32[h, w, 2]``, in shares of the crop's side.
        crop_size: Side of the crop, px.
    """
    closed = flow.copy()
    hidden = np.zeros(flow.shape[:2], np.float32)
    np.subtract(flow[1:, :, 1], flow[:-1, :, 1], out=hidden[1:])
    np.maximum(hidden - np.float32(_HIDDEN_FROM / crop_size), 0, out=hidden)
    fade = np.cos(np.linspace(np.pi / 2, 0, _CHIN_PX))[:, None] ** 2 * _CLOSED_FURTHER
    closed[..., 1] += cv2.filter2D(hidden, cv2.CV_32F, fade, anchor=(0, _CHIN_PX - 1), borderType=cv2.BORDER_CONSTANT)
    return closed


def lay_firmly(paint: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return paint whose dark parts cover what is below them in full or not at all, with a smooth step between.

    Args:
        paint: ``uint8[h, w, 4]``, mask, blue, green and red times the mask, 0..255.
    """
    mask, *colours = cv2.split(paint)
    brightest = cv2.divide(functools.reduce(cv2.max, colours), mask, scale=PAINT_STEPS)  # 0 where there is no paint
    factor = cv2.multiply(cv2.LUT(brightest, _DARKNESS), cv2.LUT(mask, _FIRMER))
    factor = cv2.add(factor, 1.0)
    laid = [cv2.multiply(channel, factor, dtype=cv2.CV_8U) for channel in (mask, *colours)]
    return np.asarray(cv2.merge(laid), np.uint8)


def _at(field: Floats, across: Floats, down: Floats) -> Floats:
    return np.asarray(cv2.remap(field, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))

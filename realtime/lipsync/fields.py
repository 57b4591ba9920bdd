"""Fields of a copying head in bytes: where each pixel of a mouth comes from, and what is painted over it.

A mouth is ``uint8[h, w, 3]`` BGR if its head paints pixels, and ``uint8[h, w, 8]`` if its head copies. The eight bytes
of a pixel are, in this order::

    flow x, flow y   two bytes each, int16, the low byte first: shares of MAX_FLOW in FLOW_STEPS steps
    mask             one byte: share of the pixel that is painted, 0..255
    paint            blue, green, red: the colour times the mask, 0..255

With fine paint, which has twice the crop's size, a mouth is ``uint8[h, w, 20]``: flow x and y, then mask and paint of
the pixel's four quarters, row by row.

One step of the flow is 1 / 131,068 of the crop's side, 0.005 px of a picture whose face is 600 px wide. Rounding mask
and paint moves a pixel by less than 1 of 255 together. The paint is multiplied by the mask because such fields may be
enlarged and mixed as they are: a colour counts for as much as it covers.
"""

import numpy as np
import numpy.typing as npt

MAX_FLOW = 0.5
"""Largest displacement of the copying head in normalised coordinates (-1..1): a quarter of the crop."""
FLOW_STEPS, PAINT_STEPS = 32767, 255
FLOW_STEP = np.float32(MAX_FLOW / 2 / FLOW_STEPS)
"""One step of a flow, in shares of the crop's side."""
PIXEL_BYTES, FLOW_BYTES, FIELD_BYTES, FINE_FIELD_BYTES = 3, 4, 8, 20
"""Bytes of one pixel of a mouth; fields that paint nothing may be kept as their flow."""
FIELDS_BYTES = {1: FIELD_BYTES, 2: FINE_FIELD_BYTES}
"""Bytes of one pixel of fields, by the scale of their paint."""


def unpack_fields(mouth: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return a mouth's flow and paint.

    Args:
        mouth: ``uint8[..., h, w, 8]``, or ``uint8[..., h, w, 20]`` with fine paint.

    Returns:
        ``float32[..., h, w, 2]``, displacement x and y in shares of the crop's side, at most 0.25; and
        ``float32[..., h, w, 4]`` or ``float32[..., 2 h, 2 w, 4]``, mask, blue, green and red times the mask, 0..255.
    """
    steps, paint = split_fields(mouth)
    return steps * FLOW_STEP, paint.astype(np.float32)


def split_fields(mouth: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.uint8]]:
    """Return flow and paint as :func:`unpack_fields` does, in the steps of the bytes.

    Args:
        mouth: ``uint8[..., h, w, 8]``, or ``uint8[..., h, w, 20]`` with fine paint.

    Returns:
        ``int16[..., h, w, 2]``, of :data:`FLOW_STEP` each, and ``uint8[..., h, w, 4]`` or ``uint8[..., 2 h, 2 w, 4]``.
    """
    quads = np.ascontiguousarray(mouth).view("<u4")  # four bytes a pixel each: several times as fast as strided bytes
    *_, height, width, count = quads.shape
    steps, paint = np.ascontiguousarray(quads[..., 0])[..., None], quads[..., 1]
    if count > 2:
        paint = np.empty((*quads.shape[:-3], 2 * height, 2 * width), "<u4")
        for quarter in range(4):  # four strided copies: several times as fast as one of transposed axes
            paint[..., quarter // 2 :: 2, quarter % 2 :: 2] = quads[..., 1 + quarter]
    return steps.view("<i2"), np.ascontiguousarray(paint)[..., None].view(np.uint8)


def with_paint(mouth: npt.NDArray[np.uint8], pixel_bytes: int) -> npt.NDArray[np.uint8]:
    """Return fields ``uint8[h, w, pixel_bytes]`` of a mouth that may be kept as its flow alone."""
    if mouth.shape[-1] != FLOW_BYTES:
        return mouth
    fields = np.zeros((*mouth.shape[:-1], pixel_bytes), np.uint8)
    fields[..., :FLOW_BYTES] = mouth
    return fields


def pack_fields(flow: npt.NDArray[np.float32], paint: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Return the mouth of what :func:`unpack_fields` returns, rounded and clipped to the ranges."""
    steps = np.rint(np.clip(flow * np.float32(2 / MAX_FLOW), -1, 1) * FLOW_STEPS).astype("<i2")
    colours = np.rint(np.clip(paint, 0, PAINT_STEPS)).astype(np.uint8)
    height, width = flow.shape[:2]
    if colours.shape[0] != height:
        quarters = colours.reshape(height, 2, width, 2, 4).transpose(0, 2, 1, 3, 4)
        colours = np.ascontiguousarray(quarters).reshape(height, width, 16)
    return np.concatenate((np.ascontiguousarray(steps).view(np.uint8), colours), axis=-1)

"""Fields of a copying head in bytes: where each pixel of a mouth comes from, and what is painted over it.

A mouth is ``uint8[h, w, 3]`` BGR if its head paints pixels, and ``uint8[h, w, 8]`` if its head copies. The eight bytes
of a pixel are, in this order::

    flow x, flow y   two bytes each, int16, the low byte first: shares of MAX_FLOW in FLOW_STEPS steps
    mask             one byte: share of the pixel that is painted, 0..255
    paint            blue, green, red: the colour times the mask, 0..255

One step of the flow is 1 / 131,068 of the crop's side, 0.005 px of a picture whose face is 600 px wide. Rounding mask
and paint moves a pixel by less than 1 of 255 together. The paint is multiplied by the mask because such fields may be
enlarged and mixed as they are: a colour counts for as much as it covers.
"""

import numpy as np
import numpy.typing as npt

MAX_FLOW = 0.5
"""Largest displacement of the copying head in normalised coordinates (-1..1): a quarter of the crop."""
FLOW_STEPS, PAINT_STEPS = 32767, 255
PIXEL_BYTES, FIELD_BYTES = 3, 8
"""Bytes of one pixel of a mouth."""


def unpack_fields(mouth: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return a mouth's flow and paint.

    Args:
        mouth: ``uint8[..., h, w, 8]``.

    Returns:
        ``float32[..., h, w, 2]``, displacement x and y in shares of the crop's side, at most 0.25; and
        ``float32[..., h, w, 4]``, mask, blue, green and red times the mask, 0..255.
    """
    halves = np.ascontiguousarray(mouth).view("<u4")  # four bytes a pixel each: several times as fast as strided bytes
    steps, paint = (np.ascontiguousarray(halves[..., at])[..., None] for at in (0, 1))
    return steps.view("<i2") * np.float32(MAX_FLOW / 2 / FLOW_STEPS), paint.view(np.uint8).astype(np.float32)


def pack_fields(flow: npt.NDArray[np.float32], paint: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Return the ``uint8[h, w, 8]`` mouth of what :func:`unpack_fields` returns, rounded and clipped to the ranges."""
    steps = np.rint(np.clip(flow * np.float32(2 / MAX_FLOW), -1, 1) * FLOW_STEPS).astype("<i2")
    colours = np.rint(np.clip(paint, 0, PAINT_STEPS)).astype(np.uint8)
    return np.concatenate((np.ascontiguousarray(steps).view(np.uint8), colours), axis=-1)

"""I420 pictures: planes, chroma geometry, and BT.601 limited-range conversion.

A picture is one ``uint8[h * 3 // 2, w]`` array: ``h`` rows of luma, then both chroma planes at half size, each as
``h // 4`` rows of ``w``. Height and width are even; height is a multiple of 4 so that the planes are whole rows.
"""

import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]

# ITU-R BT.601: rows give Y, Cb, Cr from blue, green, red in 0..255; Y spans 16..235, chroma 16..240.
BGR_TO_YCBCR = np.array(
    [
        [0.114 * 219 / 255, 0.587 * 219 / 255, 0.299 * 219 / 255],
        [0.5 * 224 / 255, -0.331264 * 224 / 255, -0.168736 * 224 / 255],
        [-0.081312 * 224 / 255, -0.418688 * 224 / 255, 0.5 * 224 / 255],
    ],
    np.float32,
)
_OFFSET = np.array([16.0, 128.0, 128.0], np.float32)
BGR_TO_YCBCR_OFFSET = np.column_stack((BGR_TO_YCBCR, _OFFSET))
"""``BGR_TO_YCBCR`` with the offsets as a fourth column: the form that ``cv2.transform`` takes."""
_YCBCR_TO_BGR = np.linalg.inv(BGR_TO_YCBCR.astype(np.float64)).astype(np.float32)


def planes(picture: Picture) -> tuple[Picture, Picture, Picture]:
    """Return views of the luma ``[h, w]`` and chroma ``[h // 2, w // 2]`` planes."""
    chroma = chroma_planes(picture)
    return picture[: picture.shape[0] * 2 // 3], chroma[0], chroma[1]


def chroma_planes(picture: Picture) -> Picture:
    """Return a view of both chroma planes, ``[2, h // 2, w // 2]``, Cb before Cr."""
    rows, width = picture.shape
    height = rows * 2 // 3
    return picture[height:].reshape(2, height // 2, width // 2)


def bgr_to_ycbcr(bgr: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Return ``float32[h, w, 3]`` Y, Cb, Cr of ``uint8[h, w, 3]`` BGR, unrounded."""
    ycbcr: npt.NDArray[np.float32] = bgr.astype(np.float32) @ BGR_TO_YCBCR.T + _OFFSET
    return ycbcr


def halve(plane: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the means of 2 x 2 blocks of ``[h, w, ...]``: chroma sited amid its luma samples, as in MPEG-1."""
    return (plane[0::2, 0::2] + plane[1::2, 0::2] + plane[0::2, 1::2] + plane[1::2, 1::2]) / np.float32(4)


def bgr_to_i420(bgr: npt.NDArray[np.uint8]) -> Picture:
    """Return the I420 picture of ``uint8[h, w, 3]`` BGR with ``h`` a multiple of 4 and ``w`` even."""
    height, width = bgr.shape[:2]
    ycbcr = bgr_to_ycbcr(bgr)
    picture = np.empty((height * 3 // 2, width), np.uint8)
    luma, blue, red = planes(picture)
    luma[:] = np.rint(ycbcr[..., 0])
    chroma = halve(ycbcr[..., 1:])
    blue[:] = np.rint(chroma[..., 0])
    red[:] = np.rint(chroma[..., 1])
    return picture


def i420_to_bgr(
    picture: Picture, *, top: int = 0, left: int = 0, height: int = 0, width: int = 0
) -> npt.NDArray[np.uint8]:
    """Return a rectangle of a picture as ``uint8[height, width, 3]`` BGR; all edges even, size 0 meaning to the end."""
    luma, blue, red = planes(picture)
    height, width = height or luma.shape[0] - top, width or luma.shape[1] - left
    rows, columns = slice(top, top + height), slice(left, left + width)
    chroma_rows, chroma_columns = slice(top // 2, (top + height) // 2), slice(left // 2, (left + width) // 2)
    ycbcr = np.empty((height, width, 3), np.float32)
    ycbcr[..., 0] = luma[rows, columns]
    for channel, plane in ((1, blue), (2, red)):
        ycbcr[..., channel] = plane[chroma_rows, chroma_columns].repeat(2, axis=0).repeat(2, axis=1)
    bgr: npt.NDArray[np.uint8] = np.clip(np.rint((ycbcr - _OFFSET) @ _YCBCR_TO_BGR.T), 0, 255).astype(np.uint8)
    return bgr

"""Moves the outline of an eye onto the eye: landmarks are off by a few pixels, which blinks would show."""

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

_ACROSS, _DOWN = 0.15, 0.3
"""Largest distance of an eye from its landmarks, as shares of its width."""
_LEAST_OPEN = 0.4
"""Least ratio of height to width of an open eye."""
_AROUND = 0.62, 0.9
"""Half axes of the ring examined around the eye: as a share of its width, and of its height."""
_SIZE = 48
"""Width to which an eye is scaled for the search, px."""


def settle_eye(luma: npt.NDArray[np.uint8], outline: Floats) -> Floats:
    """Return an eye's outline moved to the place with the most detail inside and the least around it.

    Skin is smooth compared to iris, white and lashes, so the spread of luma alone finds the eye.

    Args:
        luma: ``uint8[h, w]``.
        outline: ``float32[6, 2]``, px: corner, two points of the upper lid, corner, two of the lower lid.
    """
    width = float(np.linalg.norm(outline[3] - outline[0]))
    middle = outline.mean(axis=0)
    opened = _opened(outline, width)
    scale = _SIZE / max(width, 1.0)
    side = int(2.2 * _SIZE)
    matrix = np.array([[scale, 0, side / 2 - scale * middle[0]], [0, scale, side / 2 - scale * middle[1]]])
    near = cv2.warpAffine(luma, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    height = float(opened[4:, 1].mean() - opened[1:3, 1].mean()) * scale
    inside, around = _kernels(height)
    worth = _spread(near, inside) - 0.7 * _spread(near, around)
    reach_x, reach_y = round(_ACROSS * _SIZE), round(_DOWN * _SIZE)
    at = side // 2
    window = worth[at - reach_y : at + reach_y + 1, at - reach_x : at + reach_x + 1]
    row, column = np.unravel_index(int(window.argmax()), window.shape)
    moved: Floats = (opened + np.array([column - reach_x, row - reach_y]) / scale).astype(np.float32)
    return moved


def _opened(outline: Floats, width: float) -> Floats:
    """Return the outline with its lids at least as far apart as those of an open eye."""
    height = float(outline[4:, 1].mean() - outline[1:3, 1].mean())
    more = max(_LEAST_OPEN * width - height, 0.0) / 2
    opened = outline.copy()
    opened[1:3, 1] -= more
    opened[4:, 1] += more
    return opened


def _kernels(height: float) -> tuple[Floats, Floats]:
    """Return masks of an ellipse of this height and of the ring around it, on one grid."""
    reach = int(max(_AROUND[0] * _SIZE, _AROUND[1] * height))
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    inside = np.hypot(columns / (_SIZE / 2), rows / max(height / 2, 1)) <= 1
    around = np.hypot(columns / (_AROUND[0] * _SIZE), rows / max(_AROUND[1] * height, 1)) <= 1
    return inside.astype(np.float32), (around & ~inside).astype(np.float32)


def _spread(luma: npt.NDArray[np.uint8], kernel: Floats) -> Floats:
    """Return the standard deviation of luma under the kernel, centred on each pixel."""
    values, share = luma.astype(np.float32), kernel / kernel.sum()
    mean, square = (cv2.filter2D(v, cv2.CV_32F, share, borderType=cv2.BORDER_REPLICATE) for v in (values, values**2))
    spread: Floats = np.sqrt(np.maximum(square - mean**2, 0))
    return spread

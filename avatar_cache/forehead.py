"""How much of a forehead is bare: detectors end a face's box at the hair, and landmarks end at the brows."""

import cv2
import numpy as np
import numpy.typing as npt

from lipstream.avatar_cache.photo import Bgr

Floats = npt.NDArray[np.float32]

_UNIT_PX = 40
"""Distance from the eyes to the chin in the patch that is looked at."""
_ABOVE, _BELOW, _BESIDE = 1.2, 0.5, 0.6
"""Reach of the patch from the middle of the eyes, in that distance."""
_CLEAR_OF_BROWS, _FOREHEAD = 0.02, 0.75
"""Where the forehead begins above the brows, and how far up it is looked at, in that distance."""
_HALF_WIDTH = 0.3
_FARTHEST = 12.0
"""Distance from the skin's colour, in CIELAB with half its lightness, beyond which a pixel is no skin."""

_CHEEKS = ((27, 29), (31, 2), (35, 14), (31, 36), (35, 45))
"""Pairs of landmarks amid which there is skin: the nose's ridge, and either cheek's middle and upper part."""


def bare_forehead(picture: Bgr, points: Floats) -> float:
    """Return how far skin reaches up from the brows, as a share of the distance from the eyes to the chin, 0 to 0.75.

    A row of the forehead is bare if half of it has the colour of nose and cheeks.

    Args:
        picture: ``uint8[h, w, 3]``, BGR.
        points: The 68 landmarks, ``float32[68, 2]``, px.
    """
    patch, places = _upright(picture, points)
    lab = cv2.cvtColor(patch.astype(np.float32) / 255, cv2.COLOR_BGR2LAB)
    right, bottom = lab.shape[1] - 1, lab.shape[0] - 1
    beside = [places[29], *((places[one] + places[other]) / 2 for one, other in _CHEEKS)]
    skin = np.median([lab[int(np.clip(y, 0, bottom)), int(np.clip(x, 0, right))] for x, y in beside], axis=0)
    brows, middle = places[19:25, 1].mean(), places[27, 0]
    low = int(brows - _CLEAR_OF_BROWS * _UNIT_PX)
    high, half = max(low - round(_FOREHEAD * _UNIT_PX), 0), _HALF_WIDTH * _UNIT_PX
    forehead = lab[high:low, max(int(middle - half), 0) : int(middle + half)]
    if not forehead.size:  # the brows lie at the patch's edge: these are no landmarks of a face
        return 0.0
    is_skin = np.sqrt((((forehead - skin) / (2, 1, 1)) ** 2).sum(axis=2)) < _FARTHEST
    rows = is_skin.mean(axis=1)[::-1] >= 0.5
    return float(len(rows) if rows.all() else rows.argmin()) / _UNIT_PX


def _upright(picture: Bgr, points: Floats) -> tuple[Bgr, Floats]:
    """Return a small picture of the face, its eyes level, and the landmarks in it."""
    places = points.astype(np.float64)
    eyes = places[36:48].mean(axis=0)
    down = places[6:11].mean(axis=0) - eyes
    apart = max(float(np.hypot(*down)), 1.0)
    # Shrunk by areas first: a turn that samples points would see single hairs and noise.
    shrink = min(_UNIT_PX / apart, 1.0)
    reach = 1.8 * apart
    height, width = picture.shape[:2]
    left, right = (int(np.clip(eyes[0] + way * reach, 0, width - 1)) for way in (-1, 1))
    top, bottom = (int(np.clip(eyes[1] + way * reach, 0, height - 1)) for way in (-1, 1))
    around = picture[top : bottom + 1, left : right + 1]
    size = max(round(shrink * around.shape[1]), 1), max(round(shrink * around.shape[0]), 1)
    small = cv2.resize(around, size, interpolation=cv2.INTER_AREA)
    scale = _UNIT_PX / apart / shrink
    cosine, sine = scale * down[::-1] / apart
    turn = np.array([[cosine, -sine], [sine, cosine]])
    at = (eyes - (left, top) + 0.5) * shrink - 0.5
    middle = np.array([_BESIDE, _ABOVE]) * _UNIT_PX
    matrix = np.column_stack([turn, middle - turn @ at])
    patch_size = round(2 * _BESIDE * _UNIT_PX), round((_ABOVE + _BELOW) * _UNIT_PX)
    patch = cv2.warpAffine(small, matrix, patch_size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    moved = ((places - (left, top) + 0.5) * shrink - 0.5) @ turn.T + matrix[:, 2]
    return np.asarray(patch, np.uint8), moved.astype(np.float32)

"""Finds the rims of an open eye: landmarks are off by a few pixels, which blinks would show.

Skin around an eye changes its colour slowly; iris, white and lashes do not look like it. So the surroundings' colour is
fitted by a surface of the second degree, what differs from it counts as eye, and the shape of an eye is moved over the
picture until it holds as much of that and as little else as can be.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from lipstream.avatar_cache.photo import Bgr

Floats = npt.NDArray[np.float32]

_SIZE = 64
"""Width to which an eye is scaled for the search, px."""
_WINDOW = 2.4, 1.8
"""Width and height of the window that is searched, in widths of the eye."""
_RING_INNER, _RING_OUTER = (0.55, 0.30), (0.85, 0.60)
"""Half axes of the ring whose colour is the skin's, in widths of the eye."""
_SKIN = 0.75
"""Share of the ring that is taken for skin; the rest are brows, lashes and edges of shadows."""
_UNLIKE = 3.0
"""Distance from the skin's colour, in its own deviations, at which a pixel is as much eye as skin."""
_LEVEL_NOISE = 1.5
"""Added to the skin's deviations: an even surface has none."""
_UNITS = np.array((_SIZE, _SIZE, 1, _SIZE, _SIZE))
_USUAL, _SPREAD = np.array((_WINDOW[1] / 2, 0.5, 0.0, 0.21, 0.13)), np.array((0.3, 0.12, 0.2, 0.06, 0.045))
"""Mean and deviation of an eye's row, half width, tilt, and height above and below its corners."""
_ODD = 20.0
"""Pixels that a shape has to hold more for each squared deviation."""
_STARTS = (-0.22, -0.11, 0.0, 0.11, 0.22)
"""Heights at which the search begins, in widths of the eye."""


@dataclass(frozen=True, slots=True)
class EyeShape:
    """The rims of an open eye: two parabolas that meet at the corners.

    Attributes:
        x: Column of the middle between the corners, px.
        y: Row of the middle between the corners, px.
        half: Half the distance of the corners, px.
        tilt: Rows that the line between the corners falls for each column.
        up: Height of the upper rim over that line, px.
        low: Depth of the lower rim below that line, px.
    """

    x: float
    y: float
    half: float
    tilt: float
    up: float
    low: float

    def rims(self, x: npt.NDArray[np.floating]) -> tuple[Floats, Floats]:
        """Return the rows of the upper and the lower rim at some columns, px; beyond the corners they are one line."""
        across = np.clip((x - self.x) / self.half, -1, 1)
        line, arch = self.y + self.tilt * (x - self.x), 1 - across * across
        return (line - self.up * arch).astype(np.float32), (line + self.low * arch).astype(np.float32)


def fit_eye(picture: Bgr, outline: Floats) -> EyeShape:
    """Return the shape of the eye near some landmarks.

    Args:
        picture: ``uint8[h, w, 3]``.
        outline: ``float32[6, 2]``, px: corner, two points of the upper lid, corner, two of the lower lid.
    """
    scale = _SIZE / max(float(np.linalg.norm(outline[3] - outline[0])), 4.0)
    width, height = (int(side * _SIZE) for side in _WINDOW)
    shift = np.array((width, height)) / 2 - scale * outline.mean(axis=0)
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    source = cv2.GaussianBlur(picture, (0, 0), 0.4 / scale) if scale < 1 else picture  # warping alone would alias
    near = cv2.warpAffine(source, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    found = _search(_unlike_skin(np.asarray(near, np.uint8)))
    x, y = (found[:2] - shift) / scale
    return EyeShape(float(x), float(y), found[2] / scale, found[3], found[4] / scale, found[5] / scale)


def _unlike_skin(near: Bgr) -> Floats:
    """Return how little each pixel of a window looks like the skin around its eye, ``float32[h, w]``, 0..1."""
    height, width = near.shape[:2]
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    u, v = (columns - width / 2) / _SIZE, (rows - height / 2) / _SIZE
    ring = (np.hypot(u / _RING_OUTER[0], v / _RING_OUTER[1]) < 1) & (
        np.hypot(u / _RING_INNER[0], v / _RING_INNER[1]) > 1
    )
    colours = cv2.cvtColor(cv2.GaussianBlur(near, (0, 0), 1.0), cv2.COLOR_BGR2YCrCb).astype(np.float32)
    surface = np.stack([np.ones_like(u), u, v, u * u, v * v, u * v], axis=-1)
    skin = ring
    for _ in range(4):
        factors, *_ = np.linalg.lstsq(surface[skin], colours[skin], rcond=None)
        away = np.abs(colours - surface @ factors)
        spread = 1.48 * np.median(away[skin], axis=0) + _LEVEL_NOISE
        distance = np.sqrt(((away / spread) ** 2).mean(axis=-1))
        skin = ring & (distance <= np.quantile(distance[ring], _SKIN))
    unlike = (distance**2 / (distance**2 + _UNLIKE**2)).astype(np.float32)
    # An iris may have the skin's colour: what lies between eye is eye.
    closed: Floats = cv2.morphologyEx(unlike, cv2.MORPH_CLOSE, np.ones((1, 13), np.uint8))
    return closed


def _search(unlike: Floats) -> npt.NDArray[np.float64]:
    """Return the fields of the best :class:`EyeShape`, px of the window."""
    height, width = unlike.shape
    worth = unlike - 0.5
    above = np.vstack(
        [np.zeros((1, width)), np.cumsum(worth, axis=0, dtype=np.float64)]
    )  # of each row, what lies above
    columns, at_column = np.arange(width, dtype=np.float64), np.arange(width)

    def value(shape: npt.NDArray[np.float64]) -> float:
        inside = np.abs(columns - shape[0]) < shape[2]
        sums = []
        for rim in EyeShape(*shape).rims(columns):
            at = np.clip(rim, 0, height - 1e-3)
            whole = at.astype(int)
            sums.append(above[whole, at_column] + (at - whole) * worth[whole, at_column])
        odd = (((shape[1:] / _UNITS - _USUAL) / _SPREAD) ** 2).sum()  # what is far from usual has to hold much more
        return float(((sums[1] - sums[0]) * inside).sum() - _ODD * odd)

    least = np.array((-np.inf, -np.inf, 0.36 * _SIZE, -0.35, 0.06 * _SIZE, 0.04 * _SIZE))
    most = np.array((np.inf, np.inf, 0.64 * _SIZE, 0.35, 0.35 * _SIZE, 0.28 * _SIZE))
    first_steps = np.array((0.08 * _SIZE, 0.06 * _SIZE, 0.08 * _SIZE, 0.08, 0.05 * _SIZE, 0.05 * _SIZE))
    best_value, best = -np.inf, least
    for start in _STARTS:
        shape = np.array((width / 2, height / 2 + start * _SIZE, 0.5 * _SIZE, 0.0, 0.2 * _SIZE, 0.12 * _SIZE))
        found, steps = value(shape), first_steps
        while steps[0] > 0.3:  # px; then no rim moves by a visible amount
            before = found
            for move in (*np.diag(steps), *np.diag(-steps)):
                tried = np.clip(shape + move, least, most)
                if (got := value(tried)) > found:
                    shape, found = tried, got
            if found == before:
                steps = steps / 2
        if found > best_value:
            best_value, best = found, shape
    return best

"""Shuts the eyes of a photograph: skin is drawn over the eye, and the upper lid's rim with its lashes comes down.

A shut eye is drawn once. The skin over it is spanned between the upper lid and the cheek (a membrane: Laplace's
equation, whose values at the border are the picture's own), darker in the fold above and along the lashes, brighter
where the eyeball bulges, with the grain of the skin below the eye. Lashes take the colour of the eye's own dark rim. Or
all of it comes from a second picture of the same face with its eyes shut.

While a lid falls, everything above its rim is that skin, pushed together towards the fold, and everything below is the
open eye. So the white is always covered wholly, wherever exactly the eye's corners are.
"""

import cv2
import numpy as np
import numpy.typing as npt

from lipstream.avatar_cache.eye_fitting import EyeShape
from lipstream.avatar_cache.photo import Bgr

Floats = npt.NDArray[np.float32]
Window = tuple[slice, slice]

# Lengths are in widths of the eye.
_AROUND = 0.75
"""Size of the window beyond the eye's corners and rims."""
_PATCH_ACROSS, _PATCH_ABOVE, _PATCH_BELOW = 0.14, 0.10, 0.15
"""How far beyond the corners, the upper and the lower rim the skin is drawn: lashes and pink corners reach that far."""
_PATCH_SOFT = 0.035
"""Standard deviation of the skin's soft edge."""
_SHUT_AT = 0.82
"""Where the rim of a shut lid lies between the upper rim of the open eye, 0, and the lower, 1."""
_FOLD = 0.42
"""Height of the fold over the upper rim; a falling lid is pushed together below it."""
_LINE = 0.020
"""Thickness of the lashes' line in the middle of a lid; it is thinner at the corners."""
_LASHES, _LASH_LENGTH, _LASH_LEAN = 34, 0.06, 0.7
_LASH_COVER, _LINE_COVER = 0.4, 0.85
_SHADE_FOLD, _SHADE_LASHES, _LIGHT = 0.05, 0.13, 0.035
"""How much darker the skin is above and along the lashes, and how much brighter on the eyeball, as shares of it."""
_GRAIN = 0.06
"""Standard deviation of the blur that separates the skin's grain from its shade."""
_MOST_GRAIN = 6.0
"""Levels: more is no grain but a hair, a highlight or the window's end."""
_MEMBRANE = 72
"""Width to which an eye is scaled to span its skin, px; it is smooth, so more would be wasted."""
_SWEEPS = 500
_FINER = 4
"""Lashes are drawn this many times as large, since they are thinner than a pixel."""
_DARK = 0.04
"""Share of the eye's pixels that are its lashes and its pupil: the colour of the lashes is taken there."""
_HANG = 0.04
"""How far below its rim a photographed lid covers the eye: its lashes."""
_APPEARS = 0.18
"""How far a lid falls until its drawn skin has taken the place of the picture's."""


class Eyelid:
    """One eye of a photograph.

    Args:
        picture: ``uint8[h, w, 3]``.
        shape: The open eye.
        shut_picture: The same face with its eyes shut, laid over ``picture``; ``None`` to draw the lid.
    """

    def __init__(self, picture: Bgr, shape: EyeShape, shut_picture: Bgr | None = None) -> None:
        width = 2 * shape.half
        self._width = width
        self.window = _window(shape, picture.shape[:2])
        rows, columns = self.window
        self._x = np.arange(columns.start, columns.stop, dtype=np.float32)
        self._y = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None]
        self._top, low = shape.rims(self._x)
        self._shut = self._top + _SHUT_AT * (low - self._top)
        self._fold = self._top - np.float32(_FOLD * width)
        self._patch = _soft_patch(self._x, self._y, shape)
        self._lash = np.zeros((*self._patch.shape, 1), np.float32)
        self._ink = np.zeros(3, np.float32)
        near = picture[self.window].astype(np.float32)
        self._hang = np.float32(0 if shut_picture is None else _HANG * width)
        if shut_picture is None:
            self._skin = self._drawn_skin(near, np.abs(self._x - shape.x) / shape.half)
            self._ink = _dark_colour(near, self._patch)
            self._lash = self._drawn_lashes(shape)
        else:
            self._skin = shut_picture[self.window].astype(np.float32)

    def shut(self, picture: Bgr, amount: float) -> None:
        """Shut the eye in a picture, in place.

        Args:
            picture: ``uint8[h, w, 3]``, the photograph.
            amount: 0 leaves it open, 1 shuts it.
        """
        rim = self._top + np.float32(amount) * (self._shut - self._top)
        above = self._y < rim
        # Above the rim the lid is pushed together towards its fold; below it, lashes hang as they do from a shut lid.
        pushed = self._fold + (self._y - self._fold) * ((self._shut - self._fold) / (rim - self._fold))
        source = np.where(above & (self._y > self._fold), pushed, np.where(above, self._y, self._y + self._shut - rim))
        x = np.broadcast_to(self._x - self._x[0], source.shape).astype(np.float32)
        y = (source - self._y[0]).astype(np.float32)
        lid = cv2.remap(self._skin, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        lash = cv2.remap(self._lash, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[..., None]
        covered = np.clip(rim + self._hang - self._y + 0.5, 0, 1)
        below = np.clip((amount - 0.85) / 0.15, 0, 1)  # a shut lid lies on the lower one: their corners are covered too
        covered = np.maximum(covered, below)
        share = (self._patch * covered * min(1.0, amount / _APPEARS))[..., None]
        near = picture[self.window].astype(np.float32)
        near += share * (lid - near)
        near += lash * min(1.0, amount / _APPEARS) * (self._ink - near)
        picture[self.window] = np.clip(np.rint(near), 0, 255).astype(np.uint8)

    def _drawn_skin(self, near: Floats, across: Floats) -> Floats:
        """Return the window with skin over the eye, without lashes."""
        skin = _membrane(near, self._patch, _MEMBRANE / self._width)
        grain = near - cv2.GaussianBlur(near, (0, 0), _GRAIN * self._width)
        below = round(0.55 * self._width)  # the cheek's, moved up over the eye
        moved = np.clip(np.roll(grain, -below, axis=0), -_MOST_GRAIN, _MOST_GRAIN)
        bulge = np.clip(1 - across**2, 0, 1)
        depth = (self._shut - self._y) / np.float32(self._width)  # above the lashes
        shade = -_SHADE_LASHES * np.exp(-((depth / 0.05) ** 2)) - _SHADE_FOLD * np.exp(-(((depth - 0.36) / 0.06) ** 2))
        shade += _LIGHT * np.exp(-(((depth - 0.17) / 0.09) ** 2))
        drawn = (skin + moved) * (1 + (shade * np.sqrt(bulge))[..., None])
        laid: Floats = near + self._patch[..., None] * (drawn.astype(np.float32) - near)
        return laid

    def _drawn_lashes(self, shape: EyeShape) -> Floats:
        """Return how much of each pixel lashes cover when the eye is shut, ``float32[h, w, 1]``, 0..1."""
        size = self._patch.shape
        line, lashes = (np.zeros((size[0] * _FINER, size[1] * _FINER), np.uint8) for _ in range(2))
        corner = np.array((self._x[0] - 0.5, self._y[0, 0] - 0.5))

        def placed(x: npt.NDArray[np.floating], y: npt.NDArray[np.floating]) -> npt.NDArray[np.int32]:
            points: npt.NDArray[np.int32] = np.rint((np.stack((x, y), axis=-1) - corner) * _FINER * 16).astype(np.int32)
            return points

        u = np.linspace(-1.02, 1.02, 81)
        x = shape.x + u * shape.half
        top, low = shape.rims(x)
        rim = top + _SHUT_AT * (low - top)
        thick = _LINE * self._width * np.clip(1 - 0.75 * u**4, 0.15, 1)
        outline = np.concatenate((placed(x, rim - 0.5 * thick), placed(x, rim + 0.5 * thick)[::-1]))
        cv2.fillPoly(line, [outline], 255, cv2.LINE_AA, 4)
        rng = np.random.default_rng(5)
        for at in np.linspace(-0.92, 0.97, _LASHES):
            root = shape.x + (at + rng.uniform(-0.02, 0.02)) * shape.half
            rims = shape.rims(np.array([root]))
            start = np.array((root, float(rims[0][0] + _SHUT_AT * (rims[1][0] - rims[0][0]))))
            length = _LASH_LENGTH * self._width * rng.uniform(0.7, 1.15) * (1 - 0.45 * at * at)
            along = np.linspace(0, 1, 6)
            lean = _LASH_LEAN * at * length
            path_x, path_y = start[0] + lean * along**1.5, start[1] + length * (along - 0.35 * along**2)
            drawn = placed(path_x, path_y)
            for part in range(len(along) - 1):
                thickness = max(1, round(_FINER * self._width * 0.011 * (1 - along[part])))
                cv2.line(
                    lashes, tuple(drawn[part].tolist()), tuple(drawn[part + 1].tolist()), 255, thickness, cv2.LINE_AA, 4
                )
        shrunk = [
            cv2.resize(part, size[::-1], interpolation=cv2.INTER_AREA).astype(np.float32) / 255
            for part in (line, lashes)
        ]
        soft = cv2.GaussianBlur(shrunk[0], (0, 0), max(0.008 * self._width, 0.4))
        cover: Floats = np.maximum(_LINE_COVER * soft, _LASH_COVER * shrunk[1])[..., None]
        return cover


def _window(shape: EyeShape, size: tuple[int, ...]) -> Window:
    across, down = (1 + 2 * _AROUND) * shape.half, 2 * _AROUND * shape.half
    height, width = size
    rows = slice(max(int(shape.y - shape.up - down), 0), min(int(shape.y + shape.low + down) + 1, height))
    return rows, slice(max(int(shape.x - across), 0), min(int(shape.x + across) + 1, width))


def _soft_patch(x: Floats, y: Floats, shape: EyeShape) -> Floats:
    """Return where skin is drawn, ``float32[h, w]``, 0..1."""
    wide = EyeShape(
        shape.x,
        shape.y,
        shape.half + 2 * _PATCH_ACROSS * shape.half,
        shape.tilt,
        shape.up + 2 * _PATCH_ABOVE * shape.half,
        shape.low + 2 * _PATCH_BELOW * shape.half,
    )
    top, bottom = wide.rims(x)
    inside = (y > top) & (y < bottom)
    soft: Floats = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), max(2 * _PATCH_SOFT * shape.half, 0.5))
    return soft


def _membrane(near: Floats, patch: Floats, scale: float) -> Floats:
    """Return a window whose patch is spanned smoothly between the colours around it."""
    height, width = patch.shape
    size = max(round(width * scale), 8), max(round(height * scale), 8)
    calm = cv2.GaussianBlur(near, (0, 0), 0.7 / scale) if scale < 1 else near
    small = cv2.resize(calm, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    free = (cv2.resize(patch, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR) > 0.02)[..., None]
    around = small[~free[..., 0]].mean(axis=0) if not free.all() else small.mean(axis=(0, 1))
    spanned = np.where(free, around, small).astype(np.float32)
    star = np.array(((0, 0.25, 0), (0.25, 0, 0.25), (0, 0.25, 0)), np.float32)
    for _ in range(_SWEEPS):
        spanned = np.where(free, cv2.filter2D(spanned, -1, star, borderType=cv2.BORDER_REPLICATE), small)
    return np.asarray(cv2.resize(spanned, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)


def _dark_colour(near: Floats, patch: Floats) -> Floats:
    """Return the colour of the darkest pixels of an eye, BGR."""
    pixels = near[patch > 0.5]
    if not len(pixels):
        return np.zeros(3, np.float32)
    light = pixels.mean(axis=1)
    colour: Floats = pixels[light <= np.quantile(light, _DARK)].mean(axis=0)
    return colour

"""The visible mark that labels a picture as made by AI.

The mark is drawn once for each style and picture size and then blended into every outgoing frame. Its pixels never
change, so an encoder spends no bits on it. Viewers cannot turn it off.
"""

import functools
import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from lipstream.realtime.picture.i420 import Picture, planes
from lipstream.realtime.picture.mark_style import MarkStyle

_PLATE_WEIGHT = 0.62
"""Opacity of the dark plate under the letters: the picture shows through, and the text is legible on a white wall."""
_MARGIN, _PADDING_X, _PADDING_Y, _RADIUS = 0.03, 0.55, 0.42, 0.4
"""Margin as a share of the picture's short side; the others as shares of the letters' height."""
_DARK, _LIGHT, _GREY = 16, 235, 128
_FULL = 256
_WEIGHT = 700
_TRIAL_PX = 100


@dataclass(frozen=True, slots=True, eq=False)
class Mark:
    """A mark drawn for one size of picture.

    Attributes:
        top: First row, px; even, as are the left edge, the width and the height.
        left: First column, px.
        letter_height: Height of the capital letters, px.
    """

    top: int
    left: int
    letter_height: int
    _luma: tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]]  # how much of the picture stays, what is added
    _chroma: tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]]

    @property
    def rows(self) -> slice:
        """The rows of the picture that the mark covers."""
        return slice(self.top, self.top + self._luma[0].shape[0])

    @property
    def columns(self) -> slice:
        """The columns of the picture that the mark covers."""
        return slice(self.left, self.left + self._luma[0].shape[1])

    def stamp(self, picture: Picture) -> None:
        """Blend the mark into a picture of its size, ``uint8[h * 3 // 2, w]`` I420, in place."""
        luma, *chroma = planes(picture)
        _blend(luma[self.rows, self.columns], *self._luma)
        rows = slice(self.rows.start // 2, self.rows.stop // 2)
        columns = slice(self.columns.start // 2, self.columns.stop // 2)
        for plane in chroma:
            _blend(plane[rows, columns], *self._chroma)


@functools.lru_cache(maxsize=64)
def draw_mark(style: MarkStyle, width: int, height: int) -> Mark:
    """Return the mark for pictures of ``width`` x ``height`` px, both even.

    Text that is too long for the picture gets smaller letters.
    """
    short = min(width, height)
    letters = max(6, math.ceil(style.size * short))
    font = cv2.FontFace("sans")
    # getTextSize measures from the top of the line: measure the height of a capital letter separately.
    trial = np.zeros((3 * _TRIAL_PX, 3 * _TRIAL_PX), np.uint8)
    cv2.putText(trial, "I", (_TRIAL_PX, 2 * _TRIAL_PX), (255,), font, _TRIAL_PX, _WEIGHT)
    capital = np.count_nonzero(trial.max(axis=1) > _GREY) / _TRIAL_PX

    def text_width(letters: int) -> int:
        return int(cv2.getTextSize((0, 0), style.text, (0, 0), font, round(letters / capital), _WEIGHT)[2])

    margin = round(_MARGIN * short)
    while letters > 6 and text_width(letters) + 2 * (_PADDING_X * letters + margin) > width:
        letters -= 1
    plate_width = _even(text_width(letters) + 2 * _PADDING_X * letters)
    plate_height = _even(letters * (1 + 2 * _PADDING_Y))
    plate_width, plate_height = min(plate_width, width), min(plate_height, height)

    plate = _rounded(plate_width, plate_height, round(_RADIUS * letters)) * np.float32(_PLATE_WEIGHT)
    ink = np.zeros((plate_height, plate_width), np.uint8)
    start = (round((plate_width - text_width(letters)) / 2), round((plate_height + letters) / 2))
    cv2.putText(ink, style.text, start, (255,), font, round(letters / capital), _WEIGHT)
    text = ink.astype(np.float32) / 255

    weight = text + plate * (1 - text)
    added = text * _LIGHT + plate * (1 - text) * _DARK
    luma = _fixed(1 - weight), _fixed(added)
    half = weight.reshape(plate_height // 2, 2, plate_width // 2, 2).mean(axis=(1, 3))
    across, down = style.corner.endswith("right"), style.corner.startswith("bottom")
    left = width - margin - plate_width if across else margin
    top = height - margin - plate_height if down else margin
    return Mark(
        max(0, top // 2 * 2), max(0, left // 2 * 2), letters, luma, (_fixed(1 - half), _fixed(half * _GREY))
    )  # fmt: skip


def _even(value: float) -> int:
    return 2 * math.ceil(value / 2)


def _fixed(values: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.uint16]:
    fixed: npt.NDArray[np.uint16] = np.rint(values * _FULL).astype(np.uint16)
    return fixed


def _rounded(width: int, height: int, radius: int) -> npt.NDArray[np.float32]:
    """Return ``float32[height, width]``: 1 inside a rectangle with round corners, smooth at its edge."""
    x = np.abs(np.arange(width) + 0.5 - width / 2) - (width / 2 - radius)
    y = np.abs(np.arange(height) + 0.5 - height / 2) - (height / 2 - radius)
    outside = np.hypot(np.maximum(x, 0)[None, :], np.maximum(y, 0)[:, None])
    inside: npt.NDArray[np.float32] = np.clip(radius + 0.5 - outside, 0, 1).astype(np.float32)
    return inside


def _blend(view: Picture, keep: npt.NDArray[np.uint16], added: npt.NDArray[np.uint16]) -> None:
    """Write ``(view * keep + added) / 256``, rounded, in place; every intermediate value fits into 16 bits."""
    mixed = view * keep
    mixed += added
    mixed += _FULL // 2
    view[:] = np.minimum(mixed >> 8, 255)

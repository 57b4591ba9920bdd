"""Lays pictures out as a sheet with a heading, labelled columns and captioned rows."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Bgr = npt.NDArray[np.uint8]

_GAP, _MARGIN = 14, 28
_TITLE, _TEXT = 30, 19
_PAPER, _INK, _FAINT = (250, 250, 250), (30, 30, 30), (110, 110, 110)


@dataclass(frozen=True, slots=True, eq=False)
class SheetRow:
    """One row.

    Attributes:
        panels: ``uint8[s, s, 3]`` BGR, one for each column, all of one size.
    """

    caption: str
    panels: tuple[Bgr, ...]


def draw_sheet(title: str, facts: tuple[str, ...], columns: tuple[str, ...], rows: list[SheetRow], foot: str) -> Bgr:
    """Return a sheet as ``uint8[h, w, 3]`` BGR, as wide as its panels need.

    Args:
        facts: Lines under the title.
        columns: A label for each column, in lines that are as wide as a panel at most.
        foot: Text under the rows; wrapped.
    """
    side = rows[0].panels[0].shape[0]
    width = 2 * _MARGIN + len(columns) * side + (len(columns) - 1) * _GAP
    labels = [_wrapped(label, side) for label in columns]
    deepest = max(map(len, labels))
    below = _wrapped(foot, width - 2 * _MARGIN)
    line = round(1.45 * _TEXT)
    head = _MARGIN + 2 * _TITLE + len(facts) * line
    first = head + _GAP + deepest * line + _GAP // 2
    step = side + line + _GAP
    height = first + len(rows) * step + _GAP + len(below) * line + _MARGIN
    sheet = np.full((height, width, 3), _PAPER, np.uint8)
    _write(sheet, title, _MARGIN, _MARGIN + _TITLE, _TITLE, weight=600)
    for number, fact in enumerate(facts):
        _write(sheet, fact, _MARGIN, _MARGIN + 2 * _TITLE + number * line, _TEXT, colour=_FAINT)
    lefts = [_MARGIN + number * (side + _GAP) for number in range(len(columns))]
    for left, lines in zip(lefts, labels, strict=True):
        for number, text in enumerate(lines):
            _write(sheet, text, left, head + _GAP + _TEXT + number * line, _TEXT, weight=600 if not number else 400)
    for number, row in enumerate(rows):
        top = first + number * step
        _write(sheet, row.caption, _MARGIN, top + _TEXT, _TEXT)
        for left, panel in zip(lefts, row.panels, strict=True):
            sheet[top + line : top + line + side, left : left + side] = panel
    for number, text in enumerate(below):
        _write(sheet, text, _MARGIN, first + len(rows) * step + _GAP + _TEXT + number * line, _TEXT)
    return sheet


def _font() -> "cv2.FontFace":
    return cv2.FontFace("sans")


def _text_width(text: str, size: int, weight: int = 400) -> int:
    return int(cv2.getTextSize((0, 0), text, (0, 0), _font(), size, weight)[2])


def _write(
    sheet: Bgr,
    text: str,
    left: int,
    baseline: int,
    size: int,
    *,
    weight: int = 400,
    colour: tuple[int, int, int] = _INK,
) -> None:
    while text and _text_width(text, size, weight) > sheet.shape[1] - left - _MARGIN // 2:
        text = text[:-2] + "…"
    cv2.putText(sheet, text, (left, baseline), colour, _font(), size, weight)


def _wrapped(text: str, width: int) -> list[str]:
    """Return the lines of a text; its own line ends stay."""
    lines = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split():
            longer = f"{line} {word}".strip()
            if line and _text_width(longer, _TEXT) > width:
                lines.append(line)
                line = word
            else:
                line = longer
        lines.append(line)
    return lines

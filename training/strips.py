"""Strips of frames, one row of pictures above another."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray


def write_strip(path: Path, rows: list[NDArray[np.uint8]], count: int = 8) -> None:
    """Write rows of pictures below each other: `count` of each row, evenly chosen, at twice their size.

    Args:
        rows: ``uint8[T, H, W, 3]`` each, BGR.
        count: Number of columns.
    """
    chosen = np.linspace(0, len(rows[0]) - 1, count).round().astype(int)
    picture = np.concatenate([np.concatenate(list(row[chosen]), axis=1) for row in rows], axis=0)
    cv2.imwrite(str(path), cv2.resize(picture, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC))

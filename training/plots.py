"""Pictures for the model card: the lips' opening over time, and strips of frames."""

from __future__ import annotations

from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from numpy.typing import NDArray

from training.heads import Floats

mpl.use("Agg")


def plot_opening(path: Path, title: str, curves_m: dict[str, Floats], closed: NDArray[np.bool_]) -> None:
    """Draw openings over time, with the middles of p, b and m marked.

    Args:
        path: Of the picture.
        title: Above it.
        curves_m: Opening of each frame by name, metres.
        closed: Which frames must be shut.
    """
    figure, axes = plt.subplots(figsize=(9, 2.8), constrained_layout=True)
    for name, curve in curves_m.items():
        axes.plot(np.arange(len(curve)) / 25, 1000 * curve, label=name, linewidth=1.4)
    for frame in np.flatnonzero(closed):
        axes.axvline(frame / 25, color="0.85", zorder=0, linewidth=3)
    axes.set(title=title, xlabel="s", ylabel="opening (mm)")
    axes.legend(frameon=False, loc="upper right")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def write_strip(path: Path, rows: list[NDArray[np.uint8]], count: int = 8) -> None:
    """Write rows of pictures over one another: `count` of each, evenly chosen, at twice their size.

    Args:
        path: Of the picture.
        rows: ``uint8[T, H, W, 3]`` each, blue first.
        count: How many columns.
    """
    chosen = np.linspace(0, len(rows[0]) - 1, count).round().astype(int)
    picture = np.concatenate([np.concatenate(list(row[chosen]), axis=1) for row in rows], axis=0)
    cv2.imwrite(str(path), cv2.resize(picture, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC))

"""Plots for the model card: the lips' opening over time, and what look-ahead gains."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from numpy.typing import NDArray

from training.heads import Floats

mpl.use("Agg")


def plot_opening(path: Path, title: str, curves_m: dict[str, Floats], closed: NDArray[np.bool_]) -> None:
    """Plot openings over time, with the middles of p, b and m marked.

    Args:
        curves_m: Opening of each frame by name, metres.
        closed: Frames whose lips must touch, ``bool[T]``.
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


def plot_look_ahead(path: Path, curve: dict[float, tuple[float, float]]) -> None:
    """Plot how well opening and width are predicted against the look-ahead.

    Args:
        curve: Pearson's r of both for each look-ahead, milliseconds.
    """
    figure, axes = plt.subplots(figsize=(6, 3.2), constrained_layout=True)
    for name, heard in zip(("opening", "width"), zip(*curve.values(), strict=True), strict=True):
        axes.plot(list(curve), heard, marker="o", label=name, linewidth=1.4)
    axes.set(title="a voice never heard in training", xlabel="look-ahead (ms)", ylabel="Pearson's r")
    axes.grid(color="0.9")
    axes.legend(frameon=False, loc="lower right")
    figure.savefig(path, dpi=110)
    plt.close(figure)

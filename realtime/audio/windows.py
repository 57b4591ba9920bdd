"""Overlapping windows of a signal as a view."""

from typing import TypeVar

import numpy as np
import numpy.typing as npt

Number = TypeVar("Number", bound=np.floating)


def windows(signal: npt.NDArray[Number], size: int, hop: int) -> npt.NDArray[Number]:
    """Return the windows of ``size`` samples at every multiple of ``hop``: ``[1 + (n - size) // hop, size]``.

    The result shares the signal's memory and must not be written to. NumPy's ``sliding_window_view`` gives the same
    view, but a call takes longer than the analysis of one frame.

    Raises:
        ValueError: If the signal is shorter than one window or not contiguous.
    """
    if signal.size < size or not signal.flags.c_contiguous:
        raise ValueError("the signal is shorter than one window or not contiguous")
    step = signal.itemsize
    return np.ndarray((1 + (signal.size - size) // hop, size), signal.dtype, signal, 0, (hop * step, step))

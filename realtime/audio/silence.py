"""The threshold of silence for outgoing speech."""

import numpy as np
import numpy.typing as npt

QUIET = 10 ** (-50 / 20)
"""Amplitude of -50 dBFS."""


def is_silent(packet: npt.NDArray[np.int16]) -> bool:
    """Return whether no sample of ``int16[n]`` exceeds -50 dBFS."""
    return not packet.size or int(np.abs(packet.astype(np.int32)).max()) <= 32768 * QUIET

"""What counts as silence where speech goes out."""

import numpy as np
import numpy.typing as npt

QUIET = 10 ** (-50 / 20)
"""-50 dBFS."""


def is_silent(packet: npt.NDArray[np.int16]) -> bool:
    """Return whether nothing in ``int16[n]`` is louder than that."""
    return not packet.size or int(np.abs(packet.astype(np.int32)).max()) <= 32768 * QUIET

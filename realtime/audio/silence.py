"""What counts as silence where speech goes out."""

import numpy as np
import numpy.typing as npt

_QUIET = 32768 * 10 ** (-50 / 20)


def is_silent(packet: npt.NDArray[np.int16]) -> bool:
    """Return whether nothing in ``int16[n]`` is louder than -50 dBFS."""
    return not packet.size or int(np.abs(packet.astype(np.int32)).max()) <= _QUIET

"""The upper halves of 32-bit floats, which numpy has no type for."""

from typing import Any

import numpy as np
import numpy.typing as npt

BFLOAT16: np.dtype[Any] = np.dtype([("bfloat16", "<u2")])


def widened(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return values of :data:`BFLOAT16` as ``float32``, exactly; others as they are."""
    if values.dtype != BFLOAT16:
        return values
    floats: npt.NDArray[Any] = (values["bfloat16"].astype("<u4") << 16).view("<f4")
    return floats

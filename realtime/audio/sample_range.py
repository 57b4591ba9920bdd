"""Limits sound of unknown origin to values that filters and encoders can take."""

import numpy as np
import numpy.typing as npt


def in_range(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return ``float32[n]`` with all samples in -1..1: NaN and infinities become 0, louder samples are clipped."""
    if samples.size and not -1.0 <= samples.min() <= samples.max() <= 1.0:  # nor if there is no number among them
        samples = np.clip(np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0), -1.0, 1.0)
    return samples.astype(np.float32, copy=False)

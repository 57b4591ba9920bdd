import numpy as np
import pytest

from lipstream.realtime.lipsync.metadata import Region
from lipstream.realtime.picture.compositor import Compositor
from lipstream.realtime.picture.i420 import bgr_to_i420
from lipstream.realtime.picture.mouth_painter import Box

REGION, CROP = Region(48, 96, 8, 88), 96
BOX = Box(60, 40, 192, 192)


def _picture(seed: int = 0, size: int = 320) -> np.ndarray:
    """A picture with fine detail."""
    rng = np.random.default_rng(seed)
    small = rng.integers(40, 200, (size // 4, size // 4, 3)).astype(np.uint8)
    return bgr_to_i420(small.repeat(4, axis=0).repeat(4, axis=1))


def _mouth(shade: int) -> np.ndarray:
    return np.full((REGION.height, REGION.width, 3), shade, np.uint8)


def test_cached_frames_are_never_written_to() -> None:
    frames = np.stack([_picture(1), _picture(2)])
    frames.flags.writeable = False
    rest = np.stack([_mouth(100), _mouth(100)])
    compositor = Compositor(frames, rest, (BOX, BOX), REGION, CROP)
    spoken = compositor.compose(1, _mouth(220), 1.0)
    assert (spoken != frames[1]).any()
    idle = compositor.compose(1, None, 0.0)
    np.testing.assert_array_equal(idle, frames[1])
    with pytest.raises(ValueError, match="read-only"):
        idle[0, 0] = 1
    assert compositor.mask(0).sum() > 0

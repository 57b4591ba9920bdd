"""The level in a stream's parameter set is the one that its pictures and their rate need."""

import av
import numpy as np
import pytest

from lipstream.realtime.encoding.encoders import LiveH264Encoder
from lipstream.realtime.encoding.h264_level import Pictures, h264_level, level_limits


@pytest.mark.parametrize(
    ("width", "height", "rate_hz", "level"),
    [  # columns 3 to 5 of table A-6 give the same rates
        (256, 256, 25, 20), (512, 512, 25, 30), (1280, 720, 25, 31), (1280, 720, 60, 32),
        (910, 1136, 25, 32), (1080, 1080, 25, 32),
        (1280, 1024, 42, 32), (1920, 1080, 25, 40), (1080, 1920, 25, 40), (1920, 1080, 60, 42), (2560, 1440, 25, 50),
        (3840, 2160, 25, 51), (3840, 2160, 60, 52), (16, 3600, 25, 40),
    ],
)  # fmt: skip
def test_levels(width: int, height: int, rate_hz: int, level: int) -> None:
    assert h264_level(Pictures(width, height, rate_hz, 2_000_000)) == level


def test_a_bitrate_raises_the_level() -> None:
    assert h264_level(Pictures(640, 480, 25, 15_000_000)) == 32


def test_a_level_that_is_not_known_has_the_limits_of_the_next_lower_one() -> None:
    assert level_limits(33) == level_limits(32)
    assert level_limits(62) == level_limits(52)
    assert level_limits(0) == level_limits(9)


@pytest.mark.parametrize(("width", "height", "level"), [(512, 512, 30), (910, 1136, 32), (1920, 1080, 40)])
def test_the_stream_says_so(width: int, height: int, level: int) -> None:
    encoder = LiveH264Encoder()
    frame = av.VideoFrame.from_ndarray(np.full((height * 3 // 2, width), 128, np.uint8), format="yuv420p")
    frame.pts = 0
    data, _ = encoder.encode_picture(frame, key=True)
    at = next(at for at in range(len(data) - 4) if data[at : at + 3] == b"\0\0\1" and data[at + 3] & 0x1F == 7)
    profile, _, level_idc = data[at + 4 : at + 7]
    assert (profile, level_idc) == (66, level)

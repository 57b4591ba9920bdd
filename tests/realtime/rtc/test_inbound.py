import fractions

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.rtc.inbound import MAX_REFUSALS, Microphone, PositionTracker


class Ear:
    def __init__(self) -> None:
        self.heard: list[tuple[int, np.ndarray, float]] = []
        self.microphone = Microphone(lambda position, samples, at_s: self.heard.append((position, samples, at_s)))

    @property
    def positions(self) -> list[int]:
        return [position for position, _, _ in self.heard]


def frame(
    pts: int | None, data: np.ndarray, *, rate: int = 48000, fmt: str = "s16", layout: str = "stereo"
) -> av.AudioFrame:
    made = av.AudioFrame.from_ndarray(data, format=fmt, layout=layout)
    made.sample_rate = rate
    made.pts = pts
    made.time_base = fractions.Fraction(1, rate)
    return made


def opus(pts: int, value: int = 0, samples: int = 960) -> av.AudioFrame:
    return frame(pts, np.full((1, 2 * samples), value, np.int16))


def test_stereo_is_averaged() -> None:
    ear = Ear()
    data = np.empty((1, 1920), np.int16)
    data[0, ::2], data[0, 1::2] = 16384, -8192
    ear.microphone.push(frame(0, data), 3.5)
    position, samples, at_s = ear.heard[0]
    assert (position, at_s, samples.dtype, samples.shape) == (0, 3.5, np.float32, (960,))
    assert np.all(samples == 0.125)


def test_full_scale_stays_within_one() -> None:
    ear = Ear()
    ear.microphone.push(opus(0, -32768), 0)
    assert np.all(ear.heard[0][1] == -1)


def test_a_gap_is_a_jump_in_position_and_the_first_is_zero() -> None:
    ear = Ear()
    for n in (7, 8, 11):
        ear.microphone.push(opus(960 * n), 0.02 * n)
    assert ear.positions == [0, 960, 3840]


def test_timestamps_wrap() -> None:
    ear = Ear()
    for n in range(4):
        ear.microphone.push(opus((2**32 - 1920 + 960 * n) % 2**32), 0.02 * n)
    assert ear.positions == [0, 960, 1920, 2880]


def test_a_late_packet_is_dropped() -> None:
    ear = Ear()
    for n in (0, 2, 1, 3):
        ear.microphone.push(opus(960 * n), 0.02 * n)
    assert ear.positions == [0, 1920, 2880]
    assert ear.microphone.dropped == 1


def test_a_clock_that_starts_again_goes_on_where_its_arrival_puts_it() -> None:
    ear = Ear()
    for pts, at_s in ((0, 0.0), (960, 0.02), (3_000_000_000, 1.02), (3_000_000_960, 1.04)):
        ear.microphone.push(opus(pts), at_s)
    assert ear.positions == [0, 960, 960 + 48000, 960 + 48000 + 960]


def test_a_clock_set_back_a_little_is_followed_after_half_a_second() -> None:
    ear = Ear()
    ear.microphone.push(opus(48000), 0.0)
    for n in range(MAX_REFUSALS + 2):
        ear.microphone.push(opus(960 * n), 0.02 * n)
    assert len(ear.heard) == 3
    assert ear.positions == sorted(ear.positions)


def test_a_burst_after_an_outage_keeps_its_positions() -> None:
    ear = Ear()
    ear.microphone.push(opus(0), 0.0)
    for n in range(1, 100):
        ear.microphone.push(opus(960 * n), 3.0)
    assert ear.positions == [960 * n for n in range(100)]


@given(st.lists(st.tuples(st.integers(-(2**40), 2**40), st.integers(1, 5000), st.floats(0, 10)), max_size=50))
def test_positions_never_overlap(chunks: list[tuple[int, int, float]]) -> None:
    tracker, end, now_s = PositionTracker(), 0, 0.0
    for timestamp, samples, wait_s in chunks:
        now_s += wait_s
        position = tracker.place(timestamp, samples, now_s)
        if position is not None:
            assert position >= end
            end = position + samples


@pytest.mark.parametrize(
    ("fmt", "layout", "rate", "shape", "dtype"),
    [
        ("s16", "mono", 8000, (1, 160), np.int16),
        ("s16", "mono", 16000, (1, 320), np.int16),
        ("s16", "mono", 48000, (1, 960), np.int16),
        ("s16p", "stereo", 48000, (2, 960), np.int16),
        ("fltp", "stereo", 48000, (2, 960), np.float32),
        ("flt", "5.1", 44100, (1, 882 * 6), np.float32),
    ],
)
def test_odd_formats_come_out_as_48_khz_mono(
    fmt: str, layout: str, rate: int, shape: tuple[int, int], dtype: type
) -> None:
    ear = Ear()
    for n in range(50):
        value = 0.25 if dtype is np.float32 else 8192
        ear.microphone.push(
            frame(n * rate // 50, np.full(shape, value, dtype), fmt=fmt, layout=layout, rate=rate), 0.02 * n
        )
    heard = np.concatenate([samples for _, samples, _ in ear.heard])
    assert abs(len(heard) - 48000) < 1000
    assert abs(np.median(heard) - 0.25) < 0.06
    assert ear.positions == sorted(ear.positions)


def test_what_is_no_sound_is_dropped() -> None:
    ear = Ear()
    for odd in (None, "x", av.VideoFrame(16, 16, "yuv420p"), frame(None, np.zeros((1, 1920), np.int16))):
        ear.microphone.push(odd, 0.0)
    ear.microphone.push(opus(0), 0.0)
    assert ear.positions == [0]
    assert ear.microphone.dropped == 4

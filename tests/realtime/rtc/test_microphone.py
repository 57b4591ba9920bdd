from types import SimpleNamespace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lipstream.realtime.rtc.microphone import MAX_REFUSALS, MicrophoneInput, PositionTracker


class ChunkCollector:
    def __init__(self) -> None:
        self.heard: list[tuple[int, np.ndarray, float]] = []
        self.faults: list[Exception] = []
        self.microphone = MicrophoneInput(self.buffer(), self.faults.append)

    def buffer(self) -> SimpleNamespace:
        return SimpleNamespace(push=lambda *chunk: self.heard.append(chunk))

    @property
    def positions(self) -> list[int]:
        return [position for position, _, _ in self.heard]


def sound(value: float = 0.0, samples: int = 960) -> np.ndarray:
    return np.full(samples, value, np.float32)


def test_sound_is_handed_on_as_it_is() -> None:
    ear = ChunkCollector()
    ear.microphone.push(0, sound(0.125), 3.5)
    position, samples, at_s = ear.heard[0]
    assert (position, at_s, samples.shape) == (0, 3.5, (960,))
    assert samples.dtype == np.float32
    assert np.all(samples == 0.125)


def test_a_gap_is_a_jump_in_position_and_the_first_is_zero() -> None:
    ear = ChunkCollector()
    for n in (7, 8, 11):
        ear.microphone.push(960 * n, sound(), 0.02 * n)
    assert ear.positions == [0, 960, 3840]


def test_timestamps_wrap() -> None:
    ear = ChunkCollector()
    for n in range(4):
        ear.microphone.push((2**32 - 1920 + 960 * n) % 2**32, sound(), 0.02 * n)
    assert ear.positions == [0, 960, 1920, 2880]


def test_a_late_packet_is_dropped() -> None:
    ear = ChunkCollector()
    for n in (0, 2, 1, 3):
        ear.microphone.push(960 * n, sound(), 0.02 * n)
    assert ear.positions == [0, 1920, 2880]
    assert ear.microphone.dropped == 1


def test_a_clock_that_starts_again_goes_on_where_its_arrival_puts_it() -> None:
    ear = ChunkCollector()
    for pts, at_s in ((0, 0.0), (960, 0.02), (3_000_000_000, 1.02), (3_000_000_960, 1.04)):
        ear.microphone.push(pts, sound(), at_s)
    assert ear.positions == [0, 960, 960 + 48000, 960 + 48000 + 960]


def test_a_clock_set_back_a_little_is_followed_after_half_a_second() -> None:
    ear = ChunkCollector()
    ear.microphone.push(48000, sound(), 0.0)
    for n in range(MAX_REFUSALS + 2):
        ear.microphone.push(960 * n, sound(), 0.02 * n)
    assert len(ear.heard) == 3
    assert ear.positions == sorted(ear.positions)


def test_a_burst_after_an_outage_keeps_its_positions() -> None:
    ear = ChunkCollector()
    ear.microphone.push(0, sound(), 0.0)
    for n in range(1, 100):
        ear.microphone.push(960 * n, sound(), 3.0)
    assert ear.positions == [960 * n for n in range(100)]


def test_what_is_not_a_number_is_silence_and_what_is_too_loud_is_clipped() -> None:
    ear = ChunkCollector()
    odd = np.array([0.5, np.nan, np.inf, -np.inf, 3.0, -3.0, -0.25], np.float32)
    ear.microphone.push(0, odd, 0.0)
    ear.microphone.push(960, np.full(4, np.nan, np.float32), 0.02)
    (_, first, _), (_, second, _) = ear.heard
    assert first.tolist() == [0.5, 0, 0, 0, 1, -1, -0.25]
    assert second.tolist() == [0] * 4
    assert first.dtype == second.dtype == np.float32


def test_a_buffer_that_fails_is_told_to_its_owner_and_not_to_the_socket() -> None:
    ear, error = ChunkCollector(), RuntimeError("full")

    def fail(*_: object) -> None:
        raise error

    microphone = MicrophoneInput(SimpleNamespace(push=fail), ear.faults.append)
    microphone.push(0, sound(), 0.0)
    assert ear.faults == [error]


def test_once_closed_it_takes_nothing() -> None:
    ear = ChunkCollector()
    ear.microphone.push(0, sound(), 0.0)
    ear.microphone.close()
    ear.microphone.push(960, sound(), 0.02)
    assert ear.positions == [0]
    assert not ear.faults


@given(st.lists(st.tuples(st.integers(-(2**40), 2**40), st.integers(1, 5000), st.floats(0, 10)), max_size=50))
def test_positions_never_overlap(chunks: list[tuple[int, int, float]]) -> None:
    tracker, end, now_s = PositionTracker(), 0, 0.0
    for timestamp, samples, wait_s in chunks:
        now_s += wait_s
        position = tracker.place(timestamp, samples, now_s)
        if position is not None:
            assert position >= end
            end = position + samples

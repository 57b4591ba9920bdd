import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipstream.realtime.audio.jitter_buffer import LIMIT_SOUND, JitterBuffer

PACKET = 960
MARGIN = 240 + 480  # 5 ms, and one block because packets and blocks come at the same instants here


def _tone(length: int, start: int = 0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * 200 * (np.arange(length) + start) / 48000)).astype(np.float32)


def test_sound_passes_unchanged_behind_its_margin() -> None:
    buffer, out = JitterBuffer(), []
    buffer.pull(-0.01)
    for packet in range(200):
        buffer.push(packet * PACKET, _tone(PACKET, packet * PACKET), packet * 0.02)
        for half in range(2):
            block, arrived = buffer.pull(packet * 0.02 + half * 0.01)
            out.append(block)
            assert arrived is not None
            assert 0 <= packet * 0.02 - arrived <= 0.021
    sound = np.concatenate(out)
    margin = int(np.flatnonzero(sound)[0]) - 1
    assert margin == MARGIN
    np.testing.assert_array_equal(sound[margin:], _tone(len(sound) - margin))
    assert buffer.counts.corrections == buffer.counts.underruns == buffer.counts.dropped == buffer.counts.filled == 0


def test_a_lost_packet_is_filled_so_that_later_sound_keeps_its_place() -> None:
    buffer, out = JitterBuffer(), []
    buffer.pull(-0.01)
    for packet in range(100):
        if packet not in {30, 31}:
            buffer.push(packet * PACKET, _tone(PACKET, packet * PACKET), packet * 0.02)
        out += [buffer.pull(packet * 0.02)[0], buffer.pull(packet * 0.02 + 0.01)[0]]
    sound = np.concatenate(out)
    np.testing.assert_array_equal(sound[MARGIN + 32 * PACKET :], _tone(len(sound) - MARGIN - 32 * PACKET, 32 * PACKET))
    np.testing.assert_array_equal(sound[MARGIN : MARGIN + 30 * PACKET], _tone(30 * PACKET))


def test_a_burst_is_cut_to_the_bound_and_counted() -> None:
    buffer = JitterBuffer()
    for packet in range(20):
        buffer.push(packet * PACKET, _tone(PACKET), 0.0)
        assert buffer.level <= LIMIT_SOUND + PACKET
    assert buffer.counts.dropped > 0


def test_a_copy_of_a_packet_is_ignored_and_a_restart_is_a_beginning() -> None:
    buffer = JitterBuffer()
    buffer.push(0, _tone(PACKET), 0.0)
    buffer.push(0, _tone(PACKET), 0.0)  # nothing was pulled yet, so only the margin stands before it
    assert buffer.level == 240 + PACKET
    for block in range(2):
        buffer.pull(block * 0.01)
    buffer.push(10**9, _tone(PACKET), 0.01)
    assert buffer.level == 240 + PACKET
    assert buffer.counts.filled == 0


def test_a_source_that_stopped_is_silence() -> None:
    buffer = JitterBuffer()
    buffer.push(0, _tone(PACKET), 0.0)
    blocks = [buffer.pull(n * 0.01) for n in range(300)]
    assert not blocks[-1][0].any()
    assert blocks[-1][1] is None
    assert buffer.counts.underruns == 1


@pytest.mark.parametrize("ppm", [200, -200])
def test_ten_hours_with_a_clock_that_is_off(ppm: int) -> None:
    """The source is faster or slower by 200 ppm; half a second of every two is a pause."""
    seconds_s = 36_000
    rng = np.random.default_rng(0)
    voice = _tone(2 * 48000)
    voice[72000:] = 0
    packets = voice.reshape(-1, PACKET)
    source_step = float(np.abs(np.diff(voice)).max())
    buffer = JitterBuffer()
    period_s = 0.02 / (1 + ppm * 1e-6)
    packet, largest, highest, lags, unchecked = 0, 0.0, 0, [], [np.zeros(1, np.float32)]
    jitter = rng.uniform(0, 0.004, 1 << 16)
    next_s = jitter[0]
    for block_index in range(seconds_s * 100):
        now_s = block_index * 0.01
        while next_s <= now_s:
            highest = max(highest, buffer.level)
            buffer.push(packet * PACKET, packets[packet % 100], next_s)
            packet += 1
            next_s = packet * period_s + jitter[packet & 0xFFFF]
        block, arrived = buffer.pull(now_s)
        unchecked.append(block)
        if len(unchecked) == 1000:
            sound = np.concatenate(unchecked)
            largest, unchecked = max(largest, float(np.abs(np.diff(sound)).max())), [sound[-1:]]
        if arrived is not None and block_index % 1000 == 0:
            lags.append(now_s - arrived)
    assert highest <= LIMIT_SOUND
    assert largest <= source_step * 1.005, "no break can be heard"
    assert buffer.counts.dropped == 0
    assert buffer.counts.underruns == 0
    drift = seconds_s * 48000 * abs(ppm) * 1e-6
    assert drift / 2 * 0.9 <= buffer.counts.corrections <= drift * 1.1
    assert max(lags) <= 0.04
    assert abs(np.mean(lags[-500:]) - np.mean(lags[100:600])) < 0.004, "the delay does not creep"


@given(
    events=st.lists(
        st.tuples(st.integers(1, 9600), st.integers(-2000, 60_000), st.integers(0, 12)), min_size=1, max_size=40
    )
)
@settings(deadline=None)
def test_any_pattern_of_packets_gives_ten_milliseconds_a_block(events: list[tuple[int, int, int]]) -> None:
    buffer, position = JitterBuffer(), 0
    for size, gap, pulls in events:
        position = max(0, position + gap)
        buffer.push(position, np.full(size, 0.25, np.float32), 1.0)
        position += size
        for _ in range(pulls):
            block, _ = buffer.pull(1.0)
            assert block.shape == (480,)
            assert np.isfinite(block).all()
            assert set(np.round(np.abs(block), 6)) <= {0.0, 0.25} or buffer.counts.corrections
        assert buffer.level <= LIMIT_SOUND + 60_000 + size

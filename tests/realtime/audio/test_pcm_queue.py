import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipstream.realtime.audio.pcm_queue import LIMIT_SOUND, PcmQueue
from lipstream.realtime.timeline import BLOCK_SOUND

RATES = (8_000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000)


def tone(rate_hz: int, seconds: float) -> bytes:
    at = np.arange(round(rate_hz * seconds)) / rate_hz
    return (12_000 * np.sin(2 * np.pi * 440 * at)).astype("<i2").tobytes()


def drain(source: PcmQueue) -> np.ndarray:
    blocks = []
    while source.level:
        block, arrived = source.pull(0.0)
        assert block.shape == (BLOCK_SOUND,)
        assert arrived is None
        blocks.append(block)
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)


@given(rate=st.sampled_from(RATES), cuts=st.lists(st.integers(0, 4_800), max_size=12))
@settings(deadline=None)
def test_sound_comes_out_the_same_however_it_was_cut(rate: int, cuts: list[int]) -> None:
    pcm = tone(rate, 0.05)
    edges = [0, *sorted(min(cut, len(pcm)) for cut in cuts), len(pcm)]
    whole, cut_up = PcmQueue(rate), PcmQueue(rate)
    whole.push(pcm)
    for first, last in itertools.pairwise(edges):
        cut_up.push(pcm[first:last])
    for source in (whole, cut_up):
        source.end()
    assert np.array_equal(drain(cut_up), drain(whole))


@pytest.mark.parametrize("rate", RATES)
def test_a_byte_at_a_time_is_as_good_as_all_at_once(rate: int) -> None:
    pcm = tone(rate, 0.03)
    whole, bytewise = PcmQueue(rate), PcmQueue(rate)
    whole.push(pcm)
    for byte in pcm:
        bytewise.push(bytes([byte]))
    whole.end()
    bytewise.end()
    sound = drain(whole)
    assert np.array_equal(drain(bytewise), sound)
    assert 0.03 * 48_000 <= sound.size <= 0.03 * 48_000 + BLOCK_SOUND
    at = np.arange(1000) / 48_000
    assert np.abs(sound[200:1000] - 12_000 / 32_768 * np.sin(2 * np.pi * 440 * at[200:])).max() < 0.01


def test_silence_fills_what_is_not_there_and_room_is_what_is_left() -> None:
    source = PcmQueue(16_000)
    assert source.room_bytes == 320_000
    assert not source.pull(0.0)[0].any()
    assert source.read == 0
    source.push(tone(16_000, 4.0))
    assert 190_000 < source.room_bytes < 193_000
    source.push(tone(16_000, 7.0))
    assert source.room_bytes == 0
    assert source.level > LIMIT_SOUND
    source.pull(0.0)
    assert source.read == BLOCK_SOUND


def test_what_was_cleared_leaves_no_trace() -> None:
    source, fresh = PcmQueue(24_000), PcmQueue(24_000)
    source.push(tone(24_000, 0.5) + b"x")
    source.clear()
    assert source.level == 0
    for each in (source, fresh):
        each.push(tone(24_000, 0.02))
        each.end()
    assert np.array_equal(drain(source), drain(fresh))


@pytest.mark.parametrize("rate", [0, 7_999, 48_001, 10**9])
def test_odd_rates_are_refused(rate: int) -> None:
    with pytest.raises(ValueError, match="is not between"):
        PcmQueue(rate)


def test_each_read_and_each_cut_is_told_when_its_room_is_there() -> None:
    source, rooms = PcmQueue(48_000), []
    source.on_read = lambda: rooms.append(source.room_bytes)
    source.push(bytes(2 * LIMIT_SOUND))
    assert rooms == []
    source.pull(0.0)
    source.pull(0.0)
    assert rooms == [2 * BLOCK_SOUND, 4 * BLOCK_SOUND]
    source.clear()
    assert rooms[-1] == 2 * LIMIT_SOUND

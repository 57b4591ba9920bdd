"""The microphone's buffers, from a packet's arrival to the timeline, with loss and jitter: goal M7.

The value of every sample is its position. A sample on the timeline therefore shows how long it waited, and whether
gaps have their true length. Time is virtual.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipstream.realtime.audio.jitter_buffer import LIMIT_SOUND, JitterBuffer
from lipstream.realtime.rtc.microphone import PositionTracker
from lipstream.realtime.rtc.reorder_buffer import ReorderBuffer
from lipstream.realtime.timeline import BLOCK_SOUND, PACKET_SOUND, SOUND_RATE_HZ

PACKET_S, BLOCK_S = 0.02, 0.01
NETWORK_S = 0.03
FIRST = 1 << 20
"""Place of the first sample: lower ones are so quiet that they pass for a pause."""
STEP = 2.0**-24
"""Difference between the values of two samples; float32 holds each exactly."""


@dataclass
class Way:
    """The packets of one run and their way through the buffers.

    Attributes:
        came: Number of packets that arrived.
        unused: Number of arrived packets whose sound was not used.
        added_ms: Delay of each sample after the earliest time at which it could have entered the timeline. A block
            enters over the 10 ms before it is read.
        lag: Position of each sample on the timeline minus its position at the source, samples.
        filled_share: Share of the time filled with silence, 0..1.
        buffer: The jitter buffer of the run.
    """

    came: int = 0
    unused: int = 0
    added_ms: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    lag: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    filled_share: float = 0.0
    buffer: JitterBuffer = field(default_factory=JitterBuffer)


def arrivals(
    count: int, *, loss: float = 0.0, jitter_s: float = 0.0, overtaking: bool = False, ppm: float = 0.0
) -> list[tuple[float, int]]:
    """Return when the packets come that do come, and their numbers."""
    chance = np.random.default_rng(7)
    at_s = np.arange(count) * PACKET_S * (1 + ppm / 1e6) + NETWORK_S + np.abs(chance.normal(0, jitter_s, count))
    if not overtaking:
        at_s = np.maximum.accumulate(at_s)
    kept = chance.random(count) >= loss
    return sorted((float(at_s[n]), n) for n in range(count) if kept[n])


def taken(events: list[tuple[float, int]], seconds: float) -> Way:
    """Let packets arrive, and read a block every 10 ms."""
    way, order, tracker = Way(came=len(events)), ReorderBuffer[int](), PositionTracker()
    arrived_s = np.full(1 + max(number for _, number in events), np.nan)
    arrived_s[[number for _, number in events]] = [at_s for at_s, _ in events]
    waiting = iter([*events, (float("inf"), 0)])
    at_s, number = next(waiting)
    added, lags, silent, blocks = [], [], 0, int(seconds / BLOCK_S)
    for block in range(blocks):
        now_s = (block + 0.37) * BLOCK_S
        while at_s <= now_s:
            for ready in order.push(number % 65536, number):
                position = tracker.place(ready * PACKET_SOUND, PACKET_SOUND, at_s)
                way.unused += position is None
                if position is not None:
                    way.buffer.push(position, sound(ready), at_s)
            at_s, number = next(waiting)
        out, _ = way.buffer.pull(now_s)
        heard = np.flatnonzero(out)
        silent += BLOCK_SOUND - heard.size
        at_source = np.rint(out[heard] / STEP).astype(np.int64) - FIRST
        packets, offsets = np.divmod(at_source, PACKET_SOUND)
        added.append(1000 * (now_s - BLOCK_S + (heard - offsets) / SOUND_RATE_HZ - arrived_s[packets]))
        lags.append(block * BLOCK_SOUND + heard - at_source)
    way.unused += order.late
    way.added_ms, way.lag, way.filled_share = np.concatenate(added), np.concatenate(lags), silent / blocks / BLOCK_SOUND
    return way


def sound(packet: int) -> npt.NDArray[np.float32]:
    return ((FIRST + PACKET_SOUND * packet + np.arange(PACKET_SOUND)) * STEP).astype(np.float32)


@pytest.mark.parametrize(
    ("jitter_ms", "overtaking"), [(0, False), (3, False), (10, False), (10, True)], ids=["0", "3", "10", "overtaking"]
)
@pytest.mark.parametrize("loss", [0.0, 0.02, 0.05])
def test_the_buffer_is_short_and_wastes_nothing(loss: float, jitter_ms: int, overtaking: bool) -> None:
    seconds = 40
    way = taken(arrivals(seconds * 50, loss=loss, jitter_s=jitter_ms / 1000, overtaking=overtaking, ppm=100), seconds)
    added_ms = float(np.nanpercentile(way.added_ms, 95))
    counts = way.buffer.counts
    print(
        f"\nM7: {loss:.0%} lost, jitter {jitter_ms} ms{', overtaking' * overtaking}: added {added_ms:.1f} ms (p95), "
        f"{1 - way.unused / way.came:.2%} of {way.came} packets used, {way.filled_share:.2%} filled, "
        f"{counts.dropped / seconds / SOUND_RATE_HZ:.2%} thrown away"
    )
    assert added_ms <= 40
    assert way.unused <= 0.03 * way.came
    assert way.filled_share <= loss + 0.02
    assert counts.dropped <= 0.01 * seconds * SOUND_RATE_HZ


@settings(max_examples=25, deadline=None)
@given(st.lists(st.booleans(), min_size=100, max_size=200))
def test_whatever_is_lost_the_rest_keeps_its_place(kept: list[bool]) -> None:
    events = [(n * PACKET_S + NETWORK_S, n) for n, keep in enumerate([True, *kept]) if keep]
    way = taken(events, 1 + len(kept) * PACKET_S)
    longest_gap = max(np.diff([number for _, number in events]), default=0)
    if longest_gap * PACKET_S < 1:  # more is a new beginning
        assert np.ptp(way.lag) == 0
        assert way.unused == 0
        assert np.nanmax(way.added_ms) <= 1000 * LIMIT_SOUND / SOUND_RATE_HZ


def test_the_sample_clock_does_not_drift() -> None:
    seconds = 180
    way = taken(arrivals(seconds * 50, loss=0.05, jitter_s=0.003), seconds)
    a_third = way.lag.size // 3
    drift = float(np.median(way.lag[-a_third:]) - np.median(way.lag[:a_third]))
    print(f"\nM7: after two minutes at 5 % loss the sound lies {1000 * drift / SOUND_RATE_HZ:.2f} ms later")
    assert abs(drift) <= 0.005 * SOUND_RATE_HZ

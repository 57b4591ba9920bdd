"""The schedule of 10 ms ticks on which all sessions advance, and the choice of a new session's tick.

The mouths of sessions that decide their frames at the same tick are drawn in one batch, which costs a third less than
drawing them singly. Sessions are therefore placed in groups. A group is no larger than the worker can draw in time.
"""

import math
from collections import Counter
from collections.abc import Iterable

from lipstream.realtime.timeline import BLOCK_SAMPLES, BLOCKS_PER_FRAME, SAMPLE_RATE_HZ

TICK_S = BLOCK_SAMPLES / SAMPLE_RATE_HZ
GROUP = 4
"""Most sessions that share a tick before another tick is used."""
_TICKS_OF_A_FRAME = (0, 2, 1, 3)
"""The ticks of a frame in order of use, so that the first two groups are half a frame apart."""
_LATE_S = 0.0005
"""A tick comes this long after its multiple of 10 ms. If it came early, the due block would wait for the next tick."""


def next_tick(now_s: float) -> float:
    """Return the monotonic time of the next tick, s."""
    return (math.floor(now_s / TICK_S) + 1) * TICK_S + _LATE_S


def tick_of(epoch_s: float, first_window_samples: int = 0) -> int:
    """Return the tick of a frame, 0..3, at which a session decides its frames.

    Args:
        epoch_s: Monotonic time at which the session's timeline begins, s.
        first_window_samples: Samples (16 kHz) that must enter before the first frame can be decided.
    """
    return round((epoch_s + first_window_samples / SAMPLE_RATE_HZ) / TICK_S) % BLOCKS_PER_FRAME


def begin(now_s: float, first_window_samples: int, others: Iterable[float], mouths_in_time: int) -> float:
    """Return the monotonic time at which a new session's timeline begins, s.

    Its mel windows then end at a tick that has room for one more session.

    Args:
        now_s: Monotonic time, s; the timeline begins less than a frame and a block before it.
        first_window_samples: Samples (16 kHz) that must enter before the first frame can be decided, the same for all
            sessions.
        others: Start times of the other sessions' timelines, s.
        mouths_in_time: Number of mouths that the worker draws well before they are due, 1 or more.
    """
    taken = Counter(tick_of(epoch_s, first_window_samples) for epoch_s in others)
    group = min(GROUP, mouths_in_time)
    place = min(_TICKS_OF_A_FRAME, key=lambda tick: taken[tick] // group)
    window_s = first_window_samples / SAMPLE_RATE_HZ
    last = math.floor((now_s + window_s) / TICK_S)
    return (last - (last - place) % BLOCKS_PER_FRAME) * TICK_S - window_s

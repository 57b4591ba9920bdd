"""The 10 ms grid on which all sessions advance, and where on it a new one begins. Pure.

Sessions whose frames are decided at one tick have their mouths drawn in one batch, which costs a third less than one by
one. So they come in groups; a group is no larger than what the worker draws in the time that there is.
"""

import math
from collections import Counter
from collections.abc import Iterable

from lipstream.realtime.timeline import BLOCK_SAMPLES, BLOCKS_PER_FRAME, SAMPLE_RATE_HZ

TICK_S = BLOCK_SAMPLES / SAMPLE_RATE_HZ
GROUP = 4
"""Sessions, at most, whose frames are decided at one tick before another tick is used."""
_TICKS_OF_A_FRAME = (0, 2, 1, 3)
"""In the order in which they are used: two groups have half a frame between them."""
_LATE_S = 0.0005
"""A tick comes just after its place on the grid: before it, the block that is due would wait for the next one."""


def next_tick(now_s: float) -> float:
    """Return the time of the first tick after the last place on the grid, s."""
    return (math.floor(now_s / TICK_S) + 1) * TICK_S + _LATE_S


def tick_of(epoch_s: float, first_window_samples: int = 0) -> int:
    """Return at which tick of a frame, 0 to 3, a session decides its frames.

    Args:
        epoch_s: When its timeline begins.
        first_window_samples: Of its timeline, until its first frame can be decided.
    """
    return round((epoch_s + first_window_samples / SAMPLE_RATE_HZ) / TICK_S) % BLOCKS_PER_FRAME


def begin(now_s: float, first_window_samples: int, others: Iterable[float], mouths_in_time: int) -> float:
    """Return where a new session's timeline begins, s: its windows end on the grid, at a tick where there is room.

    Args:
        now_s: Its timeline begins less than a frame and a block before this.
        first_window_samples: Of a timeline, until its first frame can be decided; all sessions have the same.
        others: Where those of the other sessions begin, s.
        mouths_in_time: That the worker draws well before they are due, 1 or more.
    """
    taken = Counter(tick_of(epoch_s, first_window_samples) for epoch_s in others)
    group = min(GROUP, mouths_in_time)
    place = min(_TICKS_OF_A_FRAME, key=lambda tick: taken[tick] // group)
    window_s = first_window_samples / SAMPLE_RATE_HZ
    last = math.floor((now_s + window_s) / TICK_S)
    return (last - (last - place) % BLOCKS_PER_FRAME) * TICK_S - window_s

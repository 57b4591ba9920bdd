"""The playout clock: a linear map between monotonic time and the timeline, and the rule for pacing tracks.

The map is constant for a session. After a stall both tracks skip to the position that is due now, so that sound and
picture stay together and sender reports stay on one straight line.
"""

import math
from dataclasses import dataclass

from lipstream.realtime.timeline import SAMPLE_RATE_HZ, samples_to_ms


@dataclass(frozen=True, slots=True)
class PlayoutClock:
    """The times at which samples enter the timeline and leave it.

    Attributes:
        epoch_s: Monotonic time at which sample 0 enters, s.
        delay_samples: From entering to leaving, samples at 16 kHz: the weights' look-ahead and the time to render.
    """

    epoch_s: float
    delay_samples: int

    def entered(self, now_s: float) -> int:
        """Return the number of samples that have entered at monotonic time ``now_s``."""
        return math.floor((now_s - self.epoch_s) * SAMPLE_RATE_HZ + 1e-3)  # binary seconds are not exact

    def left(self, now_s: float) -> int:
        """Return the number of samples that have left at ``now_s``; negative before the first."""
        return self.entered(now_s) - self.delay_samples

    def leaves_at(self, sample: int) -> float:
        """Return the monotonic time at which ``sample`` leaves, s."""
        return self.epoch_s + (sample + self.delay_samples) / SAMPLE_RATE_HZ


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing is due for ``seconds``."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Send:
    """Unit ``index`` is due now."""

    index: int


@dataclass(frozen=True, slots=True)
class Skip:
    """Units before ``index`` are too late to be sent; ``index`` is due now."""

    index: int


def pace(
    clock: PlayoutClock, index: int, *, unit_samples: int, late_limit_samples: int, now_s: float
) -> Wait | Send | Skip:
    """Decide what a track does with its next unit, a packet of speech or a picture.

    Args:
        index: Index of the next unit, which leaves with sample ``index * unit_samples``.
        unit_samples: Length of a unit, samples at 16 kHz.
        late_limit_samples: A unit later than this, in samples at 16 kHz, is skipped.
        now_s: Monotonic time, s.

    Returns:
        Wait, send, or skip ahead to the unit that is due now.
    """
    due = index * unit_samples
    late = clock.left(now_s) - due
    if late < 0:
        return Wait(samples_to_ms(-late) / 1000)
    if late <= late_limit_samples:
        return Send(index)
    return Skip(clock.left(now_s) // unit_samples)

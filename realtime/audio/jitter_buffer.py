"""Adaptive jitter buffer between a live source's clock and the timeline: short, bounded, read in 10 ms blocks.

The source pushes packets as they arrive; the timeline pulls on its own clock. The buffer keeps a margin against
jitter, fills gaps by the source's positions, and drops the oldest sound beyond its bound. It follows a drifting source
clock by stretching single blocks by at most two samples in 480 (0.42 %), in pauses first. Stretched blocks begin and
end on whole source samples, so the change is inaudible.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lipstream.realtime.timeline import BLOCK_SOUND, SOUND_RATE_HZ

Sound = npt.NDArray[np.float32]

LIMIT_SOUND = SOUND_RATE_HZ * 40 // 1000
"""Most samples that may wait when a packet arrives: 40 ms."""
_MARGIN = SOUND_RATE_HZ * 5 // 1000
_MARGIN_MAX = SOUND_RATE_HZ * 25 // 1000
_MARGIN_STEP = SOUND_RATE_HZ * 5 // 1000
_TOLERANCE = SOUND_RATE_HZ * 2 // 1000
_LONGEST_GAP = SOUND_RATE_HZ
"""A jump in position by more than this restarts the buffer; it is not filled as loss."""

_WATCH_BLOCKS = 50
"""Blocks over which the least slack is watched: half a second."""
_CALM_BLOCKS = 1000
"""Blocks without an underrun after which the margin shrinks again: ten seconds."""
_PAUSE_PEAK = 10 ** (-50 / 20)


@dataclass(slots=True)
class SourceCounts:
    """Counters of one source, in samples at 48 kHz where no other unit is named.

    Attributes:
        filled: Silence inserted for lost packets, 48 kHz samples.
        dropped: Sound discarded because more than 40 ms was waiting, 48 kHz samples.
        underruns: Number of blocks that were due before their sound arrived.
        corrections: Number of blocks stretched to follow the source's clock.
    """

    filled: int = 0
    dropped: int = 0
    underruns: int = 0
    corrections: int = 0


class JitterBuffer:
    """The sound of one source on its way into the timeline."""

    def __init__(self) -> None:
        self.counts = SourceCounts()
        self._data = np.zeros(SOUND_RATE_HZ, np.float32)
        self._margin = _MARGIN
        self._pulled_s: float | None = None
        self.clear()

    def clear(self) -> None:
        """Discard the waiting sound; the next packet may start at any position."""
        self._read = self._write = 0  # into _data
        self._expected: int | None = None  # source position that should come next
        self._owed = 0  # silence already returned in place of late sound
        self._arrivals: deque[tuple[int, float]] = deque()  # (samples still to read before its end, arrival)
        self._consumed = 0  # samples read since the beginning
        self._least_slack: float | None = None
        self._watched = self._calm = 0
        self._deviation = 0.0  # least slack minus margin

    @property
    def level(self) -> int:
        """Number of waiting samples."""
        return self._write - self._read

    def push(self, position: int, samples: Sound, arrived_s: float) -> None:
        """Take in a packet. Duplicates are ignored and gaps are filled with silence.

        Args:
            position: Position of the first sample on the source's own clock, 48 kHz.
            samples: ``float32[n]``.
            arrived_s: Monotonic time of arrival, s.
        """
        if not samples.size:
            return
        gap = 0 if self._expected is None else position - self._expected
        read_since = 0.0 if self._pulled_s is None else (arrived_s - self._pulled_s) * SOUND_RATE_HZ
        if self._expected is None or not -_LONGEST_GAP < gap < _LONGEST_GAP:
            read_since = min(BLOCK_SOUND, max(0, int(read_since)))  # the last read may be long ago
            head_start = self._margin + read_since
            self._skip(self.level)
            self._append(np.zeros(head_start, np.float32), arrived_s)
        elif gap < 0:  # a duplicate, or too late
            samples = samples[min(-gap, samples.size) :]
        elif gap > self._owed:
            self.counts.filled += gap - self._owed
            self._append(np.zeros(gap - self._owed, np.float32), arrived_s)
        elif gap == 0 and self._owed:  # late, not lost
            self._margin = min(_MARGIN_MAX, self._margin + _MARGIN_STEP)
            self._calm = 0
        self._expected = max(position + samples.size, self._expected or 0) if gap < 0 else position + samples.size
        self._owed = 0
        # Level at the arrival of this packet if the sound were read evenly.
        slack = self.level - read_since
        self._least_slack = slack if self._least_slack is None else min(slack, self._least_slack)
        if self.level > LIMIT_SOUND:
            excess = self.level - self._margin
            self.counts.dropped += excess
            self._skip(excess)
        self._append(samples, arrived_s)

    def pull(self, now_s: float, *, arrival_of: int = 0) -> tuple[Sound, float | None]:
        """Return the next 10 ms.

        Args:
            now_s: Monotonic time at which the block enters the timeline, s.
            arrival_of: Index of a sample in the block, 0..479.

        Returns:
            ``float32[480]``, and the arrival time of the packet with sample ``arrival_of`` (``None`` for silence).
        """
        self._pulled_s = now_s
        if self._expected is None:
            return np.zeros(BLOCK_SOUND, np.float32), None
        stretch = self._stretch()
        if self.level < BLOCK_SOUND + max(0, stretch):
            return self._underrun(arrival_of)
        arrived = self._arrival(arrival_of)
        source = self._data[self._read : self._read + BLOCK_SOUND + max(0, stretch)]
        block = source.copy() if not stretch else _stretched(source, BLOCK_SOUND + stretch)
        self.counts.corrections += stretch != 0
        self._skip(BLOCK_SOUND + stretch)
        self._watch()
        return block, arrived

    def _stretch(self) -> int:
        """Return how many samples more than 480 this block should read: -2..2."""
        if abs(self._deviation) <= _TOLERANCE:
            return 0
        direction = 1 if self._deviation > 0 else -1
        ahead = self._data[self._read : min(self._write, self._read + BLOCK_SOUND)]
        if ahead.size and float(np.abs(ahead).max()) < _PAUSE_PEAK:
            return 2 * direction
        return direction if abs(self._deviation) > 2 * _TOLERANCE else 0

    def _watch(self) -> None:
        self._watched += 1
        self._calm += 1
        if self._watched >= _WATCH_BLOCKS and self._least_slack is not None:
            self._deviation = self._least_slack - self._margin
            self._least_slack, self._watched = None, 0
        if self._calm >= _CALM_BLOCKS:
            self._calm = 0
            self._margin = max(_MARGIN, self._margin - _MARGIN_STEP)

    def _arrival(self, arrival_of: int) -> float | None:
        """Return the arrival time of the sample ``arrival_of`` places ahead."""
        return next((at_s for end, at_s in self._arrivals if end > self._consumed + arrival_of), None)

    def _underrun(self, arrival_of: int) -> tuple[Sound, float | None]:
        """Return the waiting sound followed by silence; the late sound is kept when it arrives."""
        waiting = self.level
        block = np.zeros(BLOCK_SOUND, np.float32)
        block[:waiting] = self._data[self._read : self._write]
        arrived = self._arrival(arrival_of)
        self._skip(waiting)
        if not self._owed:
            self.counts.underruns += 1
        self._owed += BLOCK_SOUND - waiting
        self._deviation, self._least_slack, self._watched = 0.0, None, 0
        if self._owed >= _LONGEST_GAP:
            self.clear()
        return block, arrived

    def _append(self, samples: Sound, arrived_s: float) -> None:
        size = samples.size
        if self._write + size > self._data.size:
            waiting = self._data[self._read : self._write].copy()
            if waiting.size + size > self._data.size:
                self._data = np.zeros(2 * (waiting.size + size), np.float32)
            self._data[: waiting.size] = waiting
            self._read, self._write = 0, waiting.size
        self._data[self._write : self._write + size] = samples
        self._write += size
        self._arrivals.append((self._consumed + self.level, arrived_s))

    def _skip(self, count: int) -> None:
        self._read += count
        self._consumed += count
        while self._arrivals and self._arrivals[0][0] <= self._consumed:
            self._arrivals.popleft()


def _stretched(source: Sound, span: int) -> Sound:
    """Return 480 samples spread evenly over ``span`` samples of the source, beginning with its first."""
    positions = np.arange(BLOCK_SOUND) * (span / BLOCK_SOUND)
    block: Sound = np.interp(positions, np.arange(source.size), source).astype(np.float32)
    return block

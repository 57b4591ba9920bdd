"""Queue for sound that a program sends faster than real time; the timeline reads it in 10 ms blocks.

A live source has a clock of its own and uses ``jitter_buffer``; a program has none. Its sound waits in order within a
bound that the program can read, and an empty queue gives silence.
"""

from collections import deque
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from lipstream.realtime.audio.jitter_buffer import SourceCounts
from lipstream.realtime.audio.resample import Resampler
from lipstream.realtime.audio.sample_fifo import SampleFifo
from lipstream.realtime.timeline import BLOCK_SOUND, SOUND_RATE_HZ

Sound = npt.NDArray[np.float32]

LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 8_000, SOUND_RATE_HZ
LIMIT_SOUND = 10 * SOUND_RATE_HZ
"""Most samples that may wait, 48 kHz: ten seconds."""
_BLOCKS_REMEMBERED = 512
"""Number of block ends remembered: more than lie between entering and leaving the timeline."""


def _ignore() -> None:
    """Default of ``on_read``."""


class PcmQueue:
    """The sound of one program on its way to the timeline.

    Args:
        rate_hz: Sample rate of the pushed sound, 8000..48000 Hz.

    Raises:
        ValueError: If the rate is outside 8..48 kHz.
    """

    def __init__(self, rate_hz: int) -> None:
        if not LOWEST_RATE_HZ <= rate_hz <= HIGHEST_RATE_HZ:
            raise ValueError(f"a rate of {rate_hz} Hz is not between {LOWEST_RATE_HZ} and {HIGHEST_RATE_HZ}")
        self.counts = SourceCounts()
        self.read = 0
        """Samples that the timeline has read, 48 kHz."""
        self.pushed = 0
        """Samples that have come out of the resampler, 48 kHz."""
        self.missing = 0
        """Samples of silence that the timeline was given since the last sound came, 48 kHz."""
        self.rate_hz = rate_hz
        self.on_read: Callable[[], None] = _ignore
        self._resampler = Resampler(rate_hz, SOUND_RATE_HZ)
        self._odd = b""  # first half of a sample
        self._pieces = SampleFifo()
        self._log: deque[tuple[int, int]] = deque(maxlen=_BLOCKS_REMEMBERED)  # end of a block, value of read by then

    @property
    def level(self) -> int:
        """Number of waiting samples, 48 kHz."""
        return self._pieces.level

    @property
    def room_bytes(self) -> int:
        """Bytes that fit before the queue is full."""
        return max(0, LIMIT_SOUND - self._pieces.level) * self.rate_hz // SOUND_RATE_HZ * 2

    def push(self, pcm: bytes) -> None:
        """Take in sound: s16le, mono. An odd byte at the end waits for the next push."""
        pcm = self._odd + pcm
        whole = len(pcm) // 2 * 2
        self._odd = pcm[whole:]
        if whole:
            samples = np.frombuffer(pcm[:whole], "<i2").astype(np.float32) * np.float32(1 / 32768)
            self._append(self._resampler.push(samples))

    def end(self) -> None:
        """Flush the resampler at the end of an utterance."""
        self._odd = b""
        self._append(self._resampler.flush())

    def pull(self, now_s: float, *, arrival_of: int = 0) -> tuple[Sound, float | None]:  # noqa: ARG002 (as JitterBuffer)
        """Return the next 10 ms, ``float32[480]``, silence if the queue is empty, and ``None`` for the arrival time."""
        block, filled = self._pieces.take(BLOCK_SOUND)
        self.read += filled
        self.missing += BLOCK_SOUND - filled
        self.on_read()
        return block, None

    def clear(self) -> None:
        """Discard the waiting sound and reset the resampler."""
        self._pieces.clear()
        self._odd = b""
        self._resampler = Resampler(self.rate_hz, SOUND_RATE_HZ)
        self.on_read()

    def note_block(self, end: int) -> None:
        """Record how much was read at position ``end`` on the timeline, 16 kHz samples."""
        self._log.append((end, self.read))

    def heard(self, left: int) -> int:
        """Return how much had been read at position ``left``, the sample that leaves now, in 48 kHz samples."""
        return next((read for end, read in reversed(self._log) if end <= left), 0)

    def cut(self, left: int) -> None:
        """Discard the waiting sound; sound that was read but has not left by ``left`` counts as not read."""
        self.read = self.heard(left)
        self._log.clear()
        self._log.append((left, self.read))
        self.clear()

    def _append(self, sound: Sound) -> None:
        self.pushed += sound.size
        self.missing = 0 if sound.size else self.missing
        self._pieces.append(sound)

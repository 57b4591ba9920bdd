"""Queue for a loudspeaker, between the server's clock and the sound card's."""

import threading

import numpy as np
import numpy.typing as npt

from lipstream.realtime.audio.sample_fifo import SampleFifo
from lipstream.realtime.audio.silence import is_silent
from lipstream.realtime.timeline import PACKET_SOUND, SOUND_RATE_HZ

Sound = npt.NDArray[np.float32]

TARGET_SOUND = 3 * PACKET_SOUND
"""Fill in normal operation: 60 ms, as the event loop may be late by two packets."""
LIMIT_SOUND = 6 * PACKET_SOUND
"""Limit of the fill; the oldest packets beyond it are dropped."""
FADE_SOUND = SOUND_RATE_HZ * 5 // 1000


class PlayQueue:
    """A queue that the event loop fills and the sound card's thread reads.

    The two clocks drift apart by some ten milliseconds in ten minutes. The fill is kept near its target by dropping or
    repeating silent packets. Without a pause in the speech only the limit applies.

    Attributes:
        dropped: Number of samples dropped at the limit.
        missed: Number of silent samples played while the queue was empty.
    """

    def __init__(self) -> None:
        self.dropped = self.missed = 0
        self._lock = threading.Lock()
        self._waiting = SampleFifo()
        self._primed = False

    @property
    def level(self) -> int:
        """Number of waiting samples."""
        return self._waiting.level

    @property
    def waiting_ms(self) -> tuple[int, int]:
        """Fill and limit of the queue, ms."""
        return self.level * 1000 // SOUND_RATE_HZ, LIMIT_SOUND * 1000 // SOUND_RATE_HZ

    def push(self, packet: npt.NDArray[np.int16]) -> None:
        """Add ``int16[960]``, 48 kHz."""
        sound = packet.astype(np.float32) * np.float32(1 / 32768)
        is_quiet = is_silent(packet)
        with self._lock:
            if is_quiet and self.level >= TARGET_SOUND + PACKET_SOUND:
                return
            repeats = 2 if is_quiet and self._primed and self.level < TARGET_SOUND - PACKET_SOUND else 1
            for _ in range(repeats):
                self._waiting.append(sound)
            while self.level > LIMIT_SOUND:
                self.dropped += self._waiting.drop_oldest()
            self._primed = self._primed or self.level >= TARGET_SOUND

    def pull(self, count: int) -> Sound:
        """Return the next ``float32[count]``, padded with silence; after a gap, silence until the target is reached."""
        with self._lock:
            if not self._primed:
                return np.zeros(count, np.float32)
            played, filled = self._waiting.take(count)
            self.missed += count - filled
            self._primed = filled == count
        return played

    def clear(self) -> None:
        """Fade out within 5 ms and discard the rest."""
        with self._lock:
            kept, filled = self._waiting.take(FADE_SOUND)
            self._waiting.clear()
            self._waiting.append(kept[:filled] * np.linspace(1, 0, filled, dtype=np.float32))

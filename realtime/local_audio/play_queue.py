"""What waits for a loudspeaker, between the server's clock and the card's."""

import threading
from collections import deque

import numpy as np
import numpy.typing as npt

from realtime.audio.silence import is_silent
from realtime.timeline import PACKET_SOUND, SOUND_RATE_HZ

Sound = npt.NDArray[np.float32]

TARGET_SOUND = 3 * PACKET_SOUND
"""What waits when all is well: 60 ms, for the event loop may be late by two packets."""
LIMIT_SOUND = 6 * PACKET_SOUND
"""More is dropped, oldest first."""
FADE_SOUND = SOUND_RATE_HZ * 5 // 1000


class PlayQueue:
    """Pushed by the event loop, pulled by the sound card's thread.

    The two clocks drift apart by some ten milliseconds in ten minutes. What waits is brought back to its target by
    leaving out or repeating packets that hold no sound; where there is no pause, the bound does it.

    Attributes:
        dropped: Samples left out since they were too many.
        missed: Samples of silence played since too few were there.
    """

    def __init__(self) -> None:
        self.dropped = self.missed = 0
        self._lock = threading.Lock()
        self._waiting: deque[Sound] = deque()
        self._level = 0
        self._primed = False

    @property
    def level(self) -> int:
        """Samples that wait."""
        return self._level

    @property
    def waiting_ms(self) -> tuple[int, int]:
        """How much waits, and how much may, ms."""
        return self._level * 1000 // SOUND_RATE_HZ, LIMIT_SOUND * 1000 // SOUND_RATE_HZ

    def push(self, packet: npt.NDArray[np.int16]) -> None:
        """Add ``int16[960]``, 48 kHz."""
        sound = packet.astype(np.float32) * np.float32(1 / 32768)
        is_quiet = is_silent(packet)
        with self._lock:
            if is_quiet and self._level >= TARGET_SOUND + PACKET_SOUND:
                return
            repeats = 2 if is_quiet and self._primed and self._level < TARGET_SOUND - PACKET_SOUND else 1
            for _ in range(repeats):
                self._waiting.append(sound)
                self._level += sound.size
            while self._level > LIMIT_SOUND:
                oldest = self._waiting.popleft()
                self._level -= oldest.size
                self.dropped += oldest.size
            self._primed = self._primed or self._level >= TARGET_SOUND

    def pull(self, count: int) -> Sound:
        """Return the next ``float32[count]``, silence where there is none; after a gap it waits to be full again."""
        played = np.zeros(count, np.float32)
        with self._lock:
            if not self._primed:
                return played
            filled = 0
            while filled < count and self._waiting:
                piece = self._waiting.popleft()
                part = piece[: count - filled]
                played[filled : filled + part.size] = part
                filled += part.size
                if part.size < piece.size:
                    self._waiting.appendleft(piece[part.size :])
            self._level -= filled
            self.missed += count - filled
            self._primed = filled == count
        return played

    def clear(self) -> None:
        """Fall silent now, within 5 ms."""
        with self._lock:
            kept = np.concatenate(list(self._waiting))[:FADE_SOUND] if self._waiting else np.zeros(0, np.float32)
            self._waiting = deque([kept * np.linspace(1, 0, kept.size, dtype=np.float32)] if kept.size else [])
            self._level = kept.size

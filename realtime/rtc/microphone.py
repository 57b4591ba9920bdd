"""The microphone's sound: RTP timestamps become positions on the session's own clock."""

import logging
from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt

from lipstream.realtime.audio.sample_range import in_range
from lipstream.realtime.timeline import SOUND_RATE_HZ

logger = logging.getLogger(__name__)

RTP_CLOCK_MODULUS = 1 << 32
MAX_DISAGREEMENT_SOUND = 10 * SOUND_RATE_HZ
"""A timestamp this far from the one expected by its arrival means that the sender's clock has restarted.

A smaller difference is a burst of packets that the network delayed."""
MAX_REFUSALS = 25
"""Consecutive chunks from before the end of the last one: half a second of them means a clock set back."""


class PositionTracker:
    """Unwraps the microphone's timestamps into positions that start at 0 and never go back."""

    def __init__(self) -> None:
        self._timestamp = 0
        self._position = 0
        self._end = 0
        self._refusals = 0
        self._arrived_s: float | None = None

    def place(self, timestamp: int, samples: int, arrived_s: float) -> int | None:
        """Return the position of a chunk.

        Args:
            timestamp: RTP timestamp at 48 kHz; only its lowest 32 bits count.
            samples: Length of the chunk, 48 kHz samples.
            arrived_s: Monotonic time of arrival, s.

        Returns:
            Position of its first sample, or ``None`` for a chunk that lies before the end of the last one.
        """
        position = 0
        if self._arrived_s is not None:
            half = RTP_CLOCK_MODULUS // 2
            step = (timestamp - self._timestamp + half) % RTP_CLOCK_MODULUS - half
            elapsed = round((arrived_s - self._arrived_s) * SOUND_RATE_HZ)
            if abs(step - elapsed) > MAX_DISAGREEMENT_SOUND or self._refusals >= MAX_REFUSALS:
                step = max(elapsed, self._end - self._position)
            position = self._position + step
            if position < self._end:
                self._refusals += 1
                return None
        self._refusals = 0
        self._timestamp, self._position, self._arrived_s = timestamp, position, arrived_s
        self._end = position + samples
        return position


class PositionedSound(Protocol):
    """A receiver of a microphone's sound, such as a jitter buffer."""

    def push(self, position: int, samples: npt.NDArray[np.float32], arrived_s: float) -> None:
        """Take in sound.

        Args:
            position: Position of the first sample, 48 kHz, from 0.
            samples: ``float32[n]``, mono.
            arrived_s: Monotonic time of arrival, s.
        """


class MicrophoneInput:
    """Takes decoded microphone sound and puts it into a buffer with positions, without a queue.

    An exception of the buffer goes to ``on_fault``: its owner must learn of it, not the reader of the socket.

    Attributes:
        dropped: Number of chunks that lay before the end of the last one.
    """

    def __init__(self, buffer: PositionedSound, on_fault: Callable[[Exception], None]) -> None:
        self.dropped = 0
        self._buffer, self._on_fault = buffer, on_fault
        self._tracker = PositionTracker()
        self._closed = False

    def push(self, timestamp: int, samples: npt.NDArray[np.float32], arrived_s: float) -> None:
        """Put the sound of one packet into the buffer, or drop it if it lies before the end of the last one.

        Exceptions of the buffer go to ``on_fault``.

        Args:
            timestamp: RTP timestamp at 48 kHz.
            samples: ``float32[n]``, mono, 48 kHz.
            arrived_s: Monotonic time of arrival, s.
        """
        if self._closed:
            return
        try:
            position = self._tracker.place(timestamp, samples.size, arrived_s)
            if position is None:
                self.dropped += 1
            else:
                self._buffer.push(position, in_range(samples), arrived_s)
        except Exception as error:
            logger.exception("microphone failed")
            self._on_fault(error)

    def close(self) -> None:
        """Take no more sound: the buffer may be another peer's. May be called again."""
        self._closed = True

"""FIFO for sound that arrives in chunks of one length and is read in chunks of another."""

from collections import deque

import numpy as np
import numpy.typing as npt

from lipstream.realtime.timeline import BLOCK_SOUND

Sound = npt.NDArray[np.float32]


class SampleFifo:
    """Chunks of sound in order. Chunks shorter than 10 ms are joined: a program may send sample by sample.

    Attributes:
        level: Number of waiting samples.
    """

    def __init__(self) -> None:
        self.level = 0
        self._waiting: deque[Sound] = deque()

    def append(self, piece: Sound) -> None:
        """Add ``float32[n]``."""
        if not piece.size:
            return
        self.level += piece.size
        if self._waiting and self._waiting[-1].size < BLOCK_SOUND:
            piece = np.concatenate((self._waiting.pop(), piece))
        self._waiting.append(piece)

    def take(self, count: int) -> tuple[Sound, int]:
        """Return the next ``float32[count]``, padded with silence, and how many of its samples came from the queue."""
        taken, filled = np.zeros(count, np.float32), 0
        while self._waiting and filled < count:
            piece = self._waiting.popleft()
            part = piece[: count - filled]
            taken[filled : filled + part.size] = part
            filled += part.size
            if part.size < piece.size:
                self._waiting.appendleft(piece[part.size :])
        self.level -= filled
        return taken, filled

    def drop_oldest(self) -> int:
        """Discard the oldest chunk; return its number of samples."""
        size = self._waiting.popleft().size
        self.level -= size
        return size

    def clear(self) -> None:
        """Discard all chunks."""
        self._waiting.clear()
        self.level = 0

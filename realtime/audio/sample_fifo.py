"""Sound that comes in pieces of one length and goes in pieces of another."""

from collections import deque

import numpy as np
import numpy.typing as npt

from lipstream.realtime.timeline import BLOCK_SOUND

Sound = npt.NDArray[np.float32]


class SampleFifo:
    """What waits, in order. Pieces shorter than 10 ms are joined: a program may send sample by sample.

    Attributes:
        level: Samples that wait.
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
        """Return the next ``float32[count]``, filled up with silence, and how many samples of it are none."""
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
        """Forget the oldest piece; return its samples."""
        size = self._waiting.popleft().size
        self.level -= size
        return size

    def clear(self) -> None:
        """Forget what waits."""
        self._waiting.clear()
        self.level = 0

"""The bounded shared memory between server and worker: slots that each hold one job's window and its mouth."""

from multiprocessing.shared_memory import SharedMemory

import numpy as np
import numpy.typing as npt

from lipstream.realtime.lipsync.metadata import Region
from lipstream.realtime.timeline import MEL_BANDS, WINDOW_COLUMNS

SLOTS = 64
"""Jobs that can be under way at once, over all sessions: beyond that a frame repeats."""


class JobMemory:
    """Slots in shared memory.

    Args:
        region: The decoded region, which sets the size of a mouth.
        name: Of memory made by the other side; ``None`` makes it.

    Attributes:
        mels: ``float32[SLOTS, 80, 16]``.
        mouths: ``uint8[SLOTS, h, w, 3]``.
    """

    def __init__(self, region: Region, name: str | None = None) -> None:
        mel_shape, mouth_shape = (SLOTS, MEL_BANDS, WINDOW_COLUMNS), (SLOTS, region.height, region.width, 3)
        mel_bytes = int(np.prod(mel_shape)) * 4
        self._owner = name is None
        self._memory = SharedMemory(name, create=self._owner, size=mel_bytes + int(np.prod(mouth_shape)))
        buffer = self._memory.buf
        self.mels: npt.NDArray[np.float32] = np.ndarray(mel_shape, np.float32, buffer)
        self.mouths: npt.NDArray[np.uint8] = np.ndarray(mouth_shape, np.uint8, buffer, mel_bytes)

    @property
    def name(self) -> str:
        """Under which the other side opens it."""
        return self._memory.name

    def close(self) -> None:
        """Let go of the memory; the side that made it removes it. The arrays must not be used any more."""
        del self.mels, self.mouths
        self._memory.close()
        if self._owner:
            self._memory.unlink()

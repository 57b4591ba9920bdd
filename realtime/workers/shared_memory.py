"""The shared memory between server and worker: slots that each hold one job's mel window and its mouth."""

from multiprocessing.shared_memory import SharedMemory

import numpy as np
import numpy.typing as npt

from lipstream.realtime.lipsync.fields import PIXEL_BYTES
from lipstream.realtime.lipsync.metadata import Region
from lipstream.realtime.timeline import MEL_BANDS, WINDOW_COLUMNS

SLOTS = 64
"""Most jobs under way at once, over all sessions of a worker; a frame without a slot shows the last mouth."""


class JobMemory:
    """Slots in shared memory.

    Args:
        region: Decoded region, px of the face crop; sets the size of a mouth.
        pixel_bytes: Bytes of one pixel of a mouth: 3 for BGR, 8 or 20 for fields. A mouth
            of 48 x 72 takes 10, 27 or 68 KiB.
        name: Name of memory that the other process created; ``None`` creates it.

    Attributes:
        mels: Mel windows, ``float32[SLOTS, 80, 16]``.
        mouths: Mouths, ``uint8[SLOTS, h, w, pixel_bytes]``.
    """

    def __init__(self, region: Region, name: str | None = None, pixel_bytes: int = PIXEL_BYTES) -> None:
        mel_shape = (SLOTS, MEL_BANDS, WINDOW_COLUMNS)
        mouth_shape = (SLOTS, region.height, region.width, pixel_bytes)
        mel_bytes = int(np.prod(mel_shape)) * 4
        self._owner = name is None
        self._memory = SharedMemory(name, create=self._owner, size=mel_bytes + int(np.prod(mouth_shape)))
        buffer = self._memory.buf
        self.mels: npt.NDArray[np.float32] = np.ndarray(mel_shape, np.float32, buffer)
        self.mouths: npt.NDArray[np.uint8] = np.ndarray(mouth_shape, np.uint8, buffer, mel_bytes)

    @property
    def name(self) -> str:
        """Name by which the other process opens the memory."""
        return self._memory.name

    def close(self) -> None:
        """Close the memory; its creator also removes it. The arrays must not be used any more."""
        del self.mels, self.mouths
        self._memory.close()
        if self._owner:
            self._memory.unlink()

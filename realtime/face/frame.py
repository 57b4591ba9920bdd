"""A picture with the sound that belongs to it."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from lipstream.realtime.picture.i420 import Picture


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture, shown for 40 ms, and the 40 ms of sound that are heard with it.

    Attributes:
        number: Number of the picture, from 0.
        picture: I420, ``uint8[h * 3 // 2, w]``: luma, then both chroma planes; BT.601, limited range. Read-only.
        sound: ``int16[rate / 25]``, mono; ``None`` where nobody speaks. Silence fills the last frame of an utterance.
        samples: Number of samples of ``sound`` that were pushed.
        utterance: Number of the utterance, from 0; ``None`` where nobody speaks.
        position: Samples of the utterance that have been handed out, with this frame.
        ended: Whether the utterance ends with this frame: true once for each :meth:`Face.end`.
        spoken: Weight of the spoken mouth against the mouth at rest, 0..1.
        motion: Name of the motion whose clip it shows; ``None`` for every other picture.
    """

    number: int
    picture: Picture
    sound: npt.NDArray[np.int16] | None
    samples: int
    utterance: int | None
    position: int
    ended: bool
    spoken: float
    motion: str | None = None

    @property
    def width(self) -> int:
        """Width of the picture, px."""
        return int(self.picture.shape[1])

    @property
    def height(self) -> int:
        """Height of the picture, px."""
        return int(self.picture.shape[0]) * 2 // 3

    def rgb(self) -> npt.NDArray[np.uint8]:
        """Return the picture as a new ``uint8[h, w, 3]``, red first."""
        return np.asarray(cv2.cvtColor(self.picture, cv2.COLOR_YUV2RGB_I420), np.uint8)

    def bgr(self) -> npt.NDArray[np.uint8]:
        """Return the picture as a new ``uint8[h, w, 3]``, blue first, as OpenCV has it."""
        return np.asarray(cv2.cvtColor(self.picture, cv2.COLOR_YUV2BGR_I420), np.uint8)

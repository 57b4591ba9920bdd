"""A face that marks the pictures of loud sound, so that picture and sound can be told at the far end of a framework."""

import dataclasses
import time
from typing import ClassVar

import numpy as np

from lipstream import Face, Frame
from lipstream.realtime.face.face import Pcm

LOUD, MARK, BRIGHT = 300, 24, 190


def is_marked(luma: np.ndarray) -> bool:
    """Return whether a picture is marked, ``uint8[h, w]``; an encoder may have blurred it."""
    return bool(luma[-MARK * 3 // 4 : -MARK // 4, -MARK * 3 // 4 : -MARK // 4].mean() > BRIGHT)


class MarkedFace(Face):
    """Marks the lower right corner of each picture whose own sound is loud.

    Attributes:
        stages: When the first sound of an utterance was pushed, and its first frame begun and drawn, monotonic seconds;
            whoever asks empties it between utterances.
    """

    stages: ClassVar[dict[str, float]] = {}

    def push(self, pcm: Pcm, *, rate: int | None = None) -> None:
        self.stages.setdefault("pushed", time.monotonic())
        super().push(pcm, rate=rate)

    def _next(self) -> Frame:
        begun_s = time.monotonic()
        frame = super()._next()
        if frame.sound is not None:
            self.stages.setdefault("begun", begun_s)
            self.stages.setdefault("drawn", time.monotonic())
        if frame.sound is None or np.abs(frame.sound.astype(int)).max() < LOUD:
            return frame
        picture = frame.picture.copy()
        picture[frame.height - MARK : frame.height, -MARK:] = 235
        return dataclasses.replace(frame, picture=picture)


def stages_ms(begun_s: float, picture_s: float, sound_s: float) -> dict[str, float]:
    """Return where the time to an utterance's first picture and sound goes, ms; the last two are alternatives."""
    stages = MarkedFace.stages
    at_s = {"framework": stages["pushed"], "speech and pace": stages["begun"], "draw": stages["drawn"]}
    steps = zip((begun_s, *at_s.values()), at_s.items(), strict=False)
    took = {name: to_s - from_s for from_s, (name, to_s) in steps}
    took |= {"picture to its end": picture_s - stages["drawn"], "sound to its end": sound_s - stages["drawn"]}
    return {name: round(took_s * 1000, 1) for name, took_s in took.items()}

"""End-of-turn detection: finds where a person begins and stops speaking, and collects the sound between.

The animator's voice detector dates speech for the lips. This detector is slower to report an onset, because an onset
interrupts the face, and much slower to report an end.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lipstream.realtime.audio.voice_detector import VoiceDetector
from lipstream.realtime.timeline import BLOCK_SAMPLES, ms_to_samples

Sound = npt.NDArray[np.float32]

ONSET_BLOCKS, ONSET_VOICED = 8, 6
"""Speech begins when 6 of the last 8 blocks of 10 ms are voiced: a click or a cough is shorter."""
PAUSE_SAMPLES = ms_to_samples(700)
"""Silence after which the turn is over, 16 kHz samples; most pauses within a sentence are shorter."""
PRE_ROLL_SAMPLES = ms_to_samples(300)
"""Sound kept from before the first voiced block: soft first sounds help the transcriber."""
LONGEST_SAMPLES = ms_to_samples(60_000)
"""A longer turn ends here."""

_AGGRESSIVENESS, _NOISE_FLOOR_DB = 2, -50.0


@dataclass(frozen=True, slots=True)
class TurnBegan:
    """A person began to speak.

    Attributes:
        sample: Position of the first voiced block on the timeline, 16 kHz.
    """

    sample: int


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """A person stopped speaking.

    Attributes:
        sample: End of the last voiced block on the timeline, 16 kHz.
        speech: ``float32[n]``, 16 kHz: the turn with a little sound before and after it.
    """

    sample: int
    speech: Sound


class TurnDetector:
    """Detects the turns of one speaker.

    Args:
        pause_samples: Silence that ends a turn, 16 kHz.
    """

    def __init__(self, pause_samples: int = PAUSE_SAMPLES) -> None:
        self._pause = pause_samples
        self._detector = VoiceDetector(aggressiveness=_AGGRESSIVENESS, noise_floor_db=_NOISE_FLOOR_DB)
        self._recent: deque[bool] = deque(maxlen=ONSET_BLOCKS)
        self._kept: deque[Sound] = deque(maxlen=ONSET_BLOCKS + PRE_ROLL_SAMPLES // BLOCK_SAMPLES)
        self._turn: list[Sound] | None = None
        self._voiced_end = 0

    @property
    def speaking(self) -> bool:
        """Whether a turn has begun and not ended."""
        return self._turn is not None

    def push(self, samples: Sound, end: int) -> Iterator[TurnBegan | TurnEnded]:
        """Take in sound and yield the events that it decides.

        Args:
            samples: ``float32[n]``, 16 kHz.
            end: Position of the last sample's end on the timeline, 16 kHz.
        """
        blocks = self._detector.push(samples)
        at = end - self._detector.pending - BLOCK_SAMPLES * len(blocks)
        for block, voiced in blocks:
            at += BLOCK_SAMPLES
            if event := self._take(block, at, voiced=voiced):
                yield event

    def end(self) -> TurnEnded | None:
        """End the current turn, if any, at once: the speaker has released the push-to-talk button."""
        if self._turn is None:
            return None
        speech, self._turn = np.concatenate(self._turn), None
        self._recent.clear()
        return TurnEnded(self._voiced_end, speech)

    def _take(self, block: Sound, end: int, *, voiced: bool) -> TurnBegan | TurnEnded | None:
        if voiced:
            self._voiced_end = end
        if self._turn is None:
            self._kept.append(block)
            return self._begin(end, voiced=voiced)
        self._turn.append(block)
        if end - self._voiced_end >= self._pause or len(self._turn) * BLOCK_SAMPLES >= LONGEST_SAMPLES:
            return self.end()
        return None

    def _begin(self, end: int, *, voiced: bool) -> TurnBegan | None:
        self._recent.append(voiced)
        if sum(self._recent) < ONSET_VOICED:
            return None
        first = len(self._recent) - self._recent.index(True)  # blocks since the first voiced one
        self._turn = list(self._kept)
        self._kept.clear()
        return TurnBegan(end - first * BLOCK_SAMPLES)

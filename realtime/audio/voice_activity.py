"""Finds where speech begins and ends on the timeline, with hysteresis counted in samples."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lipstream.realtime.audio.voice_detector import VoiceDetector
from lipstream.realtime.timeline import BLOCK_SAMPLES, ms_to_samples

ONSET_SAMPLES = ms_to_samples(20)
"""Voiced sound needed before speech counts as begun."""
PRE_ROLL_SAMPLES = ms_to_samples(30)
"""The detector misses quiet first sounds: speech is dated this much before its first voiced block."""
HANGOVER_SAMPLES = ms_to_samples(240)
"""Silence needed before speech counts as ended: longer than the closure of a stop consonant."""

_AGGRESSIVENESS, _NOISE_FLOOR_DB = 1, -55.0


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """Speech began at ``sample``, which lies before the block that revealed it."""

    sample: int


@dataclass(frozen=True, slots=True)
class SpeechEnded:
    """The last voiced block ended at ``sample``."""

    sample: int


class VoiceActivity:
    """WebRTC's voice detector over 10 ms blocks of a signal that arrives in chunks.

    Args:
        position: Position of the first sample on the timeline, 16 kHz.
    """

    def __init__(self, position: int = 0) -> None:
        self._detector = VoiceDetector(aggressiveness=_AGGRESSIVENESS, noise_floor_db=_NOISE_FLOOR_DB)
        self._position = position  # start of the next block
        self._run_start: int | None = None  # start of the current run of voiced blocks
        self._last_voiced = position
        self._speaking = False

    @property
    def speaking(self) -> bool:
        """Whether speech has begun and not yet ended."""
        return self._speaking

    def push(self, samples: npt.NDArray[np.float32]) -> list[SpeechStarted | SpeechEnded]:
        """Take in ``float32[n]`` at 16 kHz and return the events that it decides."""
        return [event for _, voiced in self._detector.push(samples) for event in self._take(voiced=voiced)]

    def cut(self) -> None:
        """Treat the past signal as silence: speech that continues is reported as a new start."""
        self._run_start = None
        self._speaking = False

    def _take(self, *, voiced: bool) -> Iterator[SpeechStarted | SpeechEnded]:
        start, end = self._position, self._position + BLOCK_SAMPLES
        self._position = end
        if voiced:
            self._last_voiced = end
            if self._run_start is None:
                self._run_start = start
            if not self._speaking and end - self._run_start >= ONSET_SAMPLES:
                self._speaking = True
                yield SpeechStarted(max(0, self._run_start - PRE_ROLL_SAMPLES))
        else:
            self._run_start = None
            if self._speaking and end - self._last_voiced >= HANGOVER_SAMPLES:
                self._speaking = False
                yield SpeechEnded(self._last_voiced)

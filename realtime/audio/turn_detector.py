"""End-of-turn detection: finds where a person begins and stops speaking, and collects the sound between.

The animator's voice detector dates speech for the lips. This detector is slower to report an onset, because an onset
interrupts the face, and much slower to report an end.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lipstream.realtime.audio.speech_detector import SpeechDetector
from lipstream.realtime.audio.voice_detector import BlockDetector
from lipstream.realtime.timeline import BLOCK_SAMPLES, ms_to_samples

Sound = npt.NDArray[np.float32]

ONSET_BLOCKS, ONSET_VOICED = 8, 6
"""Speech begins when 6 of the last 8 blocks of 10 ms are voiced: a click or a cough is shorter."""
PAUSE_SAMPLES = ms_to_samples(700)
"""Silence after which the turn is over, 16 kHz samples; most pauses within a sentence are shorter."""
PRE_ROLL_SAMPLES = ms_to_samples(300)
"""Sound kept from before the first voiced block: soft first sounds help the transcriber."""
ASK_SAMPLES = ms_to_samples(200)
"""Silence after which somebody who can tell is asked whether the turn is over, 16 kHz samples."""
PATIENCE_SAMPLES = ms_to_samples(2000)
"""Silence that ends a turn whose speaker has not finished, or of which nobody has said yet, 16 kHz samples."""
LONGEST_SAMPLES = ms_to_samples(60_000)
"""A longer turn ends here, unless another length is asked for."""
FAR_DB = 20.0
"""A voice that is this much softer than the turn's own does not prolong it: somebody behind the visitor, a radio."""
_LEVEL_FALL = 0.998
"""Share of the turn's level that a block of 10 ms leaves: a visitor who grows softer is followed, 10 dB in 6 s."""

_AGGRESSIVENESS, _NOISE_FLOOR_DB = 2, -50.0


@dataclass(frozen=True, slots=True)
class TurnBegan:
    """A person began to speak.

    Attributes:
        sample: Position of the first voiced block on the timeline, 16 kHz.
    """

    sample: int


@dataclass(frozen=True, slots=True)
class TurnPaused:
    """A person pauses: is the turn over? The answer goes to :meth:`TurnDetector.judge`.

    Attributes:
        sample: End of the last voiced block on the timeline, 16 kHz.
        speech: ``float32[n]``, 16 kHz: the turn so far, with the beginning of the pause.
    """

    sample: int
    speech: Sound


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
        detector: Finds the voice in blocks; ``None`` for a :class:`SpeechDetector`.
        pause_samples: Silence that ends a turn, 16 kHz.
        longest_samples: Length at which a turn ends, 16 kHz.
        far_db: How much softer than the turn's own a voice is that does not prolong it, dB.
        asks: Whether a pause is reported, for somebody who can tell a pause from an end; default false.
    """

    def __init__(
        self,
        detector: BlockDetector | None = None,
        *,
        pause_samples: int = PAUSE_SAMPLES,
        longest_samples: int = LONGEST_SAMPLES,
        far_db: float = FAR_DB,
        asks: bool = False,
    ) -> None:
        self._pause, self.longest_samples, self._far = pause_samples, longest_samples, 10 ** (-far_db / 20)
        self._detector = detector or SpeechDetector(aggressiveness=_AGGRESSIVENESS, noise_floor_db=_NOISE_FLOOR_DB)
        self._level = 0.0  # root mean square of the turn's loud blocks
        self._pushed: deque[tuple[int, bool]] = deque()  # end of what was pushed, and whether it is hidden
        self._recent: deque[bool] = deque(maxlen=ONSET_BLOCKS)
        self._kept: deque[Sound] = deque(maxlen=ONSET_BLOCKS + PRE_ROLL_SAMPLES // BLOCK_SAMPLES)
        self._turn: list[Sound] | None = None
        self._voiced_end = 0
        self._asks, self._asked = asks, -1  # end of the voice before the pause that was reported
        self._wait = pause_samples  # silence that ends the turn

    @property
    def speaking(self) -> bool:
        """Whether a turn has begun and not ended."""
        return self._turn is not None

    def push(self, samples: Sound, end: int, *, hidden: bool = False) -> Iterator[TurnBegan | TurnPaused | TurnEnded]:
        """Take in sound and yield the events that it decides.

        Args:
            samples: ``float32[n]``, 16 kHz.
            end: Position of the last sample's end on the timeline, 16 kHz.
            hidden: Whether the sound counts as silence, such as an echo. The detector hears it: a voice with holes
                would be none to it. Default false.
        """
        self._pushed.append((end, hidden))
        blocks = self._detector.push(samples)
        at = end - self._detector.pending - BLOCK_SAMPLES * len(blocks)
        for block, voiced in blocks:
            at += BLOCK_SAMPLES
            if event := self._take(block, at, voiced=voiced):
                yield event

    def judge(self, paused: TurnPaused, *, has_finished: bool | None) -> TurnEnded | None:
        """Take in whether a speaker who paused has finished; end the turn at once if so.

        A speaker who has gone on meanwhile has not finished.

        Args:
            has_finished: ``None`` if nobody can tell, so that silence ends the turn as it does without asking.
        """
        if self._turn is None or paused.sample != self._voiced_end:
            return None
        if has_finished:
            return self.end()
        if has_finished is None:
            self._wait = self._pause
        return None

    def end(self) -> TurnEnded | None:
        """End the current turn, if any, at once: the speaker has released the push-to-talk button."""
        if self._turn is None:
            return None
        speech, self._turn = np.concatenate(self._turn), None
        self._recent.clear()
        return TurnEnded(self._voiced_end, speech)

    def _take(self, block: Sound, end: int, *, voiced: bool) -> TurnBegan | TurnPaused | TurnEnded | None:
        while self._pushed[0][0] < end - BLOCK_SAMPLES // 2:
            self._pushed.popleft()
        if self._pushed[0][1]:
            block, voiced = np.zeros_like(block), False
        if self._turn is None:
            self._voiced_end = end if voiced else self._voiced_end
            self._kept.append(block)
            return self._begin(end, voiced=voiced)
        if voiced and self._is_near(block):
            self._voiced_end = end
        self._turn.append(block)
        silence = end - self._voiced_end
        if silence >= self._wait or len(self._turn) * BLOCK_SAMPLES >= self.longest_samples:
            return self.end()
        if self._asks and silence >= ASK_SAMPLES and self._asked != self._voiced_end:
            self._asked, self._wait = self._voiced_end, max(self._pause, PATIENCE_SAMPLES)
            return TurnPaused(self._voiced_end, np.concatenate(self._turn))
        return None

    def _begin(self, end: int, *, voiced: bool) -> TurnBegan | None:
        self._recent.append(voiced)
        if sum(self._recent) < ONSET_VOICED:
            return None
        first = len(self._recent) - self._recent.index(True)  # blocks since the first voiced one
        self._turn, self._level, self._wait = list(self._kept), 0.0, self._pause
        self._kept.clear()
        return TurnBegan(end - first * BLOCK_SAMPLES)

    def _is_near(self, block: Sound) -> bool:
        """Return whether a voiced block is about as loud as the turn's others."""
        loudness = float(np.sqrt(np.mean(np.square(block))))
        self._level = max(self._level * _LEVEL_FALL, loudness)
        return loudness >= self._level * self._far

"""Utterances, frame by frame: which sound a frame carries and which mouth it shows.

The module is pure: whoever asks for the next frame is the clock. Utterances that follow each other share an animator's
timeline, which stands still while sound is missing; after a pause or an interruption a new timeline begins.
"""

from collections import deque
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from lipstream.realtime.audio.mel import Mel
from lipstream.realtime.audio.resample import Resampler
from lipstream.realtime.audio.sample_fifo import SampleFifo
from lipstream.realtime.lipsync.alignment import samples_needed
from lipstream.realtime.packets import PcmChunk
from lipstream.realtime.session.animator import Animator, ClipLoop
from lipstream.realtime.timeline import (
    FRAME_RATE_HZ,
    SAMPLE_RATE_HZ,
    SAMPLES_PER_FRAME,
    exact_ratio,
    frame_to_sample,
    ms_to_samples,
)

Sound = npt.NDArray[np.float32]

LEAST_RATE_HZ, MOST_RATE_HZ = 8000, 192_000

KNOWN_SAMPLES = ms_to_samples(320)
"""Sound after a frame's window that helps to decide whether speech begins or ends there, if it has come."""


class _Utterance:
    """One utterance, from its first sample until its last one has been handed out.

    Attributes:
        pushed_hz: Sample rate at which it is pushed, Hz.
        first: Frame of the timeline that carries its first sample; ``None`` before it is on the timeline.
        sound: Samples that are not handed out yet, at the rate at which they are.
        heard: The same at 16 kHz, until the utterance is on the timeline.
        position: Number of samples that are handed out.
        ended: Whether all its sound has been pushed.
    """

    def __init__(self, number: int, pushed_hz: int, rate_hz: int) -> None:
        self.number, self.pushed_hz = number, pushed_hz
        self.first: int | None = None
        self.sound, self.heard = SampleFifo(), SampleFifo()
        self.to_rate = Resampler(pushed_hz, rate_hz)
        self.to_heard = Resampler(pushed_hz, SAMPLE_RATE_HZ)
        self.position, self.ended = 0, False

    def starts_by(self, frame: int) -> bool:
        """Return whether a frame of the timeline lies in the utterance, or after it."""
        return self.first is not None and self.first <= frame


@dataclass(frozen=True, slots=True, eq=False)
class SpeechFrame:
    """What one frame says.

    Attributes:
        sound: ``float32[rate / 25]``; ``None`` where nobody speaks.
        samples: Number of samples of ``sound`` that were pushed; the rest pads the last frame of an utterance.
        mel: ``float32[80, 16]``, the window of its mouth; ``None`` for a mouth at rest, or for the last one again.
        spoken: Weight of the spoken mouth that is wanted, 0..1.
        continues: Whether the mouth continues the one of the frame before.
        frame: Frame on the animator's timeline.
        utterance: Number of the utterance, from 0; ``None`` where nobody speaks.
        position: Samples of the utterance that are handed out, with this frame.
        ended: Whether an utterance ends with this frame.
        stress: How far the frame stands out in its speech, 0..1.
    """

    sound: Sound | None = None
    samples: int = 0
    mel: Mel | None = None
    spoken: float = 0.0
    continues: bool = False
    frame: int = 0
    utterance: int | None = None
    position: int = 0
    ended: bool = False
    stress: float = 0.0


@dataclass(frozen=True, slots=True)
class Cut:
    """What an interruption cut off.

    Attributes:
        utterance: Number of the utterance that was being said; ``None`` if none was.
        position: Samples of it that had been handed out.
        dropped: Samples that were pushed and will not be said, in all utterances.
        following: Number of the next utterance; a frame of an earlier one that is still under way is to be dropped.
    """

    utterance: int | None
    position: int
    dropped: int
    following: int


class Speech:
    """Utterances in order, and the frames that say them.

    Args:
        rate_hz: Sample rate of the sound, 8000 to 192000 Hz, a multiple of 25.
        window_offset_samples: From a frame's start to its mel window, samples at 16 kHz; the weights have it.

    Raises:
        ValueError: If the rate is no such number.
    """

    def __init__(self, rate_hz: int, *, window_offset_samples: int) -> None:
        if rate_hz % FRAME_RATE_HZ or not LEAST_RATE_HZ <= rate_hz <= MOST_RATE_HZ:
            limits = f"{LEAST_RATE_HZ} to {MOST_RATE_HZ} Hz and a multiple of {FRAME_RATE_HZ}"
            raise ValueError(f"a sample rate is {limits}, not {rate_hz}")
        self._rate_hz, self._per_frame = rate_hz, rate_hz // FRAME_RATE_HZ
        self._offset = window_offset_samples
        self._waiting: deque[_Utterance] = deque()
        self._count = 0
        self._begin_run()

    @property
    def resting(self) -> bool:
        """Whether all that was pushed has been said, and the mouth closes no more."""
        return not self._waiting and not self._animator.speaking

    @property
    def ready(self) -> bool:
        """Whether there is a next frame to say or to show, without more sound."""
        self._join()
        joined = [utterance for utterance in self._waiting if utterance.first is not None]
        if not joined:
            return self._animator.speaking
        says, last = joined[0], joined[-1]
        if says.starts_by(self._frame) and not says.ended and says.sound.level < self._per_frame:
            return False
        return last.ended or self._analysed.level >= self._missing()

    @property
    def waiting_samples(self) -> int:
        """Number of samples that were pushed and not handed out."""
        return sum(utterance.sound.level for utterance in self._waiting)

    def push(self, samples: Sound, rate_hz: int | None = None) -> None:
        """Add sound to the open utterance; the first sound after :meth:`end` begins another.

        Args:
            samples: ``float32[n]`` in -1..1.
            rate_hz: Sample rate of these, Hz, the same within an utterance; ``None`` for the rate of all frames.

        Raises:
            ValueError: If the rate is out of range, or not that of the utterance.
        """
        rate_hz = rate_hz or self._rate_hz
        if not LEAST_RATE_HZ <= rate_hz <= MOST_RATE_HZ:
            raise ValueError(f"a sample rate is {LEAST_RATE_HZ} to {MOST_RATE_HZ} Hz, not {rate_hz}")
        if samples.size:
            utterance = self._open(rate_hz)
            if rate_hz != utterance.pushed_hz:
                raise ValueError(f"the utterance has {utterance.pushed_hz} Hz; end it before {rate_hz} Hz")
            utterance.sound.append(utterance.to_rate.push(samples))
            self._analyse(utterance, utterance.to_heard.push(samples))

    def end(self) -> None:
        """Mark the end of the open utterance; without one, an empty utterance begins and ends here."""
        utterance = self._open(self._rate_hz)
        utterance.sound.append(utterance.to_rate.flush())
        self._analyse(utterance, utterance.to_heard.flush())
        utterance.ended = True
        if utterance.first is not None:
            self._fill_frame(utterance)

    def clear(self) -> Cut:
        """Drop all that is not handed out, without marks of an end, and let the mouth go to rest."""
        current = self._waiting[0] if self._waiting and self._waiting[0].position else None
        number, position = (current.number, current.position) if current else (None, 0)
        cut = Cut(number, position, self.waiting_samples, self._count)
        self._waiting.clear()
        self._begin_run()
        return cut

    def next_frame(self) -> SpeechFrame:
        """Return the next frame. Without enough sound for it, the timeline waits and the mouth goes to rest."""
        if not self.ready:
            return SpeechFrame()
        missing = self._missing()
        if self._analysed.level < missing:  # the utterance is ended: silence follows
            self._is_padded = True
            self._analysed.append(np.zeros(missing - self._analysed.level, np.float32))
        known = self._analysed.take(max(0, min(self._analysed.level, missing + KNOWN_SAMPLES)))[0]
        self._animator.take(PcmChunk(self._animator.position, known))
        job = self._animator.decide()
        assert job is not None
        self._frame = job.frame + 1
        said = self._say(job.frame)
        return replace(
            said, mel=job.mel, spoken=job.spoken, continues=job.continues, frame=job.frame, stress=job.stress
        )

    def _say(self, frame: int) -> SpeechFrame:
        """Return a frame with its sound alone."""
        if not self._waiting or not self._waiting[0].starts_by(frame):
            return SpeechFrame()
        utterance = self._waiting[0]
        sound, samples = utterance.sound.take(self._per_frame)
        utterance.position += samples
        ended = utterance.ended and not utterance.sound.level
        if ended:
            self._waiting.popleft()
        return SpeechFrame(
            sound=sound if samples else None,
            samples=samples,
            utterance=utterance.number,
            position=utterance.position,
            ended=ended,
        )

    def _open(self, rate_hz: int) -> _Utterance:
        """Return the open utterance; begin one if there is none."""
        if not self._waiting or self._waiting[-1].ended:
            self._waiting.append(_Utterance(self._count, rate_hz, self._rate_hz))
            self._count += 1
        return self._waiting[-1]

    def _analyse(self, utterance: _Utterance, samples: Sound) -> None:
        (utterance.heard if utterance.first is None else self._analysed).append(samples)

    def _begin_run(self) -> None:
        """Begin a timeline."""
        self._animator = Animator(ClipLoop(1, "seamless", follows_stress=True), window_offset_samples=self._offset)
        self._analysed = SampleFifo()  # 16 kHz, what the animator gets next
        self._frame = 0  # next frame of the timeline
        self._is_padded = False  # whether silence has been added to the timeline

    def _join(self) -> None:
        """Put utterances on the timeline that are whole, or long enough for their first frame.

        A shorter one would hold up the end of the one before, whose last mouths look ahead into it. Where those have
        looked into silence already, the utterance waits for the end, and begins a timeline of its own.
        """
        for utterance in [utterance for utterance in self._waiting if utterance.first is None]:
            if not utterance.ended and utterance.heard.level < samples_needed(0, window_offset_samples=self._offset):
                return
            if self._waiting[0] is utterance:
                self._begin_run()
            elif self._is_padded:
                return
            end = self._animator.position + self._analysed.level
            utterance.first = exact_ratio(end, SAMPLES_PER_FRAME)
            self._analysed.append(utterance.heard.take(utterance.heard.level)[0])
            if utterance.ended:
                self._fill_frame(utterance)

    def _fill_frame(self, utterance: _Utterance) -> None:
        """Add silence up to a whole frame after an utterance, one at least, which carries the mark of its end."""
        assert utterance.first is not None
        frames_left = -(-utterance.sound.level // self._per_frame)
        next_of_it = utterance.first + utterance.position // self._per_frame
        stop = frame_to_sample(next_of_it + max(1, frames_left))
        self._analysed.append(np.zeros(stop - self._animator.position - self._analysed.level, np.float32))

    def _missing(self) -> int:
        """Return how many samples at 16 kHz the animator lacks for the next frame."""
        return samples_needed(self._frame, window_offset_samples=self._offset) - self._animator.position

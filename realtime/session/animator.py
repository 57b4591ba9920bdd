"""Turns speech into render jobs: decides for each video frame which mouth it shows.

The module is pure: it does no I/O, and its only clock is the number of samples taken in. A frame is decided as soon as
the sound of its mel window has arrived. During silence a frame shows the clip with the mouth at rest and needs no model
call. Around speech the mouth fades between the resting and the spoken one.
"""

import dataclasses
from collections import deque
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from lipstream.realtime.audio.mel import SILENCE_LEVEL, Mel, StreamingMel
from lipstream.realtime.audio.stress import StressMeter
from lipstream.realtime.audio.voice_activity import SpeechEnded, SpeechStarted, VoiceActivity
from lipstream.realtime.lipsync.alignment import mel_columns, samples_needed
from lipstream.realtime.packets import PcmChunk, RenderJob
from lipstream.realtime.timeline import (
    MEL_BANDS,
    MEL_HOP_SAMPLES,
    SAMPLES_PER_FRAME,
    WINDOW_COLUMNS,
    exact_ratio,
    frame_to_sample,
)

FADE_IN_FRAMES = 2
FADE_OUT_FRAMES = 4
LEAD_SAMPLES = SAMPLES_PER_FRAME
"""The fade begins one frame before the first sound, since people open their mouth before they speak."""

JUMP_SAMPLES = 3200
"""Frame starts and mel columns coincide every 200 ms; the timeline can only jump to multiples of this."""
exact_ratio(JUMP_SAMPLES, SAMPLES_PER_FRAME)
exact_ratio(JUMP_SAMPLES, MEL_HOP_SAMPLES)

_REMEMBERED = 64
"""Number of decided frames kept for an interruption to change: more than can wait to leave."""


class FrameChoice(Protocol):
    """Chooses which frame of an avatar's clips each video frame shows."""

    @property
    def follows_stress(self) -> bool:
        """Whether the stress in speech changes the choice; otherwise nobody needs to measure it."""

    def decide(self, frame: int, *, speaks: bool, stress: float = 0.0) -> int:
        """Return the clips' frame that video frame ``frame`` shows, which speaks or not, with a stress of 0..1."""

    def clip_frame(self, frame: int) -> int:
        """Return the clips' frame that video frame ``frame`` shows: what was decided, if it was."""


@dataclass(frozen=True, slots=True)
class ClipLoop:
    """The endless repetition of a clip.

    Attributes:
        frames: Length of the clip, frames, 1 or more.
        kind: ``seamless`` plays forward and restarts; ``pingpong`` plays forward and backward in turn.
        follows_stress: Whether stress is measured all the same, for whoever takes it from the jobs.
    """

    frames: int
    kind: Literal["seamless", "pingpong"]
    follows_stress: bool = False

    def clip_frame(self, frame: int) -> int:
        """Return the index of the clip's frame that video frame ``frame`` shows."""
        if self.kind == "seamless" or self.frames == 1:
            return frame % self.frames
        phase = frame % (2 * self.frames - 2)
        return min(phase, 2 * self.frames - 2 - phase)

    def decide(self, frame: int, *, speaks: bool, stress: float = 0.0) -> int:  # noqa: ARG002 (a loop repeats)
        """Return the index of the clip's frame that video frame ``frame`` shows."""
        return self.clip_frame(frame)


@dataclass(slots=True)
class _SpeechSpan:
    """Speech from sample ``start`` to sample ``end``, 16 kHz; ``end`` is ``None`` while the speech goes on."""

    start: int
    end: int | None = None


class Animator:
    """Turns one session's sound into render jobs.

    Args:
        loop: Chooses the clips' frames.
        window_offset_samples: Samples (16 kHz) from a frame's start to the start of its mel window, from the weights'
            metadata.
    """

    def __init__(self, loop: FrameChoice, *, window_offset_samples: int) -> None:
        self.loop = loop
        self._offset = window_offset_samples
        self._begin(0)

    def _begin(self, sample: int) -> None:
        """Start at sample ``sample``, with silence before it."""
        self._position = sample
        self._voice = VoiceActivity(sample)
        self._stress = StressMeter(sample)
        self._mel = StreamingMel()
        self._columns = np.full((MEL_BANDS, 2 * WINDOW_COLUMNS), SILENCE_LEVEL, np.float32)
        self._first_column = sample // MEL_HOP_SAMPLES - 2 * WINDOW_COLUMNS
        self._spans: deque[_SpeechSpan] = deque()
        self._next_frame = sample // SAMPLES_PER_FRAME
        self._spoken = 0.0  # weight of the last decided frame
        self._cut = False  # whether an interruption came since the last decided frame
        self._decided: deque[RenderJob] = deque(maxlen=_REMEMBERED)
        self._events: list[SpeechStarted | SpeechEnded] = []

    @property
    def position(self) -> int:
        """Index of the next sample to take in, 16 kHz."""
        return self._position

    @property
    def speaking(self) -> bool:
        """Whether the last decided frame shows a spoken mouth."""
        return self._spoken > 0

    def take_events(self) -> list[SpeechStarted | SpeechEnded]:
        """Return the starts and ends of speech found since the last call."""
        events, self._events = self._events, []
        return events

    def push(self, chunk: PcmChunk) -> list[RenderJob]:
        """Take in sound and return the jobs of the frames that it decides, in order.

        The arguments and errors are those of :meth:`take`.
        """
        self.take(chunk)
        jobs = []
        while job := self.decide():
            jobs.append(job)
        return jobs

    def take(self, chunk: PcmChunk) -> None:
        """Take in sound and decide nothing yet: what is known of the sound after a frame decides when its mouth fades.

        Args:
            chunk: Samples that follow the last ones, 16 kHz, any number.

        Raises:
            ValueError: If the chunk does not begin at :attr:`position`.
        """
        if chunk.sample != self._position:
            raise ValueError(f"sound for sample {chunk.sample} came where {self._position} was next")
        self._position += chunk.samples.size
        self._note(self._voice.push(chunk.samples))
        self._stress.push(chunk.samples)
        self._columns = np.concatenate((self._columns, self._mel.push(chunk.samples)), axis=1)

    def decide(self) -> RenderJob | None:
        """Return the job of the next frame; ``None`` if the sound of its window has not all come."""
        if samples_needed(self._next_frame, window_offset_samples=self._offset) > self._position:
            return None
        job = self._decide(self._next_frame)
        self._next_frame += 1
        self._forget_columns()
        self._decided.append(job)
        return job

    def interrupt(self, first_frame: int) -> list[RenderJob]:
        """Close the mouth and treat all sound taken in so far as silence.

        Args:
            first_frame: Next frame to leave, from 0 at the timeline's beginning.

        Returns:
            New jobs for the decided frames that have not left, with the mouth fading to rest. They replace the earlier
            jobs and need no new model call.
        """
        before = [job.spoken for job in self._decided if job.frame < first_frame]
        spoken = before[-1] if before else 0.0
        changed = []
        for job in self._decided:
            if job.frame >= first_frame:
                spoken = max(0.0, spoken - 1 / FADE_OUT_FRAMES)
                changed.append(dataclasses.replace(job, spoken=min(job.spoken, spoken)))
        self._spoken = changed[-1].spoken if changed else spoken
        self._cut = True
        self._decided = deque(changed, maxlen=_REMEMBERED)
        self._spans.clear()
        self._voice.cut()
        self._stress.cut()
        self._mel.forget()
        self._columns[:] = SILENCE_LEVEL
        return changed

    def jump(self, sample: int) -> None:
        """Continue at a later position, with silence before it.

        Args:
            sample: Position on the timeline at 16 kHz, a multiple of :data:`JUMP_SAMPLES`.

        Raises:
            ValueError: If ``sample`` is no such multiple, or lies before :attr:`position`.
        """
        if sample % JUMP_SAMPLES or sample < self._position:
            raise ValueError(f"cannot jump from sample {self._position} to {sample}")
        events = self._events + ([SpeechEnded(self._position)] if self._voice.speaking else [])
        self._begin(sample)
        self._events = events

    def _note(self, events: list[SpeechStarted | SpeechEnded]) -> None:
        self._events += events
        for event in events:
            if isinstance(event, SpeechStarted):
                self._spans.append(_SpeechSpan(event.sample))
            elif self._spans:
                self._spans[-1].end = event.sample

    def _decide(self, frame: int) -> RenderJob:
        begins = frame_to_sample(frame)
        while self._spans and (end := self._spans[0].end) is not None and end <= begins:
            self._spans.popleft()
        continues, self._cut = self._spoken > 0 and not self._cut, False
        speech = any(span.start < begins + SAMPLES_PER_FRAME + LEAD_SAMPLES for span in self._spans)
        if speech:
            self._spoken = min(1.0, self._spoken + 1 / FADE_IN_FRAMES)
        else:
            self._spoken = max(0.0, self._spoken - 1 / FADE_OUT_FRAMES)
        mel = self._window(frame) if self._spoken > 0 else None
        known = samples_needed(frame, window_offset_samples=self._offset)
        stress = self._stress.follow(frame, speaks=speech and self.loop.follows_stress, known=known)
        clip_frame = self.loop.decide(frame, speaks=speech, stress=stress)
        return RenderJob(frame, clip_frame, self._spoken, mel, continues, stress)

    def _window(self, frame: int) -> Mel:
        columns = mel_columns(frame, window_offset_samples=self._offset)
        first, stop = columns.start - self._first_column, columns.stop - self._first_column
        missing = max(0, -first)  # before the beginning: silence
        window = np.full((MEL_BANDS, WINDOW_COLUMNS), SILENCE_LEVEL, np.float32)
        window[:, missing:] = self._columns[:, first + missing : stop]
        return window

    def _forget_columns(self) -> None:
        oldest = mel_columns(self._next_frame, window_offset_samples=self._offset).start
        surplus = min(oldest - self._first_column, self._columns.shape[1])
        if surplus > WINDOW_COLUMNS:
            self._columns = self._columns[:, surplus:]
            self._first_column += surplus

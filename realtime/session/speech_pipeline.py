"""The speech of a session: one source at a time enters its timeline, block by block.

Text goes before a program, a program before the microphone. What is let in is heard later on, and the mouths that
follow from it are asked for here. Longer than most files: an interruption touches everything on a sound's way.
"""

import asyncio
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from lipstream.realtime.agent.agent import Agent
from lipstream.realtime.audio import jitter_buffer, pcm_queue
from lipstream.realtime.audio.jitter_buffer import JitterBuffer
from lipstream.realtime.audio.pcm_queue import PcmQueue
from lipstream.realtime.audio.resample import Resampler
from lipstream.realtime.audio.voice_activity import SpeechStarted
from lipstream.realtime.lipsync.metadata import WeightsMetadata
from lipstream.realtime.packets import PcmChunk, RenderJob
from lipstream.realtime.session.animator import JUMP_SAMPLES, Animator, ClipLoop
from lipstream.realtime.session.conversation import Conversation
from lipstream.realtime.session.playout import PlayoutBuffer
from lipstream.realtime.session.text_queue import MOST_WAITING, TextQueue
from lipstream.realtime.synthesis.synthesizer import SpeechSynthesizer
from lipstream.realtime.timeline import (
    BLOCK_SAMPLES,
    SAMPLE_RATE_HZ,
    SAMPLES_PER_FRAME,
    SOUND_PER_SAMPLE,
    SOUND_RATE_HZ,
    frame_to_sample,
    ms_to_samples,
    samples_to_ms,
)
from lipstream.realtime.wire.events import CaptionEvent, InterruptedEvent, ServerEvent, SpeechEvent, error_event
from lipstream.realtime.wire.session_answers import SourceStats

_RESAMPLER_LAG_SAMPLES = ms_to_samples(1)
"""A window's last sample comes out of the resampler 0.75 ms after its sound went in."""


def first_window_samples(look_ahead_samples: int) -> int:
    """Return how much of a timeline must have been taken in until its first frame's window is there."""
    return look_ahead_samples + _RESAMPLER_LAG_SAMPLES


def first_block_samples(look_ahead_samples: int) -> int:
    """Return how long the silence is that a timeline begins with.

    Whole blocks follow it, and one in four then ends just when the next frame's window is there. A block that ended
    just before would leave the frame waiting for another 10 ms.
    """
    return first_window_samples(look_ahead_samples) % BLOCK_SAMPLES


class SpeechPipeline:
    """Sound in by a peer, a program or an engine; speech and jobs for mouths out.

    Args:
        playout: Takes what is said, and what each frame shows.
        loop: The avatar's clip.
        metadata: Of the weights.
        synthesizer: Speaks text; ``None`` where the server has none.
        listens: Whether the microphone is listened to instead of being spoken.
        agent: Answers what is heard, if it listens.
        submit: Asks for a mouth.
        tell: Told what happens, as clients are.

    Attributes:
        microphone: What a peer, or the machine's own microphone, says.
        source: What speaks when no text does: the microphone, a program, or nobody's empty queue where it listens.
        text_queue: Says text.
        conversation: Listens, if it does.
        tell: As given.
    """

    def __init__(
        self,
        playout: PlayoutBuffer,
        loop: ClipLoop,
        metadata: WeightsMetadata,
        *,
        synthesizer: SpeechSynthesizer | None = None,
        listens: bool = False,
        agent: Agent | None = None,
        submit: Callable[[RenderJob], None],
        tell: Callable[[ServerEvent], None],
    ) -> None:
        self.microphone = JitterBuffer()
        self._at_rest: JitterBuffer | PcmQueue = PcmQueue(SOUND_RATE_HZ) if listens else self.microphone
        self.source = self._at_rest
        self._read_last: JitterBuffer | PcmQueue = self.source
        self._leaving: PcmQueue | None = None  # a program that is gone, as long as its sound is not
        self.text_queue = TextQueue(synthesizer, lambda message: tell(error_event(message, code="not_said")))
        self.tell, self._submit = tell, submit
        self.conversation: Conversation | None = None
        if listens:
            self.conversation = Conversation(self, self.text_queue, agent, delay_samples=playout.clock.delay_samples)
        self._playout, self._clock = playout, playout.clock
        self._animator = Animator(loop, window_offset_samples=metadata.window_offset_samples)
        self._resampler = Resampler(SOUND_RATE_HZ, SAMPLE_RATE_HZ)
        self._look_ahead = metadata.look_ahead_samples
        self._now_s = self._clock.epoch_s  # of the tick
        self._gathered: list[npt.NDArray[np.float32]] = []
        self._begin_blocks(0)

    @property
    def speaking(self) -> bool:
        """Whether the avatar's mouth is a spoken one."""
        return self._animator.speaking

    def show(self, loop: ClipLoop) -> None:
        """Let the frames that are decided from now on show another clip."""
        self._animator.loop = loop

    def push_sound(self, position: int, samples: npt.NDArray[np.float32], arrived_s: float) -> None:
        """Take in live sound.

        Args:
            position: Of its first sample on the source's own clock, 48 kHz.
            samples: ``float32[n]``; what is not a number is silence, what is too loud is clipped.
            arrived_s: Monotonic time of arrival.
        """
        if samples.size and not -1.0 <= samples.min() <= samples.max() <= 1.0:  # nor if there is no number among them
            samples = np.clip(np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0), -1.0, 1.0)
        self.microphone.push(position, samples.astype(np.float32, copy=False), arrived_s)

    def take_program(self, rate_hz: int) -> PcmQueue:
        """Let a program speak instead of the microphone, or of the program before.

        Args:
            rate_hz: Of its sound.

        Returns:
            Where its sound goes.

        Raises:
            ValueError: If the rate is not one that is taken.
        """
        source = PcmQueue(rate_hz)
        self.source = source
        return source

    def drop_program(self, source: PcmQueue) -> None:
        """Let the microphone speak again, unless another program does; what a program has sent is still spoken."""
        if self.source is source:
            self._leaving = source

    def heard_ms(self, now_s: float) -> float:
        """Return how much of the program's sound has left."""
        heard = self.source.heard(self._clock.left(now_s)) if isinstance(self.source, PcmQueue) else 0
        return heard * 1000 / SOUND_RATE_HZ

    async def say(self, text: str) -> int:
        """Speak a text, behind what is being spoken of others.

        Returns:
            A sample before which nothing of it is heard.

        Raises:
            LipstreamError: If it is not taken, or its first sentence cannot be spoken.
        """
        before = self._entered
        await self.text_queue.say(text)
        source = self.text_queue.source
        return max(before, self._entered - (source.read // SOUND_PER_SAMPLE if source else 0))

    def advance(self, now_s: float) -> None:
        """Let sound into the timeline up to now, and ask for the mouths it decides."""
        entered = self._clock.entered(now_s)
        if entered - self._entered > JUMP_SAMPLES + BLOCK_SAMPLES:
            self._jump(entered // JUMP_SAMPLES * JUMP_SAMPLES)
        while self._entered + BLOCK_SAMPLES <= entered:
            self._take_block(now_s)

    def _take_block(self, now_s: float) -> None:
        sample = self._entered
        entered_s = self._clock.epoch_s + (sample + BLOCK_SAMPLES) / SAMPLE_RATE_HZ
        begins = -sample % SAMPLES_PER_FRAME  # where in the block a frame does, if in this one
        source = self._source_now()
        block, arrived_s = source.pull(entered_s, arrival_of=begins * SOUND_PER_SAMPLE)
        if begins < BLOCK_SAMPLES and arrived_s is not None:
            self._playout.note_arrival((sample + begins) // SAMPLES_PER_FRAME, arrived_s)
        self._entered += BLOCK_SAMPLES
        self._gather(block)
        if isinstance(source, PcmQueue):
            source.note_block(self._entered)
            self._caption(sample)
            if source is self._leaving and not source.level:
                self.source, self._leaving = self._at_rest, None
        if (self._entered - self._look_ahead - _RESAMPLER_LAG_SAMPLES) % SAMPLES_PER_FRAME == 0:
            self._analyse(now_s)
        if self.conversation:
            self._now_s = now_s
            self.conversation.hear(self.microphone.pull(entered_s)[0], block, self._entered)

    def _source_now(self) -> JitterBuffer | PcmQueue:
        """Return the source that is heard now; the microphone starts again when it is heard again."""
        source = self.text_queue.source or self.source
        if source is not self._read_last and source is self.microphone:
            self.microphone.clear()
        self._read_last = source
        return source

    def _caption(self, sample: int) -> None:
        """Tell which sentences begin to be read: they are heard a moment later."""
        for text in self.text_queue.begun():
            self.tell(CaptionEvent(type="caption", sample=sample, text=text))
            if self.conversation:
                self.conversation.note_caption(text)

    def _gather(self, block: npt.NDArray[np.float32]) -> None:
        """Let a block be heard, and keep it for the animator."""
        self._playout.add_speech(block)
        self._gathered.append(block)

    def _analyse(self, now_s: float) -> None:
        """Show the animator the gathered blocks, once a frame: each call costs more than what it hears."""
        sound = np.concatenate(self._gathered)
        self._gathered.clear()
        jobs = self._animator.push(PcmChunk(self._animator.position, self._resampler.push(sound)))
        self._playout.add_jobs(jobs)
        for job in jobs:
            if job.mel is not None and self._clock.leaves_at(frame_to_sample(job.frame)) > now_s:
                self._submit(job)
        for event in self._animator.take_events():
            began = isinstance(event, SpeechStarted)
            self.tell(SpeechEvent(type="speech_started" if began else "speech_ended", sample=event.sample))

    def _jump(self, sample: int) -> None:
        """Go on after a stall, or after nobody was there."""
        self._animator.jump(sample)
        self._playout.skip_speech(sample * SOUND_PER_SAMPLE)
        self._resampler = Resampler(SOUND_RATE_HZ, SAMPLE_RATE_HZ)
        self._begin_blocks(sample)

    def _begin_blocks(self, sample: int) -> None:
        silence = first_block_samples(self._look_ahead)
        self._entered = sample + silence
        self._gathered.clear()
        self._gather(np.zeros(silence * SOUND_PER_SAMPLE, np.float32))

    def interrupt_for(self, voice_sample: int) -> None:
        """Stop speaking, if it does, since a person began to speak; an answer in the making is dropped."""
        program = self.source.level if isinstance(self.source, PcmQueue) else 0
        if self.text_queue.source or program:
            self.interrupt(self._now_s, voice_sample=voice_sample)
        else:
            self.text_queue.interrupt(0)

    def interrupt(self, now_s: float | None = None, *, voice_sample: int | None = None) -> int:
        """Stop speaking now.

        Args:
            now_s: Monotonic time; ``None`` asks the event loop.
            voice_sample: Where somebody's voice begins that interrupts; ``None`` for a request.

        Returns:
            The sample from which on there is silence; what comes from the source later is spoken.
        """
        now_s = asyncio.get_running_loop().time() if now_s is None else now_s
        sample, frame = self._playout.interrupt(now_s)
        self._playout.add_jobs(self._animator.interrupt(frame))
        event = InterruptedEvent(type="interrupted", sample=sample)
        if isinstance(self.source, PcmQueue):
            event["heard_ms"] = round(self.heard_ms(now_s), 1)
            self.source.cut(self._clock.left(now_s))
        self.source.clear()
        self._cut_text(self._clock.left(now_s), event)
        self._gathered = [np.zeros_like(block) for block in self._gathered]
        if voice_sample is not None:
            event["by"] = "voice"
            event["after_ms"] = round(samples_to_ms(sample + self._clock.delay_samples - voice_sample), 1)
        if self.conversation:
            self.conversation.note_interrupted()
        self.tell(event)
        return sample

    def _cut_text(self, left: int, event: InterruptedEvent) -> None:
        """Drop the text that is being said; note in the event what was heard of it."""
        source = self.text_queue.source
        heard = source.heard(left) if source else 0
        cut = self.text_queue.interrupt(heard)
        if source:
            event["heard_ms"] = round(heard * 1000 / SOUND_RATE_HZ, 1)
            event["heard_text"], event["cut_text"] = cut.sentences, cut.cut

    def stats(self) -> SourceStats:
        """Return what became of the source's sound."""
        counts = self.source.counts
        return SourceStats(
            filled=counts.filled,
            dropped=counts.dropped,
            underruns=counts.underruns,
            corrections=counts.corrections,
        )

    def queue_depths(self) -> dict[str, tuple[int, int]]:
        """Return how much waits to be said, and how much may."""
        program = self.source if isinstance(self.source, PcmQueue) else None
        return {
            "microphone_ms": _in_ms(self.microphone.level, jitter_buffer.LIMIT_SOUND),
            "program_ms": _in_ms(program.level if program else 0, pcm_queue.LIMIT_SOUND),
            "text_characters": (self.text_queue.queued_characters, MOST_WAITING),
        }

    async def close(self) -> None:
        """Let go of what is being synthesised and answered. May be called again."""
        await self.text_queue.close()
        if self.conversation:
            await self.conversation.close()


def _in_ms(level: int, limit: int) -> tuple[int, int]:
    return level * 1000 // SOUND_RATE_HZ, limit * 1000 // SOUND_RATE_HZ

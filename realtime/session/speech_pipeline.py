"""The speech of a session: one source at a time enters its timeline, block by block, and mouths are asked for."""

import asyncio
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from lipstream.realtime.agent.agent import Agent
from lipstream.realtime.audio.jitter_buffer import JitterBuffer
from lipstream.realtime.audio.pcm_queue import PcmQueue
from lipstream.realtime.audio.resample import Resampler
from lipstream.realtime.audio.voice_activity import SpeechStarted
from lipstream.realtime.lipsync.metadata import WeightsMetadata
from lipstream.realtime.packets import PcmChunk, RenderJob
from lipstream.realtime.session.animator import JUMP_SAMPLES, Animator, ClipLoop
from lipstream.realtime.session.conversation import Conversation
from lipstream.realtime.session.playout import PlayoutBuffer
from lipstream.realtime.session.source_selector import Source, SourceSelector
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
    """Turns the sound of one session into its speech and its frames.

    With each tick it reads 10 ms blocks of the selected source up to the present. A block goes to the playout buffer,
    which lets it leave a moment later, and once a frame the sound since the last one goes to the animator, which
    decides what the next frames show. The mouths that have to be drawn for them are asked for at once.

    Args:
        playout: Takes the speech, and what each frame shows.
        loop: The avatar's clip.
        metadata: Of the weights.
        synthesizer: Turns text into sound; ``None`` where the server has no engine.
        listens: Whether the microphone is listened to instead of being spoken.
        agent: Answers a visitor's words in a session that listens; ``None`` leaves answers to programs and text.
        submit: Asks for a mouth.
        tell: Sends an event to the session's clients.

    Attributes:
        selector: Selects the source.
        text_queue: Says text.
        conversation: Takes turns with the visitor; ``None`` in a session that does not listen.
        tell: Sends an event to the session's clients.
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
        self.selector = SourceSelector(listens=listens)
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
    def microphone(self) -> JitterBuffer:
        """The buffer of a peer's, or of the machine's own, microphone."""
        return self.selector.microphone

    @property
    def source(self) -> Source:
        """What is read while no text is said."""
        return self.selector.source

    @source.setter
    def source(self, source: Source) -> None:
        self.selector.source = source

    @property
    def speaking(self) -> bool:
        """Whether the avatar's mouth is a spoken one."""
        return self._animator.speaking

    def show(self, loop: ClipLoop) -> None:
        """Let the frames that are decided from now on show another clip."""
        self._animator.loop = loop

    def take_program(self, rate_hz: int) -> PcmQueue:
        """Let a program speak, see :meth:`SourceSelector.take_program`."""
        return self.selector.take_program(rate_hz)

    def drop_program(self, source: PcmQueue) -> None:
        """End a program's turn, see :meth:`SourceSelector.drop_program`."""
        self.selector.drop_program(source)

    def heard_ms(self, now_s: float) -> float:
        """Return how much of the program's sound has left."""
        return self.selector.heard_ms(self._clock.left(now_s))

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
        source = self.selector.select(self.text_queue.source)
        block, arrived_s = source.pull(entered_s, arrival_of=begins * SOUND_PER_SAMPLE)
        if begins < BLOCK_SAMPLES and arrived_s is not None:
            self._playout.note_arrival((sample + begins) // SAMPLES_PER_FRAME, arrived_s)
        self._entered += BLOCK_SAMPLES
        self._gather(block)
        if isinstance(source, PcmQueue):
            source.note_block(self._entered)
            self._caption(sample)
            self.selector.note_read(source)
        if (self._entered - self._look_ahead - _RESAMPLER_LAG_SAMPLES) % SAMPLES_PER_FRAME == 0:
            self._analyse(now_s)
        if self.conversation:
            self._now_s = now_s
            self.conversation.hear(self.microphone.pull(entered_s)[0], block, self._entered)

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
        program = self.selector.program
        if self.text_queue.source or (program and program.level):
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
        if self.selector.program:
            event["heard_ms"] = round(self.heard_ms(now_s), 1)
        self.selector.cut(self._clock.left(now_s))
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
        return self.selector.stats()

    def queue_depths(self) -> dict[str, tuple[int, int]]:
        """Return how much waits to be said, and how much may."""
        text = {"text_characters": (self.text_queue.queued_characters, MOST_WAITING)}
        return self.selector.queue_depths() | text

    async def close(self) -> None:
        """Let go of what is being synthesised and answered. May be called again."""
        await self.text_queue.close()
        if self.conversation:
            await self.conversation.close()

"""The speech of a session: reads one source at a time, block by block, and requests the mouths for it."""

import asyncio
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from lipstream.realtime.agent.agent import Agent
from lipstream.realtime.agent.pause_judge import PauseJudge
from lipstream.realtime.audio.jitter_buffer import JitterBuffer
from lipstream.realtime.audio.pcm_queue import PcmQueue
from lipstream.realtime.audio.resample import Resampler
from lipstream.realtime.audio.turn_detector import TurnDetector
from lipstream.realtime.audio.voice_activity import SpeechStarted
from lipstream.realtime.lipsync.metadata import WeightsMetadata
from lipstream.realtime.packets import PcmChunk, RenderJob
from lipstream.realtime.session.animator import JUMP_SAMPLES, Animator, FrameChoice
from lipstream.realtime.session.budget import Budget
from lipstream.realtime.session.conversation import Conversation
from lipstream.realtime.session.motions import SessionMotions
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
from lipstream.realtime.wire.events import (
    CaptionEvent,
    InterruptedEvent,
    ServerEvent,
    SpeechEvent,
    StarvedEvent,
    error_event,
)
from lipstream.realtime.wire.session_answers import SourceStats

_RESAMPLER_LAG_SAMPLES = ms_to_samples(1)
"""The resampler delays a window's last sample by 0.75 ms."""


def first_window_samples(look_ahead_samples: int) -> int:
    """Return how many samples (16 kHz) of a timeline complete the mel window of its first frame.

    Args:
        look_ahead_samples: Look-ahead of the weights, 16 kHz samples.
    """
    return look_ahead_samples + _RESAMPLER_LAG_SAMPLES


def first_block_samples(look_ahead_samples: int) -> int:
    """Return the length of the silence at the start of a timeline, 16 kHz samples.

    Whole blocks follow it. Every fourth block then ends exactly at the end of a frame's window. A block that ended
    just before the window would delay the frame by another 10 ms.
    """
    return first_window_samples(look_ahead_samples) % BLOCK_SAMPLES


class SpeechPipeline:
    """Turns the sound of one session into its speech and its frames.

    At each tick the pipeline reads 10 ms blocks of the selected source up to the present. Each block goes to the
    playout buffer, which delays it. Once per frame the blocks since the last frame go to the animator, which decides
    the next frames. The pipeline requests their mouths at once.

    Args:
        motions: Chooses the frames of the clips, and shows motions that texts name.
        synthesizer: Turns text into sound; ``None`` if the server has no engine.
        turns: Finds a visitor's turns in a session that listens to its microphone; ``None`` to speak its sound.
        agent: Answers a visitor in a session that listens; ``None`` leaves answers to programs and text.
        judge: Tells whether a visitor who pauses has finished; ``None`` if silence alone tells.
        budget: Bounds what is said and answered; ``None`` for no bound.

    Attributes:
        conversation: Takes turns with the visitor; ``None`` in a session that does not listen.
    """

    def __init__(
        self,
        playout: PlayoutBuffer,
        motions: SessionMotions,
        metadata: WeightsMetadata,
        *,
        synthesizer: SpeechSynthesizer | None = None,
        turns: TurnDetector | None = None,
        agent: Agent | None = None,
        judge: PauseJudge | None = None,
        budget: Budget | None = None,
        submit: Callable[[RenderJob], None],
        tell: Callable[[ServerEvent], None],
    ) -> None:
        self.selector = SourceSelector(listens=turns is not None)
        self.text_queue = TextQueue(
            synthesizer, lambda message: tell(error_event(message, code="not_said")), budget, lambda: motions.tags
        )
        self._motions = motions
        self.tell, self._submit = tell, submit
        self.conversation: Conversation | None = None
        if turns:
            self.conversation = Conversation(
                self,
                self.text_queue,
                agent,
                turns,
                delay_samples=playout.clock.delay_samples,
                judge=judge,
                budget=budget,
            )
        self._playout, self._clock = playout, playout.clock
        self._animator = Animator(motions.choice, window_offset_samples=metadata.window_offset_samples)
        self._resampler = Resampler(SOUND_RATE_HZ, SAMPLE_RATE_HZ)
        self._look_ahead = metadata.look_ahead_samples
        self._now_s = self._clock.epoch_s  # time of the current tick
        self._gathered: list[npt.NDArray[np.float32]] = []
        self._begin_blocks(0)

    @property
    def microphone(self) -> JitterBuffer:
        """Buffer for the microphone of a peer, or of this machine."""
        return self.selector.microphone

    @property
    def source(self) -> Source:
        """Source that is read while no text is said."""
        return self.selector.source

    @source.setter
    def source(self, source: Source) -> None:
        self.selector.source = source

    @property
    def speaking(self) -> bool:
        """Whether the last decided frame shows a spoken mouth."""
        return self._animator.speaking

    def show(self, loop: FrameChoice) -> None:
        """Show another clip in the frames decided from now on."""
        self._animator.loop = loop

    @property
    def motion_tags(self) -> Sequence[str]:
        """Names of the avatar's motions, whose tags are no words of an answer."""
        return self._motions.tags

    def begin_motion(self, name: str) -> None:
        """Show a motion of the avatar, if motions may be asked for."""
        self._motions.begin(name)

    def take_program(self, rate_hz: int) -> PcmQueue:
        """Let a program speak; see :meth:`SourceSelector.take_program`."""
        return self.selector.take_program(rate_hz)

    def drop_program(self, source: PcmQueue) -> None:
        """End a program's turn; see :meth:`SourceSelector.drop_program`."""
        self.selector.drop_program(source)

    def heard_ms(self, now_s: float) -> float:
        """Return how much of the program's sound has left, ms."""
        return self.selector.heard_ms(self._clock.left(now_s))

    async def say(self, text: str) -> int:
        """Queue a text and wait for its first sound; see :meth:`TextQueue.say`.

        Returns:
            The earliest sample on the timeline (16 kHz) at which the text can be heard.

        Raises:
            LipstreamError: If the text is refused, or its first sentence cannot be spoken.
        """
        before = self._entered
        await self.text_queue.say(text)
        source = self.text_queue.source
        return max(before, self._entered - (source.read // SOUND_PER_SAMPLE if source else 0))

    def advance(self, now_s: float) -> None:
        """Read sound into the timeline up to monotonic time ``now_s``, and request the mouths for it."""
        entered = self._clock.entered(now_s)
        if entered - self._entered > JUMP_SAMPLES + BLOCK_SAMPLES:
            self._jump(entered // JUMP_SAMPLES * JUMP_SAMPLES)
        while self._entered + BLOCK_SAMPLES <= entered:
            self._take_block(now_s)

    def _take_block(self, now_s: float) -> None:
        sample = self._entered
        entered_s = self._clock.epoch_s + (sample + BLOCK_SAMPLES) / SAMPLE_RATE_HZ
        begins = -sample % SAMPLES_PER_FRAME  # offset of the next frame's start; may lie beyond this block
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
        """Send a caption for each sentence that the timeline has begun to read, and tell of gaps in one."""
        for gap in self.text_queue.take_gaps():
            self.tell(StarvedEvent(type="starved", sample=sample, gap_ms=round(gap * 1000 / SOUND_RATE_HZ)))
        for sentence in self.text_queue.begun():
            self.tell(CaptionEvent(type="caption", sample=sample, text=sentence.text))
            for name in sentence.motions:
                self._motions.begin(name)
            if self.conversation:
                self.conversation.note_caption(sentence.text)

    def _gather(self, block: npt.NDArray[np.float32]) -> None:
        """Give a block to the playout buffer, and keep it for the animator."""
        self._playout.add_speech(block)
        self._gathered.append(block)

    def _analyse(self, now_s: float) -> None:
        """Give the gathered blocks to the animator, once per frame: a call has a high fixed cost."""
        sound = np.concatenate(self._gathered)
        self._gathered.clear()
        jobs = self._animator.push(PcmChunk(self._animator.position, self._resampler.push(sound)))
        self._playout.add_jobs(jobs)
        for job in jobs:
            if job.mel is not None and self._clock.leaves_at(frame_to_sample(job.frame)) > now_s:
                self._submit(job)
        self._motions.report()
        for event in self._animator.take_events():
            began = isinstance(event, SpeechStarted)
            self.tell(SpeechEvent(type="speech_started" if began else "speech_ended", sample=event.sample))

    def _jump(self, sample: int) -> None:
        """Continue at ``sample`` after a stall, or after a time without clients."""
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
        """Stop speaking because a person began to speak at a sample; drop an answer in the making."""
        program = self.selector.program
        if self.text_queue.source or (program and program.level):
            self.interrupt(self._now_s, voice_sample=voice_sample)
        else:
            self.text_queue.interrupt(0)

    def interrupt(self, now_s: float | None = None, *, voice_sample: int | None = None) -> int:
        """Stop speaking now.

        Args:
            now_s: Monotonic time; ``None`` reads the event loop's clock.
            voice_sample: First sample (16 kHz) of the voice that interrupts; ``None`` if a client requested it.

        Returns:
            The first silent sample, 16 kHz. Sound that the source gives later is spoken.
        """
        now_s = asyncio.get_running_loop().time() if now_s is None else now_s
        sample, frame = self._playout.interrupt(now_s)
        self._playout.add_jobs(self._animator.interrupt(frame))
        event = InterruptedEvent(type="interrupted", sample=sample)
        if self.selector.program:
            event["heard_ms"] = round(self.heard_ms(now_s), 1)
        self.selector.cut(self._clock.left(now_s))
        text_heard_ms = self._cut_text(self._clock.left(now_s), event)
        self._gathered = [np.zeros_like(block) for block in self._gathered]
        if voice_sample is not None:
            event["by"] = "voice"
            event["after_ms"] = round(samples_to_ms(sample + self._clock.delay_samples - voice_sample), 1)
        if self.conversation:
            self.conversation.note_interrupted(text_heard_ms)
        self.tell(event)
        return sample

    def _cut_text(self, left: int, event: InterruptedEvent) -> float | None:
        """Drop the text that is being said, and say in the event how much of it was heard.

        Returns:
            How much of it was heard, ms; ``None`` if none was being said.
        """
        source = self.text_queue.source
        heard = source.heard(left) if source else 0
        cut = self.text_queue.interrupt(heard)
        if source is None:
            return None
        event["heard_ms"] = round(heard * 1000 / SOUND_RATE_HZ, 1)
        event["heard_text"], event["cut_text"] = cut.sentences, cut.cut
        return event["heard_ms"]

    def stats(self) -> SourceStats:
        """Return the counts of the current source; see :meth:`SourceSelector.stats`."""
        return self.selector.stats()

    def queue_depths(self) -> dict[str, tuple[int, int]]:
        """Return fill and limit of each queue: sound in ms, text in characters."""
        text = {"text_characters": (self.text_queue.queued_characters, MOST_WAITING)}
        return self.selector.queue_depths() | text

    async def close(self) -> None:
        """Stop synthesis and end the conversation. May be called again."""
        await asyncio.gather(self.text_queue.close(), *([self.conversation.close()] if self.conversation else []))

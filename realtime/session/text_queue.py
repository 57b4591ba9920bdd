"""Turns text into speech: sentences wait in a queue and are synthesised ahead of playback.

While text is being said the timeline reads ``source``. The microphone is not heard meanwhile, and the sound of a
program waits. An interruption discards the source, so sound that an engine delivers later is lost.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from dataclasses import dataclass, field

from lipstream.realtime.audio.motion_tags import mark_motions, take_motions
from lipstream.realtime.audio.pcm_queue import HIGHEST_RATE_HZ, LOWEST_RATE_HZ, PcmQueue
from lipstream.realtime.audio.sentences import split_sentences
from lipstream.realtime.audio.spoken_text import spoken_text
from lipstream.realtime.errors import (
    BadRequestError,
    ConflictError,
    NotFoundError,
    RateLimitError,
    TooLargeError,
    UnavailableError,
)
from lipstream.realtime.session.budget import Budget
from lipstream.realtime.session.read_waits import ReadWaits
from lipstream.realtime.session.script import Script
from lipstream.realtime.synthesis.synthesizer import (
    LONGEST_S,
    SpeechSynthesizer,
    SpokenPcm,
    SpokenSentence,
    SynthesisError,
)

logger = logging.getLogger(__name__)

LONGEST_TEXT = 5_000
"""Most characters of one text."""
MOST_WAITING = 10_000
"""Most characters that may wait to be synthesised."""
NOT_CONFIGURED = "this server speaks no text: name an engine, such as --synthesizer espeak-ng"
_RETRY_S = 5
_REST_S = 1.0


@dataclass(slots=True)
class SayRequest:
    """One request to say something.

    Attributes:
        begun: Done when the first sound is ready; holds an exception if there is none.
    """

    begun: "asyncio.Future[None]"
    awaited: bool = False


@dataclass(slots=True)
class Sentence:
    """A sentence with the start and end of its sound in the source, 48 kHz samples; -1 while unknown.

    Attributes:
        motions: Motions that begin with it.
    """

    text: str
    of: SayRequest = field(repr=False)
    motions: tuple[str, ...] = ()
    begins: int = -1
    ends: int = -1
    captioned: bool = False


@dataclass(slots=True)
class Answer:
    """Sentences that come with their own sound. They are said after all earlier requests."""

    sentences: AsyncGenerator[SpokenSentence]
    of: SayRequest = field(repr=False)


@dataclass(frozen=True, slots=True)
class PlayedText:
    """Text that was heard before an interruption.

    Attributes:
        sentences: Sentences heard to their end, joined by spaces; empty if none was.
        cut: Sentence that was cut off; empty if none was.
    """

    sentences: str
    cut: str


class TextQueue:
    """Says text in one session. ``on_error`` gets the message of a text that fails while no caller awaits it.

    Args:
        synthesizer: The engine; ``None`` if the server has none.
        budget: Bounds the characters; ``None`` for no bound.
        motions: Returns the names of motions, whose tags are not said; default: there are none.

    Attributes:
        source: Queue that the timeline reads while text is being said; ``None`` without text.
        script: Lines that are read while no other text waits.
    """

    def __init__(
        self,
        synthesizer: SpeechSynthesizer | None,
        on_error: Callable[[str], None],
        budget: Budget | None = None,
        motions: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self._motions = motions
        self.script = Script()
        self._synthesizer, self._on_error, self._budget = synthesizer, on_error, budget
        self.source: PcmQueue | None = None
        self._waiting: deque[Sentence | Answer] = deque()
        self._spoken: deque[Sentence] = deque()
        self._gaps: list[int] = []
        self._waits = ReadWaits()
        self._task: asyncio.Task[None] | None = None
        self._ended: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def queued_characters(self) -> int:
        """Number of characters that wait to be synthesised."""
        return sum(len(one.text) for one in self._waiting if isinstance(one, Sentence))

    def accept(self, text: str) -> SayRequest:
        """Queue a text behind the waiting ones.

        Raises:
            ConflictError: If the server has no engine.
            BadRequestError: If there is nothing to say in the text.
            TooLargeError: If it is longer than :data:`LONGEST_TEXT`.
            RateLimitError: If more than :data:`MOST_WAITING` characters would wait, or the budget is used up.
            NotFoundError: If the session has ended.
        """
        if self._closed:
            raise NotFoundError("there is no such session")
        if self._synthesizer is None:
            raise ConflictError(NOT_CONFIGURED)
        if len(text) > LONGEST_TEXT:
            raise TooLargeError(f"a text of {len(text)} characters is longer than {LONGEST_TEXT}")
        spoken = SayRequest(asyncio.get_running_loop().create_future())
        sentences = self._sentences(text, spoken)
        if not sentences:
            raise BadRequestError("there is nothing to say in the text")
        characters = sum(len(sentence.text) for sentence in sentences)
        if self.queued_characters + characters > MOST_WAITING:
            raise RateLimitError("too much text waits to be said", retry_after_s=_RETRY_S)
        if self._budget:
            self._budget.pay_characters(characters)
        self._waiting.extend(sentences)
        self._begin()
        return spoken

    def read(self, lines: Iterable[str], *, priority: int = 0, repeats: bool = False) -> None:
        """Read lines aloud while no other text waits; arguments as of :meth:`Script.add`.

        Raises:
            ConflictError: If the server has no engine.
            RateLimitError: If too many lines would wait.
            NotFoundError: If the session has ended.
        """
        if self._closed:
            raise NotFoundError("there is no such session")
        if self._synthesizer is None:
            raise ConflictError(NOT_CONFIGURED)
        self.script.add(lines, priority=priority, repeats=repeats)
        self._begin()

    def _take_line(self) -> None:
        """Queue the next line of the script, if no other text waits."""
        for _ in range(len(self.script)):  # lines without a word are passed over, once each
            line = self.script.take()
            if line is None:
                return
            sentences = self._sentences(line[:LONGEST_TEXT], SayRequest(asyncio.get_running_loop().create_future()))
            try:
                if self._budget:
                    self._budget.pay_characters(sum(len(sentence.text) for sentence in sentences))
            except RateLimitError as error:
                self.script.clear()
                self._on_error(error.message)
                return
            self._waiting.extend(sentences)
            if sentences:
                return

    def _sentences(self, text: str, spoken: SayRequest) -> list[Sentence]:
        """Return what is said of a text; a motion begins with the sentence in which its tag stands."""
        motions = tuple(self._motions())
        found = [take_motions(one, motions) for one in split_sentences(spoken_text(mark_motions(text, motions)))]
        sentences: list[Sentence] = []
        waiting: tuple[str, ...] = ()
        for said, asked in found:
            waiting += asked
            if any(map(str.isalnum, said)):
                sentences.append(Sentence(said, spoken, waiting))
                waiting = ()
        if sentences:  # a tag after the last word
            sentences[-1].motions += waiting
        return sentences

    def answer(self, sentences: AsyncGenerator[SpokenSentence]) -> None:
        """Queue an answer behind the waiting texts; its generator is closed when the answer is over or dropped.

        After :meth:`close` the answer is not begun.
        """
        if self._closed:
            return
        self._waiting.append(Answer(sentences, SayRequest(asyncio.get_running_loop().create_future())))
        self._begin()

    def begun(self) -> list[Sentence]:
        """Return the sentences that the timeline has begun to read since the last call."""
        read = self.source.read if self.source else 0
        fresh = [one for one in self._spoken if not one.captioned and 0 <= one.begins < read]
        for one in fresh:
            one.captioned = True
        return fresh

    def take_gaps(self) -> list[int]:
        """Return the length of each gap within a sentence that has ended since the last call, 48 kHz samples.

        A gap is silence in which the engine had not made the next sound.
        """
        gaps, self._gaps = self._gaps, []
        return gaps

    def _begin(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="text_queue")
        self._waits.check()

    async def say(self, text: str) -> None:
        """Queue a text; return when its first sound is ready, or at once while other texts are being said.

        Raises:
            LipstreamError: For the reasons that :meth:`accept` gives.
            UnavailableError: If the engine fails before the first sound.
            ConflictError: If the text is interrupted before its first sound.
        """
        busy = self._task is not None and not self._task.done()
        spoken = self.accept(text)
        if busy:
            return
        spoken.awaited = True
        try:
            await asyncio.shield(spoken.begun)
        finally:
            spoken.awaited = False

    def interrupt(self, heard_sound: int) -> PlayedText:
        """Drop the waiting texts and the one being synthesised, so that other sources are heard; a script goes on.

        Args:
            heard_sound: Number of samples of the source that have been heard, 48 kHz.
        """
        spoken = [sentence for sentence in self._spoken if 0 <= sentence.begins < heard_sound]
        whole = [sentence.text for sentence in spoken if 0 <= sentence.ends <= heard_sound]
        cut = [sentence.text for sentence in spoken if not 0 <= sentence.ends <= heard_sound]
        texts = {id(one.of): one.of for one in (*self._spoken, *self._waiting)}
        self._stop()
        for text in texts.values():
            if not text.begun.done():
                self._fail(text, ConflictError("the text was interrupted before any of it was said"), tell=False)
        if len(self.script) and not self._closed:
            self._begin()
        return PlayedText(" ".join(whole), " ".join(cut))

    async def close(self) -> None:
        """Stop and take no more texts; ``on_error`` is not called any more. May be called again."""
        self._closed = True
        self.interrupt(0)
        if self._ended:
            await asyncio.wait(self._ended)

    def _stop(self) -> None:
        self.source = None
        self._waiting.clear()
        self._spoken.clear()
        task, self._task = self._task, None
        if task:
            self._ended.add(task)
            task.add_done_callback(self._ended.discard)
            task.cancel()

    async def _run(self) -> None:
        """Say the waiting texts, then let other sources be heard.

        The loop ends as soon as another task takes its place, even if an engine's library swallows the cancellation.
        """
        while self._task is asyncio.current_task():
            if not self._waiting:
                self._take_line()
            await self._waits.until(lambda: bool(self._waiting) or not (self.source and self.source.level))
            if not self._waiting:
                break
            one = self._waiting.popleft()
            try:
                if isinstance(one, Answer):
                    await self._say_answer(one)
                else:
                    assert self._synthesizer is not None
                    await self._synthesise(one, self._synthesizer.speak(one.text))
            except SynthesisError as error:
                self._give_up(one.of, f"the text could not be said: {error}")
                await self._rest()
            except Exception:
                logger.exception("synthesis failed")
                self._give_up(one.of, "the text could not be said")
                await self._rest()
        if self._task is asyncio.current_task():
            self.source = None
            self._spoken.clear()

    async def _rest(self) -> None:
        """Let an engine that failed rest before it gets the next line of a script, which may never end."""
        if len(self.script):
            await asyncio.sleep(_REST_S)

    async def _say_answer(self, answer: Answer) -> None:
        async with contextlib.aclosing(answer.sentences) as sentences:
            async for sentence in sentences:
                await self._synthesise(Sentence(sentence.text, answer.of, sentence.motions), sentence.sound)

    async def _synthesise(self, sentence: Sentence, sound: AsyncGenerator[SpokenPcm]) -> None:
        received_s, source = 0.0, self.source
        self._spoken.append(sentence)
        try:
            async with contextlib.aclosing(sound) as pieces:
                async for piece in pieces:
                    if sentence.begins < 0:
                        source = await self._open_source(piece)
                        sentence.begins = source.pushed
                        if not sentence.of.begun.done():
                            sentence.of.begun.set_result(None)
                    assert source is not None
                    if source.rate_hz != piece.rate_hz:
                        raise SynthesisError("the engine changed its rate")
                    received_s += len(piece.pcm) / 2 / piece.rate_hz
                    if received_s > LONGEST_S:
                        raise SynthesisError(f"one sentence became more than {LONGEST_S} s of sound")
                    missing, before = source.missing, source.pushed
                    source.push(piece.pcm)
                    if sentence.begins < before < source.pushed and missing:
                        self._gaps.append(missing)
                    await self._room(source)
        finally:
            if source:
                source.end()
                sentence.ends = source.pushed
            self._forget_heard()
        if sentence.begins < 0:
            raise SynthesisError("the engine gave no sound")

    async def _room(self, source: PcmQueue) -> None:
        """Wait until the queue takes more sound."""
        await self._waits.until(lambda: source.room_bytes > 0)

    async def _open_source(self, piece: SpokenPcm) -> PcmQueue:
        """Return the queue for a sentence's sound: the current one, or a new one if the sample rate has changed."""
        if not LOWEST_RATE_HZ <= piece.rate_hz <= HIGHEST_RATE_HZ:
            raise SynthesisError(f"the engine's rate of {piece.rate_hz} Hz is not taken")
        before = self.source
        if before and before.rate_hz != piece.rate_hz:
            await self._waits.until(lambda: not before.level)
            self.source, self._spoken = None, deque((self._spoken[-1],))
        if self.source is None:
            self.source = PcmQueue(piece.rate_hz)
            self.source.on_read = self._waits.check
        return self.source

    def _give_up(self, text: SayRequest, message: str) -> None:
        """Drop the rest of one text and report the failure; other texts go on."""
        self._waiting = deque(one for one in self._waiting if one.of is not text)
        self._fail(text, UnavailableError(message, reason="synthesizer", retry_after_s=_RETRY_S), tell=True)

    def _fail(self, text: SayRequest, error: ConflictError | UnavailableError, *, tell: bool) -> None:
        if text.awaited and not text.begun.done():
            text.begun.set_exception(error)
            return
        text.begun.cancel()
        if tell:
            self._on_error(error.message)

    def _forget_heard(self) -> None:
        """Drop the sentences that an interruption can no longer cut off."""
        read = self.source.read if self.source else 0
        while self._spoken and 0 <= self._spoken[0].ends <= read - HIGHEST_RATE_HZ:
            self._spoken.popleft()

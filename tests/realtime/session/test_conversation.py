"""A conversation in virtual time: turns, answers, interruption by voice, and what is remembered of it."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from benchmarks import room_sounds, turns
from lipstream.realtime.agent.agent import AgentError, Transcript
from lipstream.realtime.agent.end_of_turn import Transcribe
from lipstream.realtime.agent.pause_judge import PauseJudge
from lipstream.realtime.audio.turn_detector import TurnDetector
from lipstream.realtime.audio.voice_detector import VoiceDetector
from lipstream.realtime.errors import BadRequestError
from lipstream.realtime.synthesis.synthesizer import SpokenPcm, SpokenSentence
from lipstream.realtime.timeline import SAMPLE_RATE_HZ
from tests.loopback.virtual import VirtualSession

RATE_HZ = 24_000
LEVEL = 9000


@dataclass
class Echo:
    """An agent whose answers are a level for as many tenths of a second as they have letters."""

    answers: list[str] = field(default_factory=lambda: ["Aaaaaaaaaa.", "Bbbb."])
    heard: list[float] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    interrupted_ms: list[float] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    closed: int = 0

    async def answer(
        self, speech: np.ndarray, motions: Sequence[str] = ()
    ) -> AsyncGenerator[Transcript | SpokenSentence]:
        self.heard.append(speech.size / 16_000)
        try:
            await self.gate.wait()
            yield Transcript("words")
            if self.answers == ["fail"]:
                raise AgentError("it has no answer")
            for text in self.answers:
                yield SpokenSentence(text, self._sound(text))
        finally:
            self.closed += 1

    async def _sound(self, text: str) -> AsyncGenerator[SpokenPcm]:
        for _ in text:
            yield SpokenPcm(RATE_HZ, np.full(RATE_HZ // 10, LEVEL, "<i2").tobytes())
            await asyncio.sleep(0)

    def note_interrupted(self, heard_ms: float) -> None:
        self.interrupted_ms.append(heard_ms)

    def note_said(self, text: str) -> None:
        self.said.append(text)

    async def close(self) -> None:
        pass


class Visitor:
    """Somebody in front of the microphone, which is open all the time."""

    def __init__(self, virtual: VirtualSession, events: list[Any]) -> None:
        self.virtual, self.events = virtual, events
        self._position = 0

    async def speak(self, seconds: float) -> None:
        at = np.arange(round(seconds * 48_000)) / 48_000
        await self._let_pass(
            0.15 * np.sum([np.sin(2 * np.pi * 140 * k * at) / k for k in range(1, 20)], axis=0, dtype="float32")
        )

    async def play(self, sound: np.ndarray) -> None:
        await self._let_pass(sound.astype(np.float32))

    async def wait(self, seconds: float) -> None:
        await self._let_pass(np.zeros(round(seconds * 48_000), np.float32))

    async def _let_pass(self, sound: np.ndarray) -> None:
        for at in range(0, sound.size, 480):
            self.virtual.session.speech.microphone.push(self._position, sound[at : at + 480], self.virtual.now_s)
            self._position += 480
            self.virtual.tick()
            await asyncio.sleep(0.0005)

    def told(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == kind]


def buzzes_too(*, asks: bool = False) -> TurnDetector:
    """Return a detector that takes a buzz for a voice."""
    return TurnDetector(VoiceDetector(aggressiveness=2, noise_floor_db=-50.0), asks=asks)


@contextlib.asynccontextmanager
async def meeting(
    agent: Echo | None, detector: TurnDetector | None = None, judge: PauseJudge | None = None
) -> AsyncIterator[Visitor]:
    virtual = VirtualSession(turns=detector or buzzes_too(asks=judge is not None), agent=agent, judge=judge)
    events: list[Any] = []
    virtual.session.listeners.add(events.append)
    visitor = Visitor(virtual, events)
    await visitor.wait(0.5)
    try:
        yield visitor
    finally:
        await virtual.session.speech.close()


def is_loud(virtual: VirtualSession) -> np.ndarray:
    loud: np.ndarray = np.abs(virtual.left.astype(int)) > LEVEL // 2
    return loud


async def test_a_question_is_heard_and_answered_and_never_repeated_by_the_face() -> None:
    agent = Echo()
    agent.gate.set()
    async with meeting(agent) as visitor:
        await visitor.speak(1.0)
        await visitor.wait(3.0)
        (began,), (heard,) = visitor.told("listening"), visitor.told("heard")
        assert began["sample"] < heard["sample"]
        assert agent.heard == [pytest.approx(1.0 + 0.3 + 0.7, abs=0.15)]
        assert [event["text"] for event in visitor.told("transcript")] == ["words"]
        captions = visitor.told("caption")
        assert [event["text"] for event in captions] == ["Aaaaaaaaaa.", "Bbbb."]
        assert captions[1]["sample"] - captions[0]["sample"] == pytest.approx(1.1 * 16_000, abs=400)
        loud = is_loud(visitor.virtual)
        assert loud.sum() / 48_000 == pytest.approx(1.6, abs=0.02)  # the answer; the visitor's voice is quieter
        first = int(np.argmax(np.abs(visitor.virtual.left) > 100)) / 3  # and is not spoken at all
        assert first == pytest.approx(captions[0]["sample"], abs=200)
        await visitor.speak(0.6)
        await visitor.wait(1.2)
        assert agent.said == ["Aaaaaaaaaa. Bbbb."]


async def test_speech_interrupts_an_answer_within_150_ms_of_its_first_voiced_frame() -> None:
    agent = Echo(["A" * 40 + ".", "Bbbb."])
    agent.gate.set()
    async with meeting(agent) as visitor:
        tails = []
        for _ in range(4):
            await visitor.speak(0.6)
            await visitor.wait(1.5)
            assert visitor.virtual.session.speech.text_queue.source is not None
            await visitor.wait(0.033)  # another phase
            begins = visitor.virtual.now_s
            await visitor.speak(0.5)
            interrupted = visitor.told("interrupted")[-1]
            assert interrupted["by"] == "voice"
            await visitor.wait(0.9)
            silent = visitor.virtual.left[interrupted["sample"] * 3 + 240 :]
            first_answer_after = int(np.argmax(np.abs(silent) > 100)) if (np.abs(silent) > 100).any() else silent.size
            assert first_answer_after / 48_000 > 0.9, "nothing more of what was cut off"
            leaves_s = visitor.virtual.session.clock.leaves_at(interrupted["sample"])
            tails.append((leaves_s - begins) * 1000)
            print(f"{interrupted['after_ms']:.0f} ms on the timeline, {tails[-1]:.0f} ms from the microphone's sound")
            visitor.virtual.session.speech.interrupt(visitor.virtual.now_s)
            await visitor.wait(0.5)
        assert max(tails) <= 150
        assert all(event["after_ms"] <= 150 for event in visitor.told("interrupted") if "by" in event)
        assert len(agent.said) == len(agent.heard) - 1


@pytest.mark.needs("recorded speech")
async def test_a_recorded_voice_interrupts_within_150_ms_and_music_does_not() -> None:
    sound, _ = turns.visitors(turns.NAMES[:1])
    words = 4 * np.repeat(sound[SAMPLE_RATE_HZ * 3 : -SAMPLE_RATE_HZ * 3], 3)
    agent = Echo(["A" * 100 + "."])
    agent.gate.set()
    async with meeting(agent, TurnDetector()) as visitor:
        await visitor.play(words)
        await visitor.wait(1.5)
        assert visitor.virtual.session.speech.text_queue.source is not None
        tones = room_sounds.music(SAMPLE_RATE_HZ * 2)
        await visitor.play(np.repeat(0.3 * tones / np.abs(tones).max(), 3))
        assert visitor.told("interrupted") == []
        await visitor.play(words)
        (interrupted,) = visitor.told("interrupted")
        print(f"a recorded voice: {interrupted['after_ms']:.0f} ms on the timeline")
        assert interrupted["after_ms"] <= 150


async def test_who_goes_on_speaking_while_the_agent_thinks_is_heard_as_a_whole() -> None:
    agent = Echo()
    async with meeting(agent) as visitor:
        await visitor.speak(1.0)
        await visitor.wait(0.9)
        assert len(agent.heard) == 1
        await visitor.speak(1.0)
        await visitor.wait(0.9)
        assert agent.closed == 1
        assert agent.heard[1] == pytest.approx(2 * agent.heard[0], rel=0.15)
        assert not visitor.told("interrupted"), "nothing was being said"
        agent.gate.set()
        await visitor.wait(2.2)
        assert visitor.told("caption")
        await visitor.speak(1.0)
        await visitor.wait(0.9)
        assert agent.heard[2] == pytest.approx(agent.heard[0], rel=0.2)  # that was answered, and is not asked again
        assert agent.said == ["Aaaaaaaaaa. Bbbb."]


@pytest.mark.parametrize("stage", ["thinking", "queued", "playing"])
async def test_an_interruption_leaves_no_stray_word_at_any_stage(stage: str) -> None:
    agent = Echo(["A" * 30 + "."])
    async with meeting(agent) as visitor:
        await visitor.speak(0.6)
        await visitor.wait(0.9)
        assert visitor.told("thinking")
        if stage != "thinking":
            agent.gate.set()
            for _ in range(20):
                await asyncio.sleep(0.005)  # it is synthesised, and nothing of it has been read
        if stage == "playing":
            await visitor.wait(1.0)
        sample = visitor.virtual.session.speech.interrupt(visitor.virtual.now_s)
        heard = visitor.told("interrupted")[-1].get("heard_ms", -1.0)
        assert agent.interrupted_ms == ([] if stage == "thinking" else [heard])
        assert (heard > 0) == (stage == "playing")
        agent.gate.set()
        await visitor.wait(1.0)
        assert np.abs(visitor.virtual.left[sample * 3 + 240 :]).max() == 0
        await visitor.speak(0.6)
        await visitor.wait(0.9)
        assert agent.heard[1] == pytest.approx(agent.heard[0], rel=0.15), "what was cut off is not asked again"


async def test_an_agent_that_fails_says_so_and_is_asked_again() -> None:
    agent = Echo(["fail"])
    agent.gate.set()
    async with meeting(agent) as visitor:
        await visitor.speak(0.6)
        await visitor.wait(0.9)
        (error,) = visitor.told("error")
        assert (error["code"], error["message"]) == ("not_answered", "it has no answer")
        agent.answers = ["Cccc."]
        await visitor.speak(0.6)
        await visitor.wait(1.5)
        assert [event["text"] for event in visitor.told("caption")] == ["Cccc."]
        assert agent.heard[1] == pytest.approx(agent.heard[0], rel=0.15)


async def test_the_button_ends_a_turn_at_once() -> None:
    agent = Echo()
    agent.gate.set()
    async with meeting(agent) as visitor:
        await visitor.speak(0.6)
        visitor.virtual.session.handle({"type": "end_of_turn"})
        await asyncio.sleep(0.02)
        assert agent.heard == [pytest.approx(0.6 + 0.3, abs=0.1)]


async def test_what_means_nothing_here_is_refused() -> None:
    async with meeting(None) as visitor:
        session = visitor.virtual.session
        with pytest.raises(BadRequestError, match="type 'end_of_speech' is not known here"):
            session.handle({"type": "end_of_speech"})
        program = session.speech.take_program(16_000)
        session.handle({"type": "end_of_speech"}, program=program)
        session.handle({"type": "end_of_turn"}, program=program)
        session.speech.conversation = None
        with pytest.raises(BadRequestError, match="type 'end_of_turn' is not known here"):
            session.handle({"type": "end_of_turn"}, program=program)


async def test_without_an_agent_voices_interrupt_programs_and_texts_all_the_same() -> None:
    async with meeting(None) as visitor:
        session = visitor.virtual.session
        program = session.speech.take_program(16_000)
        program.push(np.full(16_000 * 5, LEVEL, "<i2").tobytes())
        await visitor.wait(0.5)
        await visitor.speak(0.5)
        (interrupted,) = visitor.told("interrupted")
        assert interrupted["by"] == "voice"
        assert interrupted["heard_ms"] > 400
        assert program.level == 0
        program.push(np.full(16_000, LEVEL, "<i2").tobytes())
        session.speech.drop_program(program)
        await visitor.wait(2.0)
        assert is_loud(visitor.virtual)[-24_000:].sum() == 0
        assert session.speech.source is session.speech.selector._at_rest


@dataclass
class Knows:
    """An end-of-turn detection that gives its answers one after the other, and then none."""

    answers: list[bool | Exception]
    asked: list[float] = field(default_factory=list)

    async def has_finished(self, speech: np.ndarray, transcribe: Transcribe) -> bool:
        self.asked.append(speech.size / 16_000)
        if not self.answers:
            await asyncio.Event().wait()
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer or bool(await transcribe(speech))


async def test_a_visitor_is_waited_for_until_they_have_finished() -> None:
    knows = Knows([True, RuntimeError("a fault"), False])  # without a transcriber, the last one fails as well
    async with meeting(None, judge=PauseJudge(knows, None)) as visitor:
        await visitor.speak(0.6)
        await visitor.wait(0.4)
        assert len(visitor.told("heard")) == 1, "sooner than by silence"
        for turn in (2, 3):
            await visitor.wait(0.5)
            await visitor.speak(0.6)
            await visitor.wait(0.4)
            assert len(visitor.told("heard")) == turn - 1
            await visitor.wait(0.6)
            assert len(visitor.told("heard")) == turn, "a detection that fails leaves it to silence"
        await visitor.speak(0.6)
        await visitor.wait(1.2)
        await visitor.speak(0.6)
        await visitor.wait(1.2)
        assert len(visitor.told("heard")) == 3, "nobody has said that they have finished"
        await visitor.wait(1.2)
        assert len(visitor.told("heard")) == 4
        assert len(knows.asked) == 5
        assert knows.asked[4] == pytest.approx(knows.asked[3] + 1.8, abs=0.1), "the whole turn so far"

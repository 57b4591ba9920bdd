"""Text through a session in virtual time: order, bounds, interruption at every stage, failures."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any, ClassVar

import numpy as np
import pytest

from lipstream.realtime.errors import BadRequestError, ConflictError, RateLimitError, TooLargeError, UnavailableError
from lipstream.realtime.session.text_queue import LONGEST_TEXT, TextQueue
from lipstream.realtime.session.tick_schedule import TICK_S
from lipstream.realtime.synthesis.synthesizer import LONGEST_S, SpokenPcm, SynthesisError
from tests.loopback.virtual import VirtualSession

RATE_HZ = 16_000


class Engine:
    """Speaks a level for each sentence, as many tenths of a second as it has characters; ``gate`` holds it."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.stopped = 0

    async def speak(self, text: str) -> AsyncGenerator[SpokenPcm]:
        self.asked.append(text)
        try:
            if "Mute" in text:
                return
            for part in range(len(text)):
                if part == 1:
                    await self.gate.wait()
                if part == 2 and "Fail" in text:
                    raise SynthesisError("no more")
                if "Refuse" in text:
                    raise SynthesisError("not that")
                yield SpokenPcm(RATE_HZ, np.full(RATE_HZ // 10, level(text), "<i2").tobytes())
                await asyncio.sleep(0)
        except GeneratorExit:
            self.stopped += 1
            raise

    async def close(self) -> None:
        pass


def level(text: str) -> int:
    return 2000 + 500 * (ord(text[0]) - ord("A"))


@contextlib.asynccontextmanager
async def told_session() -> Any:
    virtual, engine = VirtualSession(), Engine()
    events: list[Any] = []
    session = virtual.session
    session.listeners.add(events.append)
    session.speech.text_queue = TextQueue(engine, lambda message: events.append({"type": "error", "message": message}))
    try:
        yield virtual, engine, events
    finally:
        await session.speech.text_queue.close()


async def advance(virtual: VirtualSession, seconds: float) -> None:
    """Let media time pass; the queue's waits look again after each read."""
    for _ in range(round(seconds / TICK_S)):
        virtual.tick()
        await asyncio.sleep(0.0005)


async def until(condition: Any) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


def spoken(virtual: VirtualSession, text: str) -> float:
    """Return the seconds that left of a sentence."""
    return float(np.mean(np.abs(virtual.left.astype(int) - level(text)) < 30) * virtual.left.size / 48_000)


async def test_sentences_are_said_in_order_and_the_microphone_comes_back() -> None:
    async with told_session() as (virtual, engine, _):
        session = virtual.session
        await session.speech.say("Aaaaa. Bbbbb. Ccc.")
        await session.speech.say("Dddd.")  # behind the first, and answered at once
        await advance(virtual, 3.0)
        await until(lambda: session.speech.text_queue.source is None)
        await advance(virtual, 0.1)
        assert engine.asked == ["Aaaaa.", "Bbbbb.", "Ccc.", "Dddd."]
        for text in engine.asked:
            assert spoken(virtual, text) == pytest.approx(len(text) / 10, abs=0.02)
        begins = [int(np.argmax(np.abs(virtual.left.astype(int) - level(text)) < 30)) for text in engine.asked]
        assert begins == sorted(begins)


async def test_the_next_sentence_is_synthesised_while_one_plays() -> None:
    async with told_session() as (virtual, engine, _):
        await virtual.session.speech.say("Aaaaa. Bbbbb.")
        await until(lambda: len(engine.asked) == 2)
        assert virtual.session.speech.text_queue.source.read == 0  # nothing has played, and both are there


async def test_no_more_than_ten_seconds_are_made_ahead() -> None:
    async with told_session() as (virtual, engine, _):
        await virtual.session.speech.say(" ".join(f"{letter}{'a' * 28}." for letter in "ABCDEFGH"))  # 3 s each
        await until(lambda: len(engine.asked) == 4 and not virtual.session.speech.text_queue.source.room_bytes)
        assert virtual.session.speech.text_queue.source.level <= 10.2 * 48_000


async def test_what_is_too_much_or_nothing_is_refused_with_one_error() -> None:
    async with told_session() as (virtual, engine, _):
        session = virtual.session
        for text in ("", " \n", "... !"):
            with pytest.raises(BadRequestError):
                await session.speech.say(text)
        with pytest.raises(TooLargeError):
            await session.speech.say("a" * (LONGEST_TEXT + 1))
        engine.gate.clear()
        await session.speech.say("Aaaa.")
        for _ in range(2):
            await session.speech.say("word " * 900)
        with pytest.raises(RateLimitError):
            await session.speech.say("word " * 900)
        assert session.speech.text_queue.queued_characters <= 10_000
        await session.speech.text_queue.close()
        session.speech.text_queue = TextQueue(None, lambda _: None)
        with pytest.raises(ConflictError, match="--synthesizer"):
            await session.speech.say("Aaaa.")


async def test_a_failing_engine_ends_one_text_and_no_other() -> None:
    async with told_session() as (virtual, _, events):
        session = virtual.session
        for text in ("Refuse it.", "Mute."):
            with pytest.raises(UnavailableError, match="could not be said"):
                await session.speech.say(text)
        assert not events
        await session.speech.say("Fail now. Bbbb.")  # in the middle: its first sound was there
        await session.speech.say("Cccc.")
        await advance(virtual, 2.0)
        assert [event["type"] for event in events if event["type"] == "error"] == ["error"]
        assert spoken(virtual, "Fail") == pytest.approx(0.2, abs=0.02)
        assert spoken(virtual, "Bbbb.") == 0
        assert spoken(virtual, "Cccc.") == pytest.approx(0.5, abs=0.02)


class Odd(Engine):
    """Gives what no engine should: for each text pieces of a rate and a length in seconds, or a crash."""

    pieces: ClassVar = {
        "Strange.": [(96_000, 0.1)],
        "Endless.": [(RATE_HZ, LONGEST_S + 1.0)],
        "Changing.": [(RATE_HZ, 0.1), (RATE_HZ // 2, 0.1)],
    }

    async def speak(self, text: str) -> AsyncGenerator[SpokenPcm]:
        if text == "Crash.":
            raise RuntimeError("words of the engine's own")
        if text not in self.pieces:
            async for piece in super().speak(text):
                yield piece
            return
        for rate_hz, seconds in self.pieces[text]:
            yield SpokenPcm(rate_hz, bytes(2 * round(rate_hz * seconds)))


async def test_what_no_engine_should_give_ends_its_text_with_one_sentence_and_no_other_text() -> None:
    async with told_session() as (virtual, _, _):
        session = virtual.session
        told: list[str] = []
        session.speech.text_queue = TextQueue(Odd(), told.append)
        for text, why in {
            "Strange.": "the text could not be said: the engine's rate of 96000 Hz is not taken",
            "Crash.": "the text could not be said",
        }.items():
            with pytest.raises(UnavailableError) as refused:
                await session.speech.say(text)
            assert refused.value.message == why
        assert not told
        for text in ("Changing.", "Endless."):
            await session.speech.say(text)  # its beginning was there
        await advance(virtual, 0.5)
        assert told == [
            "the text could not be said: the engine changed its rate",
            f"the text could not be said: one sentence became more than {LONGEST_S} s of sound",
        ]
        await session.speech.say("Aaaaa.")
        await advance(virtual, 1.0)
        assert spoken(virtual, "Aaaaa.") == pytest.approx(0.6, abs=0.02)
        await session.speech.text_queue.close()


@pytest.mark.parametrize("stage", ["requested", "synthesising", "queued", "playing"])
async def test_an_interruption_leaves_no_stray_word_at_any_stage(stage: str) -> None:
    async with told_session() as (virtual, engine, events):
        session = virtual.session
        if stage in ("requested", "synthesising"):
            engine.gate.clear()
        saying = asyncio.create_task(session.speech.say("Aaaaaaaaaa. Bbbbbbbbb."))
        await asyncio.sleep(0)
        if stage != "requested":
            await saying
        if stage == "playing":
            await advance(virtual, 1.6)
        sample = session.speech.interrupt(virtual.now_s)
        if stage == "requested":
            with pytest.raises(ConflictError, match="interrupted"):
                await saying
        engine.gate.set()
        await advance(virtual, 1.0)
        assert np.abs(virtual.left[sample * 3 + 240 :]).max() == 0
        assert session.speech.text_queue.source is None
        assert session.speech.text_queue.queued_characters == 0
        if stage == "playing":
            heard = next(event for event in events if event["type"] == "interrupted")
            assert heard["sample"] == sample
            assert heard["heard_text"] == "Aaaaaaaaaa."
            assert heard["cut_text"] == "Bbbbbbbbb."
            assert 1100 < heard["heard_ms"] < 1600
        await session.speech.say("Cccc.")
        await advance(virtual, 1.0)
        assert spoken(virtual, "Cccc.") == pytest.approx(0.5, abs=0.02)
        assert spoken(virtual, "Bbbbbbbbb.") < 1
        assert not [event for event in events if event["type"] == "error"]

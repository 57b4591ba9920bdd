"""An engine slower than real time: gaps the first time, told as events, and none once its speed is known."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipstream.realtime.session.text_queue import TextQueue
from lipstream.realtime.synthesis.read_ahead import EngineSpeed, ReadAhead
from lipstream.realtime.synthesis.synthesizer import SpokenPcm, SynthesisError
from tests.loopback.virtual import VirtualSession

RATE_HZ = 16_000
PIECE_MS = 100
TEXT = "A sentence of about thirty letters."


class SlowEngine:
    """Makes 2.5 s of sound for each sentence, a piece of 100 ms whenever ``pace`` lets it."""

    def __init__(self, pace_s: float = 0.0) -> None:
        self.pace_s, self.closed = pace_s, False

    async def speak(self, text: str) -> AsyncGenerator[SpokenPcm]:
        for _ in range(25):
            if "Fail" in text:
                raise SynthesisError("no")
            yield SpokenPcm(RATE_HZ, b"\0\x10" * (RATE_HZ * PIECE_MS // 1000))
            await asyncio.sleep(self.pace_s)

    async def close(self) -> None:
        self.closed = True


@given(st.floats(0.2, 0.99), st.integers(1, 300), st.floats(0.03, 0.2))
def test_what_is_held_back_suffices(speed: float, characters: int, per_character_s: float) -> None:
    """Sound that is made evenly never ends before it has been heard, once the engine is known."""
    learned, length_s = EngineSpeed(), characters * per_character_s
    for _ in range(30):
        learned.note(characters, 0.0, length_s, length_s / speed)
    needed_s = learned.needed_s(characters)
    if length_s >= 0.3:
        begins_s = min(needed_s, length_s) / speed
        assert begins_s + length_s >= length_s / speed - 1e-3


def test_a_fast_engine_is_not_held_back() -> None:
    learned = EngineSpeed()
    assert learned.needed_s(300) == 0
    for took_s in (0.0, 0.5, 1.9):
        learned.note(30, 0.1, 2.0, took_s)
        assert learned.needed_s(300) == 0
    learned.note(30, 0.1, 2.0, 4.0)
    assert learned.needed_s(300) > 0
    learned.note(30, 2.0, 2.0, 0.0)
    assert learned.needed_s(300) == 0


async def test_all_of_the_sound_comes_and_errors_too() -> None:
    for least_s in (0.0, 0.35, 60.0):
        engine = SlowEngine()
        ahead = ReadAhead(engine, least_s)
        assert sum([len(piece.pcm) async for piece in ahead.speak(TEXT)]) == 2 * 25 * RATE_HZ * PIECE_MS // 1000
        with pytest.raises(SynthesisError):
            _ = [piece async for piece in ahead.speak("Fail")]
        await ahead.close()
        assert engine.closed


class GatedEngine(SlowEngine):
    """Makes a piece for every 170 ms of media time that the test lets pass."""

    def __init__(self) -> None:
        super().__init__()
        self.allowed = asyncio.Semaphore(0)

    async def speak(self, text: str) -> AsyncGenerator[SpokenPcm]:
        async for piece in super().speak(text):
            await self.allowed.acquire()
            yield piece


async def say_slowly(ahead_s: float) -> list[dict[str, Any]]:
    """Return the events of a gap while a sentence comes at 100 ms every 170 ms of media time."""
    virtual, engine = VirtualSession(), GatedEngine()
    events: list[Any] = []
    session = virtual.session
    session.listeners.add(events.append)
    session.speech.text_queue = queue = TextQueue(ReadAhead(engine, ahead_s), lambda _: None)
    try:
        queue.accept(TEXT)
        for tick in range(600):
            if tick % 17 == 0:
                engine.allowed.release()
            virtual.tick()
            for _ in range(12):
                await asyncio.sleep(0)
    finally:
        await queue.close()
    return [event for event in events if event["type"] == "starved"]


async def test_gaps_are_told_and_a_prebuffer_closes_them() -> None:
    gaps = await say_slowly(0.0)
    assert len(gaps) >= 20
    assert all(40 <= gap["gap_ms"] <= 100 for gap in gaps)
    samples = [gap["sample"] for gap in gaps]
    assert samples == sorted(samples)
    assert await say_slowly(1.2) == []

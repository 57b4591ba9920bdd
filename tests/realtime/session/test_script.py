"""Lines that a live host reads aloud: their order, their bounds, and hours without a gap."""

import asyncio
import gc
from collections.abc import AsyncGenerator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipstream.realtime.errors import ConflictError, NotFoundError, RateLimitError, SettingsError
from lipstream.realtime.session.script import MOST_CHARACTERS, MOST_LINES, Script, read_script
from lipstream.realtime.session.text_queue import TextQueue
from lipstream.realtime.synthesis.synthesizer import SpokenPcm, SynthesisError
from lipstream.realtime.timeline import SOUND_RATE_HZ
from tests.virtual_loop import VirtualLoop

HOURS = 8
BLOCK_S, AT_ONCE = 0.01, 20


def test_higher_priorities_come_first_and_a_playlist_never_ends() -> None:
    script = Script()
    script.add(["one", " ", "two"], repeats=True)
    assert [script.take() for _ in range(5)] == ["one", "two", "one", "two", "one"]
    script.add(["hello", "hi"], priority=1)
    script.add(["fire"], priority=9)
    assert len(script) == 5
    assert [script.take() for _ in range(5)] == ["fire", "hello", "hi", "two", "one"]
    script.clear()
    assert script.take() is None


def test_what_waits_is_bounded_as_a_whole() -> None:
    script = Script()
    script.add(["a"] * (MOST_LINES - 1))
    with pytest.raises(RateLimitError):
        script.add(["b", "c"], priority=5)
    script.add(["b"])
    script.clear()
    with pytest.raises(RateLimitError):
        script.add(["a" * (MOST_CHARACTERS + 1)])
    assert len(script) == 0


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 1000)), max_size=40))
def test_lines_of_one_priority_keep_their_order(added: list[tuple[int, int]]) -> None:
    script = Script()
    for priority, number in added:
        script.add([str(number)], priority=priority)
    taken = [int(script.take() or -1) for _ in added]
    assert taken == [number for _, number in sorted(added, key=lambda one: -one[0])]


def test_a_script_is_a_file_or_a_folder_of_them(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("three\n")
    (tmp_path / "a.txt").write_text("one\n\ntwo\n")
    (tmp_path / "c.md").write_text("no")
    assert read_script(tmp_path) == ["one", "", "two", "three"]
    assert read_script(tmp_path / "b.txt") == ["three"]
    (tmp_path / "b.txt").write_text("x\n" * (MOST_LINES + 1))
    with pytest.raises(SettingsError, match="more than"):
        read_script(tmp_path)
    (tmp_path / "b.txt").write_bytes(b"\xff")
    for path in (tmp_path, tmp_path / "none.txt"):
        with pytest.raises(SettingsError, match="cannot be read"):
            read_script(path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SettingsError, match="no lines"):
        read_script(tmp_path / "empty")


class Engine:
    """Says each letter in a fiftieth of a second; every so often it fails."""

    def __init__(self, rate_hz: int = 8_000, *, fails_every: int = 0, first_after_s: float = 0.0) -> None:
        self.asked: list[str] = []
        self._rate_hz, self._fails_every, self._first_after_s = rate_hz, fails_every, first_after_s

    async def speak(self, text: str) -> AsyncGenerator[SpokenPcm]:
        self.asked.append(text)
        if self._fails_every and len(self.asked) % self._fails_every == 0:
            raise SynthesisError("not now")
        await asyncio.sleep(self._first_after_s)
        yield SpokenPcm(self._rate_hz, np.full(len(text) * self._rate_hz // 50, 3000, "<i2").tobytes())

    async def close(self) -> None:
        pass


async def play(queue: TextQueue, seconds: float) -> float:
    """Read the queue for some time, without waiting; return the longest gap, s."""
    silent = longest = 0
    for number in range(round(seconds / BLOCK_S)):
        source = queue.source
        block = source.pull(number * BLOCK_S)[0] if source else None
        silent = 0 if block is not None and block.any() else silent + 1
        longest = max(longest, silent)
        for _ in range(2 if source else 8):  # the engine runs as far as it can
            await asyncio.sleep(0)
    return longest * BLOCK_S


async def test_a_chat_is_read_between_the_lines_of_a_playlist() -> None:
    engine = Engine()
    queue = TextQueue(engine, lambda message: None)
    queue.read([f"This is line number {number} of the script." for number in range(3)], repeats=True)
    await play(queue, 2)
    queue.read(["A question from the chat."], priority=1)
    await play(queue, 30)
    at = engine.asked.index("A question from the chat.")
    assert at < 20
    assert all(before != after for before, after in zip(engine.asked, engine.asked[1:], strict=False))
    queue.interrupt(0)
    before = len(engine.asked)
    await play(queue, 5)
    assert len(engine.asked) > before, "an interruption ends a line, and the script goes on"
    queue.script.clear()
    await play(queue, 60)
    assert queue.source is None
    await queue.close()
    with pytest.raises(NotFoundError):
        queue.read(["more"])
    with pytest.raises(ConflictError):
        TextQueue(None, lambda message: None).read(["more"])


async def test_lines_without_a_word_and_a_broken_engine_do_not_spin(monkeypatch: pytest.MonkeyPatch) -> None:
    rests: list[float] = []
    sleep = asyncio.sleep

    async def note(seconds: float) -> None:
        rests.append(seconds)
        await sleep(0)

    engine, told = Engine(fails_every=1), list[str]()
    queue = TextQueue(engine, told.append)
    queue.read(["...", "--"], repeats=True)
    await play(queue, 1)
    assert engine.asked == []
    monkeypatch.setattr(asyncio, "sleep", note)
    queue.read(["A word."], repeats=True)
    await play(queue, 0.2)
    monkeypatch.undo()
    assert len(engine.asked) >= 1
    assert rests.count(1.0) >= len(engine.asked) - 1, "it rests after each failure"
    await queue.close()


def test_eight_hours_of_a_playlist_have_no_gap_and_keep_nothing() -> None:
    engine = Engine(SOUND_RATE_HZ, fails_every=100, first_after_s=0.4)  # at this rate nothing is resampled
    told: list[str] = []

    async def listen() -> None:
        queue = TextQueue(engine, told.append)
        queue.read([f"Line {number} tells " + "what there is to be told about it " * 5 for number in range(50)],
                   repeats=True)  # fmt: skip
        kept = []
        for _ in range(HOURS):
            assert await hear(queue, 3600) <= 2.0
            assert queue.queued_characters < 5_000
            kept.append(len(gc.get_objects()))
        await queue.close()
        assert kept[-1] < kept[0] + 500

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(listen())
    assert len(engine.asked) > 800 * HOURS
    assert len(told) == len(engine.asked) // 100, "each failure is told, and the next line is read"


async def hear(queue: TextQueue, seconds: float) -> float:
    """Read the queue for some time of the loop; return the longest gap after the first sound, s."""
    silent = longest = 0
    for _ in range(round(seconds / BLOCK_S / AT_ONCE)):
        await asyncio.sleep(BLOCK_S * AT_ONCE)
        for _ in range(AT_ONCE):
            source = queue.source
            silent = 0 if source and source.pull(0.0)[0][0] else silent + 1
            longest = max(longest, silent)
    return longest * BLOCK_S

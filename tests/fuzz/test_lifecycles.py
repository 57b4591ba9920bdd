"""Shuffled lifecycles: whatever clients do to sessions, and in whatever order, nothing of them is left in the end.

The steps of one shuffle begin without waiting for each other, so that an end meets beginnings. ``FUZZ=full`` plays 200.
"""

import asyncio
import gc
import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from lipstream.realtime.errors import LipstreamError
from lipstream.realtime.server.sessions import Sessions
from lipstream.realtime.session.session import Session
from lipstream.realtime.settings import Settings
from lipstream.realtime.synthesis.programs import SpeakingProgram
from lipstream.realtime.test_client.caller import Caller
from tests.fuzz.kept import kept
from tests.fuzz.mutate import FULL
from tests.realtime.fakes import make_store, worker_settings

SHUFFLES, STEPS = (200, 40) if FULL else (8, 25)
WAIT_S = 60.0
SLOTS = 4
NOBODY = 9
"""A port on which nothing listens."""
SAYS = SpeakingProgram(
    ("sh", "-c", "cat >/dev/null; head -c 48000 /dev/zero; sleep 0.02; head -c 48000 /dev/zero"), 48_000
)

slots = st.integers(0, SLOTS - 1)


class World:
    """A server's sessions on a loop that runs only while a shuffle lets it."""

    def __init__(self, folder: Path, runner: asyncio.Runner) -> None:
        store = make_store(folder, {"ann": 60, "bob": 140})
        self.folder, self.runner = folder, runner
        self.sessions = Sessions(
            Settings(store=store.root, picture_workers=0, max_sessions=SLOTS + 1),
            worker_settings(store, "FakePredictor"),
        )
        self.sessions.factory.synthesizer = SAYS
        self.silent_port = 0
        self.callers: list[Caller] = []
        self.begun: list[asyncio.Task[None]] = []
        self.slots: list[Session | None] = []

    async def open(self) -> None:
        self._silent = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
        self.silent_port = self._silent.sockets[0].getsockname()[1]
        await self.sessions.start()

    async def close(self) -> None:
        await self.sessions.close()
        self._silent.close()

    def begin(self, step: Coroutine[Any, Any, object]) -> None:
        """Begin a step; a refusal in the server's words is an outcome like any other."""

        async def taken() -> None:
            try:
                await step
            except LipstreamError:
                return

        self.begun.append(self.runner.get_loop().create_task(taken()))

    async def end_all(self) -> None:
        """End every session, wait for every step, and hang up."""
        await asyncio.gather(*self.begun)
        self.begun.clear()
        for session in self.sessions.all():
            await self.sessions.delete(session.id)
        while self.callers:
            await self.callers.pop().close()
        self.slots = [None] * SLOTS

    async def left(self) -> tuple[Counter[str], int, int]:
        """Return the tasks by name, the descriptors and the sessions that there are."""
        gc.collect()
        names = Counter(
            name if not (name := task.get_name()).startswith("Task-") else repr(task.get_coro())
            for task in asyncio.all_tasks()
            if task is not asyncio.current_task()
        )
        return names, psutil.Process().num_fds(), self.sessions.count

    async def settled(self, calm: tuple[Counter[str], int, int]) -> tuple[Counter[str], int, int]:
        """Wait until nothing is left, or a time that is long enough for anything; return what is left."""
        end_s = asyncio.get_running_loop().time() + WAIT_S
        while (left := await self.left()) != calm and asyncio.get_running_loop().time() < end_s:
            await asyncio.sleep(0.05)
        return left


@pytest.fixture
def world(tmp_path: Path, no_built_in_avatars: None) -> Iterator[World]:
    with asyncio.Runner() as runner:
        world = World(tmp_path, runner)
        try:
            runner.run(world.open())
            yield world
        finally:
            runner.run(world.end_all())
            runner.run(world.close())


@pytest.mark.timeout(0 if FULL else 300)
def test_shuffled_lifecycles_leave_nothing_behind(world: World, caplog: pytest.LogCaptureFixture) -> None:
    run = world.runner.run
    run(everything_once(world))
    calm = run(world.left())
    shuffles = 0

    for shuffle in kept("lifecycles"):  # that once left something behind; a race, so that the same steps may pass
        run(played(world, shuffle["steps"]))
        assert run(world.settled(calm)) == calm, shuffle["failed"]

    class Lifecycles(RuleBasedStateMachine):
        @initialize()
        def nobody_is_there(self) -> None:
            world.slots = [None] * SLOTS

        @rule(slot=slots)
        def create(self, slot: int) -> None:
            take(world, "create", slot)

        @rule(slot=slots)
        def peer(self, slot: int) -> None:
            take(world, "peer", slot)

        @rule(slot=slots, text=st.sampled_from(("One. Two. Three.", "Hello there.", "", "...")))
        def say(self, slot: int, text: str) -> None:
            take(world, "say", slot, text=text)

        @rule(slot=slots)
        def interrupt(self, slot: int) -> None:
            take(world, "interrupt", slot)

        @rule(slot=slots, begins=st.booleans())
        def record(self, slot: int, begins: bool) -> None:
            take(world, "record", slot, begins=begins)

        @rule(slot=slots, kind=st.sampled_from(("rtmp", "http")), answers=st.booleans())
        def stream(self, slot: int, kind: str, answers: bool) -> None:
            take(world, "stream", slot, kind=kind, answers=answers)

        @rule(slot=slots, avatar=st.sampled_from(("ann", "bob", "nobody")))
        def patch(self, slot: int, avatar: str) -> None:
            take(world, "patch", slot, avatar=avatar)

        @rule(slot=slots)
        def watch(self, slot: int) -> None:
            take(world, "watch", slot)

        @rule(slot=slots)
        def delete(self, slot: int) -> None:
            take(world, "delete", slot)

        @rule(ms=st.sampled_from((0, 1, 5, 20, 60)))
        def pause(self, ms: int) -> None:
            run(asyncio.sleep(ms / 1000))

        def teardown(self) -> None:
            nonlocal shuffles
            shuffles += 1
            run(world.end_all())
            left = run(world.settled(calm))
            assert left == calm, f"left: {left[0] - calm[0]}, descriptors {left[1]} of {calm[1]}, sessions {left[2]}"

    run_state_machine_as_test(
        Lifecycles,
        settings=settings(
            max_examples=SHUFFLES,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=not FULL,
            database=None,
            phases=(Phase.generate,),  # races do not shrink
            suppress_health_check=list(HealthCheck),
        ),
    )
    print(f"{shuffles} shuffled lifecycles: tasks, descriptors and sessions as before")
    assert shuffles >= SHUFFLES
    assert [line.getMessage() for line in caplog.records if line.levelno >= logging.ERROR] == []


def take(world: World, step: str, slot: int, **how: Any) -> None:
    """Begin a step of a client at the session in a slot; without a session it does nothing."""
    session = world.slots[slot]
    if step == "create":
        world.begin(create(world, slot))
    elif session is not None:
        world.begin(_STEPS[step](world, session, **how))


async def played(world: World, steps: list[tuple[str, dict[str, Any]]]) -> None:
    """Take the steps of a shuffle that was kept, and end it."""
    world.slots = [None] * SLOTS
    for step, how in steps:
        if step == "pause":
            await asyncio.sleep(how["ms"] / 1000)
        else:
            take(world, step, **how)
    await world.end_all()


async def everything_once(world: World) -> None:
    """Take each step once: what the first one leaves on purpose is there before anything is counted."""
    world.slots = [None] * SLOTS
    await create(world, 0)
    session = world.slots[0]
    assert session
    await peer(world, session)
    await watch(world, session)
    await record(world, session, begins=True)
    await stream(world, session, kind="rtmp", answers=True)
    await stream(world, session, kind="http", answers=True)
    await say(world, session, text="Hello there.")
    await patch(world, session, avatar="bob")
    await asyncio.sleep(0.3)
    await world.end_all()


async def create(world: World, slot: int) -> None:
    world.slots[slot] = (await world.sessions.create("ann", None))[0]


async def peer(world: World, session: Session) -> None:
    world.callers.append(caller := Caller())
    await caller.accept(await session.answer(await caller.offer()))


async def watch(world: World, session: Session) -> None:
    world.callers.append(caller := Caller())
    await caller.accept((await session.viewers.watch(await caller.offer()))[1])


async def say(_: World, session: Session, *, text: str) -> None:
    await session.speech.say(text)


async def interrupt(_: World, session: Session) -> None:
    session.speech.interrupt()


async def record(world: World, session: Session, *, begins: bool) -> None:
    if begins:
        session.sinks.record(world.folder / "recordings", {}, "ann")
    else:
        await session.sinks.stop_recording()


async def stream(world: World, session: Session, *, kind: str, answers: bool) -> None:
    port = world.silent_port if answers else NOBODY
    session.sinks.streams.add(f"{kind}://127.0.0.1:{port}/live/key", {})


async def patch(world: World, session: Session, *, avatar: str) -> None:
    await world.sessions.switch(session.id, avatar)


async def delete(world: World, session: Session) -> None:
    await world.sessions.delete(session.id)


_STEPS: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {
    step.__name__: step for step in (peer, watch, say, interrupt, record, stream, patch, delete)
}

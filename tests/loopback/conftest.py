"""A server's sessions with the small avatars, and clients to call them."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lipstream.realtime.server import sessions as module
from lipstream.realtime.server.admission import Admission
from lipstream.realtime.server.sessions import Sessions
from lipstream.realtime.server.standing_session import StandingSession
from lipstream.realtime.session.session import Session
from lipstream.realtime.settings import Settings
from lipstream.realtime.test_client.caller import Caller
from tests.realtime.fakes import make_store, worker_settings

WAIT_S = 150.0
SHADES = {"ann": 60, "bob": 140}
MOUTH = (slice(76, 100), slice(48, 80))
"""Rows and columns of the small avatar's picture that a mouth covers in full."""
FOREHEAD = (slice(24, 56), slice(32, 96))
"""Rows and columns that nothing changes."""

Serve = Callable[..., Coroutine[Any, Any, Sessions]]


async def until(condition: Callable[[], object], what: str) -> None:
    """Wait for something that must come, however slow the machine is."""
    deadline = asyncio.get_running_loop().time() + WAIT_S
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, f"never came: {what}"
        await asyncio.sleep(0.01)


@pytest.fixture(autouse=True)
def room_for_every_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Admit what these tests create: on a busy machine a session costs so much that a second one does not fit."""
    monkeypatch.setattr(Admission, "admits", lambda *_: True)


@pytest.fixture(autouse=True)
def no_rehearsal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave all streams to the sessions of a test: a rehearsed call takes one for a moment."""
    monkeypatch.setattr(module, "_REHEARSE_AFTER_S", 3600.0)


@pytest.fixture(autouse=True)
def patient_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a session until its first client comes: on a busy machine a test has a session for long before that."""
    monkeypatch.setattr(module, "UNCLAIMED_S", 3600.0)


@pytest.fixture
async def serve(tmp_path: Path, no_built_in_avatars: None) -> AsyncIterator[Serve]:
    """Start sessions whose worker runs a predictor (of ``tests.realtime.fakes`` by default); close them in the end."""
    started: list[Sessions] = []

    async def start(
        predictor: str = "FakePredictor", *, silence_s: float = 10.0, connect_s: float = 60.0, **options: Any
    ) -> Sessions:
        store = make_store(tmp_path / str(len(started)), SHADES)
        settings = worker_settings(store, predictor)
        if ":" in predictor:
            settings = dataclasses.replace(settings, predictor=predictor)
        sessions = Sessions(Settings(store=store.root, **{"picture_workers": 0, **options}), settings)
        sessions.factory.rtc = dataclasses.replace(
            sessions.factory.rtc, silence_timeout_s=silence_s, connect_timeout_s=connect_s
        )
        started.append(sessions)
        await sessions.start()
        return sessions

    yield start
    for sessions in started:
        await sessions.close()
        await sessions.close()


Stand = Callable[[Sessions], "asyncio.Task[None]"]


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    """Begin the standing session of a server's sessions; stop to keep it in the end, also after a test that failed."""
    running: list[asyncio.Task[None]] = []

    def begin(sessions: Sessions) -> "asyncio.Task[None]":
        running.append(asyncio.create_task(StandingSession(sessions).run()))
        return running[-1]

    yield begin
    for task in running:
        task.cancel()
        await asyncio.wait([task])


class Callers:
    """Clients in the test's own process; all hang up in the end."""

    def __init__(self) -> None:
        self._callers: list[Caller] = []

    async def call(
        self, sessions: Sessions, avatar: str = "ann", *, sound: np.ndarray | None = None
    ) -> tuple[Caller, Session]:
        """Return a client and the session that it is connected to."""
        caller = await self.dial(sound)
        session, answer = await sessions.create(avatar, await caller.offer())
        assert answer is not None
        await self.connect(caller, session, answer)
        return caller, session

    async def call_back(self, session: Session) -> Caller:
        """Return a new client that took over a session."""
        caller = await self.dial()
        await self.connect(caller, session, await session.answer(await caller.offer()))
        return caller

    async def dial(self, sound: np.ndarray | None = None) -> Caller:
        self._callers.append(Caller(sound))
        return self._callers[-1]

    async def connect(self, caller: Caller, session: Session, answer: str) -> None:
        await caller.accept(answer)
        await until(lambda: session.state == "live" and caller.recording.picture.packets, "connection")

    async def hang_up(self) -> None:
        while self._callers:
            await self._callers.pop().close()


@pytest.fixture
async def callers() -> AsyncIterator[Callers]:
    """Return a place to call from."""
    everyone = Callers()
    yield everyone
    await everyone.hang_up()

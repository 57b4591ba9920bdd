"""A call is rehearsed where no session is interrupted: after the start, or before it if the server keeps a session."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from lipstream.realtime.server import sessions as module
from lipstream.realtime.server.sessions import Sessions
from lipstream.realtime.settings import Settings
from tests.realtime.fakes import make_store, worker_settings


@pytest.fixture(autouse=True)
def _no_other_avatars(no_built_in_avatars: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REHEARSE_AFTER_S", 0.0)


@asynccontextmanager
async def watched(folder: Path, *, created: int = 0, **settings: Any) -> AsyncIterator[list[str | None]]:
    """Start sessions; yield what each rehearsal finds: why no session can begin, ``None`` if one can."""
    store = make_store(folder, {"ann": 60})
    found: list[str | None] = []
    sessions = Sessions(
        Settings(store=store.root, picture_workers=0, **settings), worker_settings(store, "FakePredictor")
    )
    sessions.created = created

    async def rehearse(*_: object) -> None:
        found.append(sessions.unready_reason())

    sessions.factory.rehearse = rehearse  # type: ignore[assignment, method-assign]
    try:
        await sessions.start()
        while sessions._rehearsal and not sessions._rehearsal.done():
            await asyncio.sleep(0.01)
        yield found
    finally:
        await sessions.close()


async def test_a_call_is_rehearsed_once_sessions_can_begin(tmp_path: Path) -> None:
    async with watched(tmp_path) as found:
        assert found == [None]


async def test_none_is_rehearsed_after_a_session_has_begun(tmp_path: Path) -> None:
    async with watched(tmp_path, created=1) as found:
        assert found == []


async def test_a_server_with_a_session_of_its_own_rehearses_before_it_can_begin(tmp_path: Path) -> None:
    async with watched(tmp_path, virtual_microphone=True) as found:
        assert found == ["warming"]

"""Avatars that cannot be used, or not yet: others go on, and each caller is told what holds."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lipstream.avatar_cache.store import AvatarStore
from lipstream.realtime.errors import AvatarError, ConflictError, UnavailableError
from lipstream.realtime.server.sessions import Sessions
from lipstream.realtime.settings import Settings
from tests.realtime.fakes import make_store, worker_settings, write_avatar


@pytest.fixture
def store(tmp_path: Path, no_built_in_avatars: None) -> AvatarStore:
    return make_store(tmp_path, {"ann": 60, "bob": 120})


@pytest.fixture
async def sessions(store: AvatarStore) -> AsyncIterator[Sessions]:
    """Not started yet."""
    sessions = Sessions(Settings(store=store.root, picture_workers=0), worker_settings(store, "FakePredictor"))
    yield sessions
    await sessions.close()


def damage(store: AvatarStore, avatar_id: str) -> None:
    clip = store.load(avatar_id).clip
    clip.write_bytes(clip.read_bytes()[:300])


async def test_one_that_is_damaged_keeps_no_other_from_being_shown(store: AvatarStore, sessions: Sessions) -> None:
    damage(store, "ann")
    await sessions.start()
    assert (sessions.avatars.state("ann"), sessions.avatars.state("bob")) == ("failed", "ready")
    session, _ = await sessions.create(None, None)
    assert session.avatar_id == "bob"


async def test_a_server_without_any_that_is_whole_does_not_start(store: AvatarStore, sessions: Sessions) -> None:
    damage(store, "ann")
    damage(store, "bob")
    with pytest.raises(UnavailableError, match="there is no usable avatar"):
        await sessions.start()


async def test_one_that_comes_later_is_prepared_and_a_failure_is_told_once(
    store: AvatarStore, sessions: Sessions, tmp_path: Path
) -> None:
    await sessions.start()
    store.build(write_avatar(tmp_path / "source-eve", "eve"), "eve")
    assert sessions.avatars.state("eve") == "building"
    with pytest.raises(UnavailableError, match="'eve' is being prepared") as told:
        await sessions.create("eve", None)
    assert told.value.reason == "warming"
    async with asyncio.timeout(60):
        while sessions.avatars.state("eve") != "failed":  # by a process of its own, which finds no weights here
            await asyncio.sleep(0.05)
    with pytest.raises(AvatarError, match="'eve' could not be prepared"):
        await sessions.create("eve", None)
    with pytest.raises(UnavailableError, match="'eve' is being prepared"):
        await sessions.create("eve", None)
    assert sessions.count == 0


async def test_a_built_in_one_is_not_removed(
    store: AvatarStore, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lipstream.avatar_cache.store.BUILT_IN", store.root / "avatars")
    monkeypatch.setattr(AvatarStore, "is_own", lambda _, __: False)
    with pytest.raises(ConflictError, match="the avatar 'ann' is built in"):
        await sessions.avatars.remove("ann", is_shown=lambda: False)
    assert store.load("ann").clip.exists()

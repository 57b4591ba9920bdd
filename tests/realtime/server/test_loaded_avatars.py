"""Avatars that cannot be used, or not yet: others go on, and each caller is told what holds."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from lipstream.avatar_cache.prepare import prepare
from lipstream.avatar_cache.store import AvatarStore
from lipstream.realtime.errors import AvatarError, ConflictError, SettingsError, UnavailableError
from lipstream.realtime.server.loaded_avatars import LoadedAvatars
from lipstream.realtime.server.sessions import Sessions
from lipstream.realtime.settings import Settings
from tests.realtime.fakes import FakePredictor, make_store, worker_settings, write_avatar


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
    assert sessions.avatars.failure("ann")
    session, _ = await sessions.create(None, None)
    assert session.avatar_id == "bob"


async def test_the_server_starts_with_one_and_prepares_no_other(store: AvatarStore, tmp_path: Path) -> None:
    sessions = Sessions(
        Settings(store=store.root, picture_workers=0, avatar="bob"), worker_settings(store, "FakePredictor")
    )
    try:
        await sessions.start()
        assert [path.name for path in (store.root / "prepared").iterdir()] == ["bob"]
        assert sessions.avatars.state("ann") == "ready", "a session may begin with it"
        assert (await sessions.create(None, None))[0].avatar_id == sessions.avatars.first == "bob"
    finally:
        await sessions.close()


async def test_a_server_without_any_that_is_whole_does_not_start(store: AvatarStore, sessions: Sessions) -> None:
    damage(store, "ann")
    damage(store, "bob")
    with pytest.raises(UnavailableError, match="there is no usable avatar"):
        await sessions.start()


async def test_one_that_is_prepared_is_loaded_when_it_is_first_shown(store: AvatarStore, sessions: Sessions) -> None:
    prepare(store.load("bob"), FakePredictor(worker_settings(store, "FakePredictor")))
    await sessions.start()
    begun = await asyncio.gather(*(sessions.create("bob", None) for _ in range(3)))
    assert {session.avatar_id for session, _ in begun} == {"bob"}
    assert len({id(await sessions.avatars.get("bob")) for _ in range(3)}) == 1, "loaded once"


async def test_one_that_cannot_be_prepared_says_why_each_time(store: AvatarStore, sessions: Sessions) -> None:
    damage(store, "bob")
    await sessions.start()
    for _ in range(2):
        with pytest.raises(AvatarError, match="'bob' could not be prepared: cannot read the clip"):
            await sessions.create("bob", None)
        assert sessions.avatars.state("bob") == "failed"
    assert sessions.count == 0


async def test_who_waits_for_one_is_told_how_far_it_is(
    store: AvatarStore, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    half, rest = asyncio.Event(), asyncio.Event()

    async def run_preparation(self: LoadedAvatars, avatar_id: str, *, in_background: bool = False) -> None:
        self._note_progress(avatar_id, 0.5)
        half.set()
        await rest.wait()
        prepare(store.load(avatar_id), FakePredictor(worker_settings(store, "FakePredictor")))

    monkeypatch.setattr(LoadedAvatars, "_run_preparation", run_preparation)
    monkeypatch.setattr("lipstream.realtime.server.loaded_avatars.PATIENCE_S", 0.2)
    await sessions.start()
    with pytest.raises(UnavailableError, match="'bob' is being prepared, 50% is done") as told:
        await sessions.create("bob", None)
    assert (told.value.reason, half.is_set()) == ("warming", True)
    assert (sessions.avatars.state("bob"), sessions.avatars.progress("bob")) == ("building", 0.5)
    seen = []
    async for _ in sessions.avatars.changes("bob"):
        seen.append((sessions.avatars.state("bob"), sessions.avatars.progress("bob")))
        rest.set()
    assert seen[0] == ("building", 0.5)
    assert seen[-1] == ("ready", 1.0)
    monkeypatch.undo()
    assert (await sessions.create("bob", None))[0].avatar_id == "bob"


async def test_one_that_comes_later_is_shown(store: AvatarStore, sessions: Sessions, tmp_path: Path) -> None:
    await sessions.start()
    eve = store.build(write_avatar(tmp_path / "source-eve", "eve"), "eve")
    prepare(eve, FakePredictor(worker_settings(store, "FakePredictor")))
    assert (await sessions.create("eve", None))[0].avatar_id == "eve"


async def test_a_built_in_one_is_not_removed(
    store: AvatarStore, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lipstream.avatar_cache.store.BUILT_IN", store.root / "avatars")
    monkeypatch.setattr(AvatarStore, "is_own", lambda _, __: False)
    with pytest.raises(ConflictError, match="the avatar 'ann' is built in"):
        await sessions.avatars.remove("ann", is_shown=lambda: False)
    assert store.load("ann").clip.exists()


async def test_a_form_of_a_built_in_person_is_filmed_when_a_session_wants_it(tmp_path: Path) -> None:
    store = make_store(tmp_path, {"aaa": 60})
    sessions = Sessions(Settings(store=store.root, picture_workers=0), worker_settings(store, "FakePredictor"))
    try:
        await sessions.start()
        asked = asyncio.create_task(_patiently(sessions, "mira-green"))
        shares = []
        while not asked.done():
            shares.append(sessions.avatars.progress("mira-green"))
            await asyncio.sleep(0.05)
        assert await asked == "mira-green"
        assert any(0 < share < 1 for share in shares), "who waits is told how far it is"
        assert store.is_own("mira-green")
        store.verify("mira-green")
    finally:
        await sessions.close()


async def _patiently(sessions: Sessions, avatar_id: str) -> str:
    """Ask for a session with an avatar until it is prepared, as a client does; return the avatar that it shows."""
    while True:
        try:
            session, _ = await sessions.create(avatar_id, None)
        except UnavailableError:
            await asyncio.sleep(0.1)
        else:
            return session.avatar_id


async def test_the_server_may_begin_with_a_form_of_a_built_in_person(tmp_path: Path) -> None:
    store = make_store(tmp_path, {"aaa": 60})
    settings = Settings(store=store.root, picture_workers=0, avatar="mira-green")
    sessions = Sessions(settings, worker_settings(store, "FakePredictor"))
    try:
        await sessions.start()
        assert sessions.avatars.first == "mira-green"
        assert store.is_own("mira-green")
    finally:
        await sessions.close()


@pytest.mark.parametrize("wanted", ["nobody", "../aaa", "AAA"])
async def test_a_name_of_no_avatar_is_said_before_anything_starts(
    tmp_path: Path, no_built_in_avatars: None, caplog: pytest.LogCaptureFixture, wanted: str
) -> None:
    store = make_store(tmp_path, {"aaa": 60})
    settings = Settings(store=store.root, picture_workers=0, avatar=wanted)
    with pytest.raises(SettingsError, match=r"there is no such avatar; there are aaa$"):
        await Sessions(settings, worker_settings(store, "FakePredictor")).start()
    (tmp_path / "secret").write_text("s" * 40)
    worker = replace(settings, cluster_secret_file=tmp_path / "secret")
    sessions = Sessions(worker, worker_settings(store, "FakePredictor"))
    try:
        await sessions.start()
        assert "until another worker of the cluster gives it" in caplog.text
    finally:
        await sessions.close()

"""Lists and pictures of avatars from memory."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from lipstream.avatar_cache.store import AvatarStore
from lipstream.realtime.api.app import create_app
from lipstream.realtime.errors import AvatarError, NotFoundError, UnavailableError
from lipstream.realtime.server import avatar_catalog
from lipstream.realtime.server.avatar_catalog import MOST_WAITING, AvatarCatalog
from lipstream.realtime.server.sessions import Sessions
from lipstream.realtime.settings import Settings
from tests.realtime.fakes import make_store, write_avatar


class CountingStore(AvatarStore):
    """Counts the clips that are decoded; ``gate`` holds them."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.decoded: list[str] = []
        self.gate = threading.Event()
        self.gate.set()

    def preview(self, avatar_id: str) -> bytes:
        self.decoded.append(avatar_id)
        assert self.gate.wait(60)
        return super().preview(avatar_id)


@pytest.fixture
def store(tmp_path: Path, no_built_in_avatars: None) -> CountingStore:
    return CountingStore(make_store(tmp_path, {"ann": 60, "bob": 120}).root)


@pytest.fixture
async def catalog(store: CountingStore) -> AsyncIterator[AvatarCatalog]:
    catalog = AvatarCatalog(store)
    yield catalog
    store.gate.set()
    catalog.close()


async def test_a_clip_is_decoded_once_for_all_who_ask(store: CountingStore, catalog: AvatarCatalog) -> None:
    made = await asyncio.gather(*(catalog.preview("ann") for _ in range(200)))
    assert store.decoded == ["ann"]
    assert len({preview.tag for preview in made}) == 1
    assert made[0].jpeg[:2] == b"\xff\xd8"
    assert (await catalog.preview("bob")).tag != made[0].tag


async def test_pictures_are_made_at_the_start(store: CountingStore, catalog: AvatarCatalog) -> None:
    store.clip_path("bob").write_bytes(b"nothing")
    await catalog.prepare()
    assert store.decoded == ["ann", "bob"]
    assert (await catalog.preview("ann")).jpeg
    assert store.decoded == ["ann", "bob"]


async def test_another_clip_under_the_same_id_is_decoded_again(
    store: CountingStore, catalog: AvatarCatalog, tmp_path: Path
) -> None:
    before = await catalog.preview("ann")
    store.build(write_avatar(tmp_path / "new", "ann", shade=200), "ann")
    assert (await catalog.preview("ann")).tag != before.tag
    store.remove("ann")
    with pytest.raises(NotFoundError):
        await catalog.preview("ann")


async def test_a_clip_that_cannot_be_read_is_tried_once(store: CountingStore, catalog: AvatarCatalog) -> None:
    store.clip_path("ann").write_bytes(b"nothing")
    for _ in range(3):
        with pytest.raises(AvatarError):
            await catalog.preview("ann")
    assert store.decoded == ["ann"]


async def test_only_so_many_clips_wait(
    store: CountingStore, catalog: AvatarCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = store.clip_path("ann")
    monkeypatch.setattr(store, "clip_path", lambda _: ann)
    monkeypatch.setattr(AvatarStore, "preview", lambda _, avatar_id: avatar_id.encode())
    store.gate.clear()
    waiting = [asyncio.create_task(catalog.preview(f"a{n}")) for n in range(MOST_WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(UnavailableError) as refused:
        await catalog.preview("one-more")
    assert refused.value.reason == "busy"
    store.gate.set()
    assert [preview.jpeg for preview in await asyncio.gather(*waiting)] == [b"a%d" % n for n in range(MOST_WAITING)]


async def test_pictures_in_memory_are_bounded(
    store: CountingStore, catalog: AvatarCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = len((await catalog.preview("ann")).jpeg)
    monkeypatch.setattr(avatar_catalog, "MOST_PREVIEW_BYTES", size + 10)
    await catalog.preview("bob")
    assert list(catalog._previews) == ["bob"]
    await catalog.preview("ann")
    assert store.decoded == ["ann", "bob", "ann"]


async def test_manifests_are_read_when_they_change(
    store: CountingStore, catalog: AvatarCatalog, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(avatar_catalog, "FRESH_S", 0.0)
    first = await catalog.all()
    assert list(first) == ["ann", "bob"]
    assert (await catalog.all())["ann"] is first["ann"]
    path = store.manifest_path(store.root / "avatars" / "ann")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"name": "Another name"}))
    assert (await catalog.get("ann")).manifest.name == "Another name"
    path.write_text("damaged")
    assert list(await catalog.all()) == ["bob"]
    with pytest.raises(AvatarError):
        await catalog.get("ann")
    with pytest.raises(NotFoundError):
        await catalog.get("eve")


async def test_a_browser_that_has_the_answer_is_told_so(store: CountingStore) -> None:
    app = create_app(Sessions(Settings(store=store.root, picture_workers=0)))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client,
    ):
        for path in ("/api/avatars", "/api/avatars/ann/preview"):
            answer = await client.get(path)
            assert answer.headers["cache-control"] == "private, no-cache"
            tag = answer.headers["etag"]
            for known in (tag, f'"x", W/{tag}', "*"):
                same = await client.get(path, headers={"If-None-Match": known})
                assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
            assert (await client.get(path, headers={"If-None-Match": '"x"'})).status_code == 200


async def test_a_built_in_person_has_forms_until_they_are_filmed(tmp_path: Path) -> None:
    store = make_store(tmp_path, {"mira-1024": 60})
    catalog = AvatarCatalog(store)
    listed = await catalog.all()
    assert listed["mira"].forms == ("mira-green", "mira-lively", "mira-portrait")
    assert listed["mira-1024"].forms == ()
    assert "mira-green" not in listed
    assert (await catalog.get("mira-green")).manifest.size == (512, 512), "but its facts are known"
    assert (await catalog.preview("mira-green")).jpeg[:2] == b"\xff\xd8"
    catalog.close()


async def test_the_list_names_the_forms(tmp_path: Path) -> None:
    app = create_app(Sessions(Settings(store=tmp_path), None))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
        people = {person["id"]: person for person in (await client.get("/api/avatars")).json()}
    assert people["ben"]["forms"] == ["ben-1024", "ben-green", "ben-lively", "ben-portrait"]
    assert "forms" not in people["ada-green"]

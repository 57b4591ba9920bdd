"""Clips that are added to an avatar by HTTP, and taken away again."""

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from lipstream.avatar_cache.store import AvatarStore
from lipstream.realtime.lipsync.metadata import BUILT_IN_WEIGHTS
from lipstream.realtime.server.sessions import Sessions
from lipstream.realtime.settings import Settings
from tests.avatar_cache.clips import write_clip
from tests.avatar_cache.filmed import film
from tests.realtime.api.avatar_uploads import left_over, told
from tests.realtime.fakes import worker_settings

pytestmark = pytest.mark.timeout(600)  # films are built, on whatever cores there are
URL = "/api/avatars/me/motions"


@pytest.fixture
async def films(tmp_path: Path) -> dict[str, Path]:
    return film(tmp_path, idle=30, speaking=2, greet=16)


@pytest.fixture
async def sessions(films: dict[str, Path], tmp_path: Path) -> Sessions:
    store = AvatarStore(tmp_path / "store")
    store.build(films["idle"], "me")
    settings = Settings(store=store.root, max_sessions=2, upload_mb=3, picture_workers=0, avatar="me")
    worker = worker_settings(store, "FakePredictor")
    return Sessions(settings, dataclasses.replace(worker, weights=BUILT_IN_WEIGHTS))


async def test_a_motion_is_added_to_an_avatar_and_taken_away(
    client: httpx.AsyncClient, sessions: Sessions, films: dict[str, Path], tmp_path: Path
) -> None:
    async def motions() -> list[str]:
        names: list[str] = (await client.get("/api/avatars/me")).json()["motions"]
        return names

    async def send(path: Path, name: str) -> dict[str, Any]:
        answer = await client.post(
            URL, files={"file": ("film.mp4", await asyncio.to_thread(path.read_bytes))}, data={"name": name}
        )
        assert (answer.status_code, answer.json()) == (202, {"id": "me"})
        return (await told(client, "me"))[-1]

    assert (await send(films["greet"], "greet"))["state"] == "ready"
    assert await motions() == ["greet"]
    session, _ = await sessions.create("me", None)
    assert session.motions.names == ("greet",), "the next session shows it"
    shown = await client.post(URL, files={"file": ("film.mp4", b"x")}, data={"name": "nod"})
    assert (shown.status_code, shown.json()["error"]["message"]) == (409, "the avatar 'me' is being shown")
    assert (await client.delete(f"{URL}/greet")).status_code == 409
    await sessions.delete(session.id)

    grey = write_clip(tmp_path / "grey.mp4", [np.full((256, 256, 3), 90, np.uint8)] * 5)
    refused = await send(grey, "nod")
    assert refused["state"] == "failed"
    assert "face" in refused["message"]
    assert await motions() == ["greet"], "the avatar is what it was"
    listed = {item["id"]: item for item in (await client.get("/api/avatars")).json()}
    assert listed["me"] == {"id": "me", "name": "Me", "state": "ready", "own": True}
    assert left_over(sessions) == []

    assert (await client.delete(f"{URL}/greet")).status_code == 202
    assert (await told(client, "me"))[-1]["state"] == "ready"
    assert await motions() == []


REQUESTS: list[tuple[int, str, dict[str, Any]]] = [
    (413, URL, {"files": {"file": ("a.mp4", b"x" * ((3 << 20) + 200_000))}, "data": {"name": "nod"}}),
    (400, URL, {"files": {"file": ("a.mp4", b"x")}, "data": {"name": "Wave!"}}),
    (400, URL, {"files": {"file": ("a.mp4", b"x")}, "data": {"name": "idle"}}),
    (400, URL, {"files": {"file": ("a.mp4", b"x")}}),
    (400, URL, {"files": {"file": ("a.mp4", b"x")}, "data": {"name": "nod", "face": "0"}}),
    (400, URL, {"files": {"other": ("a.mp4", b"x")}, "data": {"name": "nod"}}),
    (415, URL, {"json": {"name": "nod"}}),
    (409, "/api/avatars/ada/motions", {"files": {"file": ("a.mp4", b"x")}, "data": {"name": "nod"}}),
    (404, "/api/avatars/nobody/motions", {"files": {"file": ("a.mp4", b"x")}, "data": {"name": "nod"}}),
]


async def test_what_is_no_motion_is_refused_in_one_sentence(client: httpx.AsyncClient, sessions: Sessions) -> None:
    for status, url, request in REQUESTS:
        answer = await client.post(url, **request)
        assert answer.status_code == status, answer.text
        assert answer.json()["error"]["message"]
        assert left_over(sessions) == []
    assert (await client.delete(f"{URL}/greet")).status_code == 404

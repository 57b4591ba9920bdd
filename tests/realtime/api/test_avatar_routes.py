"""Avatars by HTTP: uploads as they come from browsers and from people who mean harm, progress, removal."""

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import httpx
import pytest

from lipstream.realtime.lipsync.metadata import BUILT_IN_WEIGHTS
from lipstream.realtime.server.sessions import Sessions
from lipstream.realtime.settings import Settings
from tests.realtime.api.avatar_uploads import left_over, told
from tests.realtime.fakes import make_store, worker_settings

PORTRAIT = Path(__file__).parents[2] / "avatar_cache" / "astronaut.jpg"
URL = "/api/avatars"


@pytest.fixture
async def sessions(tmp_path: Path) -> Sessions:
    store = make_store(tmp_path / "store", {"ann": 60})
    settings = Settings(store=store.root, max_sessions=2, upload_mb=1, picture_workers=0)
    worker = worker_settings(store, "FakePredictor")
    return Sessions(settings, dataclasses.replace(worker, weights=BUILT_IN_WEIGHTS))


async def upload(client: httpx.AsyncClient, content: bytes, name: str = "me.jpg", **fields: str) -> httpx.Response:
    return await client.post(URL, files={"file": (name, content)}, data=fields)


async def test_a_portrait_becomes_an_avatar_that_a_session_can_show(
    client: httpx.AsyncClient, sessions: Sessions
) -> None:
    about = {"name": "Eileen", "licence": "public domain", "consent": "hers, to NASA"}
    files = {"file": ("me.jpg", PORTRAIT.read_bytes()), "eyes_shut": ("shut.jpg", PORTRAIT.read_bytes())}
    accepted = await client.post(URL, files=files, data={"id": "eileen", "rest": "closed", **about})
    assert accepted.status_code == 202
    assert accepted.json() == {"id": "eileen"}
    assert accepted.headers["location"] == f"{URL}/eileen"
    assert {"id": "eileen", "name": "eileen", "state": "building", "own": True} in (await client.get(URL)).json()
    assert (await upload(client, b"", id="eileen")).status_code == 409

    steps = await told(client, "eileen")
    assert steps[-1] == {"id": "eileen", "state": "ready", "progress": 1.0, "message": None}
    shares = [step["progress"] for step in steps]
    assert shares == sorted(shares)
    assert len(shares) > 3

    facts = (await client.get(f"{URL}/eileen")).json()
    assert facts["state"] == "ready"
    assert {name: facts[name] for name in about} == about
    assert any("--rest closed" in note for note in facts["report"]["notes"])
    assert sessions.store.load("eileen").manifest.rest == "closed"
    assert (await client.get(f"{URL}/eileen/preview")).headers["content-type"] == "image/jpeg"
    assert left_over(sessions) == []

    session, _ = await sessions.create("ann", None)
    await sessions.switch(session.id, "eileen")
    shown = await client.delete(f"{URL}/eileen")
    assert (shown.status_code, shown.json()["error"]["message"]) == (409, "the avatar 'eileen' is being shown")
    await sessions.switch(session.id, "ann")
    assert (await client.delete(f"{URL}/eileen")).status_code == 204
    assert (await client.delete(f"{URL}/eileen")).status_code == 404
    assert [avatar["id"] for avatar in (await client.get(URL)).json() if avatar["own"]] == ["ann"]


REQUESTS: list[tuple[int, dict[str, Any]]] = [
    (413, {"files": {"file": ("a.jpg", b"x" * (1 << 20) + b"x" * 200_000)}}),
    (400, {"files": {"file": ("a.jpg", b"x")}, "data": {"id": "../up"}}),
    (400, {"files": {"file": ("a.jpg", b"x")}, "data": {"face": "two"}}),
    (400, {"files": {"file": ("a.jpg", b"x")}, "data": {"face": "0"}}),
    (409, {"files": {"file": ("a.jpg", b"x")}, "data": {"id": "ann"}}),
    (400, {"files": {"other": ("a.jpg", b"x")}}),
    (400, {"files": [("file", ("a.jpg", b"x")), ("file", ("b.jpg", b"x"))]}),
    (400, {"files": [("eyes_shut", ("a.jpg", b"x")), ("eyes_shut", ("b.jpg", b"x"))]}),
    (413, {"files": {"file": ("a.jpg", b"x"), "eyes_shut": ("b.jpg", b"x" * (1 << 20) + b"x" * 200_000)}}),
    (400, {"files": {"file": ("a.jpg", b"x")}, "data": {"rest": "smile"}}),
    (415, {"json": {"file": "a.jpg"}}),
    (400, {"content": b"no form", "headers": {"content-type": "multipart/form-data; boundary=x"}}),
    (400, {"content": b"no form", "headers": {"content-type": "multipart/form-data"}}),
]


async def test_a_request_that_makes_no_sense_is_told_so(client: httpx.AsyncClient, sessions: Sessions) -> None:
    for status, request in REQUESTS:
        answer = await client.post(URL, **request)
        assert answer.status_code == status, answer.text
        assert answer.json()["error"]["message"]
        assert left_over(sessions) == []


async def test_a_build_can_be_called_off_and_too_many_have_to_wait(
    client: httpx.AsyncClient, sessions: Sessions
) -> None:
    for number in range(4):
        assert (await upload(client, PORTRAIT.read_bytes(), id=f"b{number}")).status_code == 202
    full = await upload(client, PORTRAIT.read_bytes(), id="b4")
    assert (full.status_code, full.json()["error"]["reason"]) == (503, "full")
    listening = asyncio.create_task(told(client, "b0"))
    await asyncio.sleep(0.5)
    for number in range(4):
        assert (await client.delete(f"{URL}/b{number}")).status_code == 204
    assert all(step["state"] == "building" for step in await listening)
    assert left_over(sessions) == []
    assert [avatar["id"] for avatar in (await client.get(URL)).json() if avatar["own"]] == ["ann"]


async def test_built_in_avatars_stay(client: httpx.AsyncClient) -> None:
    answer = await client.delete(f"{URL}/ada")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")
    assert (await client.delete(f"{URL}/unknown")).status_code == 404
    assert (await client.get(f"{URL}/unknown/events")).status_code == 404
    assert (await told(client, "ada"))[-1]["state"] == "ready"

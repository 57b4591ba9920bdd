"""Avatars by HTTP: uploads as they come from browsers and from people who mean harm, progress, removal."""

import asyncio
import dataclasses
import io
import json
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest

from realtime.app import create_app
from realtime.lipsync.metadata import BUILT_IN_WEIGHTS
from realtime.sessions import Sessions
from realtime.settings import Settings
from tests.realtime.fakes import make_store, worker_settings

PORTRAIT = Path(__file__).parent.parent / "avatar_cache" / "astronaut.jpg"
URL = "/api/avatars"


@pytest.fixture
async def sessions(tmp_path: Path) -> Sessions:
    store = make_store(tmp_path / "store", {"ann": 60})
    settings = Settings(store=store.root, max_sessions=2, upload_mb=1, picture_workers=0)
    worker = worker_settings(store, "FakePredictor")
    return Sessions(settings, dataclasses.replace(worker, weights=BUILT_IN_WEIGHTS))


@pytest.fixture
async def client(sessions: Sessions) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(sessions)
    async with app.router.lifespan_context(app):
        await sessions.start()
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080", timeout=120) as client:
            yield client


async def upload(client: httpx.AsyncClient, content: bytes, name: str = "me.jpg", **fields: str) -> httpx.Response:
    return await client.post(URL, files={"file": (name, content)}, data=fields)


async def told(client: httpx.AsyncClient, avatar_id: str) -> list[dict[str, object]]:
    text = (await client.get(f"{URL}/{avatar_id}/events")).text
    return [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: ")]


def left_over(sessions: Sessions) -> list[str]:
    root = sessions.store.root
    return [str(path) for path in (*root.glob("uploads/*"), *root.glob("avatars/.build-*"))]


async def test_a_portrait_becomes_an_avatar_that_a_session_can_show(
    client: httpx.AsyncClient, sessions: Sessions
) -> None:
    about = {"name": "Eileen", "licence": "public domain", "consent": "hers, to NASA"}
    accepted = await upload(client, PORTRAIT.read_bytes(), id="eileen", **about)
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
    assert facts["report"]
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


def _noise(size: int) -> bytes:
    return np.random.default_rng(0).bytes(size)


def _zip() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("../../evil.py", "boom")
    return packed.getvalue()


_HUGE_PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (60000).to_bytes(4, "big") * 2 + b"\x08\2\0\0\0" + _noise(99)
_PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://192.0.2.1/a.ts\n#EXT-X-ENDLIST\n"
_CONCAT = b"ffconcat version 1.0\nfile '/etc/passwd'\n"
_SDP = b"v=0\no=- 0 0 IN IP4 192.0.2.1\ns=x\nc=IN IP4 192.0.2.1\nt=0 0\nm=video 9 RTP/AVP 96\na=rtpmap:96 H264/90000\n"
_SVG = b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'><image href='file:///etc/passwd'/></svg>"
HOSTILE = {
    "nothing": ("a.mp4", b""),
    "a text": ("a.mp4", b"hello " * 99),
    "noise": ("a.mp4", _noise(5000)),
    "a header alone": ("a.mp4", b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41"),
    "a huge picture": ("a.png", _HUGE_PNG),
    "a playlist": ("a.m3u8", _PLAYLIST),
    "a playlist called mp4": ("a.mp4", _PLAYLIST),
    "a list of files": ("a.ffconcat", _CONCAT),
    "a session description": ("a.sdp", _SDP),
    "a drawing": ("a.svg", _SVG),
    "an archive": ("a.zip", _zip()),
    "a pickle": ("a.pkl", b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R."),
    "a portrait cut short": ("a.jpg", PORTRAIT.read_bytes()[:900]),
    "a wall": ("a.png", cv2.imencode(".png", np.full((300, 300, 3), 90, np.uint8))[1].tobytes()),
}


async def test_what_cannot_become_an_avatar_fails_with_one_sentence_and_leaves_nothing(
    client: httpx.AsyncClient, sessions: Sessions
) -> None:
    for kind, (name, content) in HOSTILE.items():
        answer = await upload(client, content, f"../../{name}", id="bad")
        assert answer.status_code == 202, kind
        over = (await told(client, "bad"))[-1]
        assert over["state"] == "failed", kind
        assert over["message"], kind
        assert "Traceback" not in str(over["message"]), kind
        assert (await client.get(f"{URL}/bad")).json() == over
        assert left_over(sessions) == []
        assert not [avatar for avatar in sessions.store.list() if avatar.id == "bad"]
        assert (await client.delete(f"{URL}/bad")).status_code == 204
        assert (await client.get(f"{URL}/bad")).status_code == 404


REQUESTS: list[tuple[int, dict[str, Any]]] = [
    (413, {"files": {"file": ("a.jpg", b"x" * (1 << 20) + b"x" * 200_000)}}),
    (400, {"files": {"file": ("a.jpg", b"x")}, "data": {"id": "../up"}}),
    (400, {"files": {"file": ("a.jpg", b"x")}, "data": {"face": "two"}}),
    (400, {"files": {"file": ("a.jpg", b"x")}, "data": {"face": "0"}}),
    (409, {"files": {"file": ("a.jpg", b"x")}, "data": {"id": "ann"}}),
    (400, {"files": {"other": ("a.jpg", b"x")}}),
    (400, {"files": [("file", ("a.jpg", b"x")), ("file", ("b.jpg", b"x"))]}),
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
    assert (await client.delete(f"{URL}/nobody")).status_code == 404
    assert (await client.get(f"{URL}/nobody/events")).status_code == 404
    assert (await told(client, "ada"))[-1]["state"] == "ready"

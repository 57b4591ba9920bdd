"""``/openapi.json`` says what comes back: a client that believes it talks to every route."""

import asyncio
import struct
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from jsonschema import ValidationError

from lipstream.realtime.api.app import create_app
from lipstream.realtime.api.openapi import openapi_of
from lipstream.realtime.api.whip_whep_routes import FRAGMENT, SDP
from lipstream.realtime.server.sessions import Sessions
from lipstream.realtime.settings import Settings
from lipstream.realtime.synthesis.synthesizer import SpokenPcm
from tests.realtime.api.checked_client import EMPTY, CheckedTransport, operations
from tests.realtime.api.whip_whep_routes.asking import fragment_of
from tests.realtime.fakes import add_motions, make_store, worker_settings
from tests.realtime.rooms import fake_livekit
from tests.realtime.rtc.loopback import Client


class Hum:
    """Speaks each sentence as a second of sound."""

    async def speak(self, text: str) -> AsyncGenerator[SpokenPcm]:
        yield SpokenPcm(16_000, struct.pack("<h", len(text)) * 16_000)

    async def close(self) -> None:
        """Nothing to close."""


@pytest.fixture
def description(tmp_path: Path, no_built_in_avatars: None) -> dict[str, Any]:
    store = make_store(tmp_path, {"ann": 60})
    return openapi_of(create_app(Sessions(Settings(store=store.root), worker_settings(store, "FakePredictor"))))


@pytest.fixture
async def app(tmp_path: Path, no_built_in_avatars: None, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FastAPI]:
    store = make_store(tmp_path, {"ann": 60, "bob": 90})
    add_motions(store, "ann")
    (tmp_path / "keys").write_text("an API key of fair length")
    settings = Settings(
        store=store.root,
        max_sessions=3,
        picture_workers=0,
        secret_file=tmp_path / "keys",
        push_to=("127.0.0.1",),
        ice_servers=({"urls": "stun:127.0.0.1:9"}, {"urls": ["turn:a.example"], "username": "u", "credential": "c"}),
    )
    sessions = Sessions(settings, worker_settings(store, "FakePredictor"))
    monkeypatch.setattr(sessions.factory, "synthesizer", Hum())
    app = create_app(sessions)
    app.state.authorization._limits = lambda _: False
    async with app.router.lifespan_context(app):
        await sessions.start()
        yield app


@pytest.fixture
def transport(app: FastAPI) -> CheckedTransport:
    return CheckedTransport(openapi_of(app), httpx.ASGITransport(app))


@pytest.fixture
async def client(transport: CheckedTransport) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": "Bearer an API key of fair length"}
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080", headers=headers) as client:
        yield client


@pytest.fixture
async def peers() -> AsyncIterator[list[Client]]:
    peers = [Client(), Client(microphone=False), Client(video="sendonly")]
    yield peers
    for peer in peers:
        await peer.close()


async def _take_session(client: httpx.AsyncClient, peers: list[Client]) -> None:
    """Use each route of one session, with a speaking peer, and of a viewer of it."""
    offer = {"sdp": await peers[0].offer(), "type": "offer"}
    path = (await client.post("/api/sessions", json={"avatar": "ann", "offer": offer})).json()["urls"]["self"]
    await client.post(f"{path}/peer", json=offer)
    for route in ("", "/connectivity", "/notices"):
        await client.get(path + route)
    await client.post(f"{path}/say", json={"text": "A short text."})
    await client.post(f"{path}/motion", json={"name": "greet"})
    await client.post(f"{path}/script", json={"lines": ["A line."]})
    await client.get(f"{path}/script")
    await client.delete(f"{path}/script")
    await client.post(f"{path}/interrupt")
    await client.patch(path, json={"avatar": "bob"})
    await client.patch(path, json={"articulation": 1.3})
    for ask in (client.post, client.get, client.delete):
        recorded = await ask(f"{path}/recording")
    for route in ("", f"/{recorded.json()['file']}", f"/{recorded.json()['transcript']}"):
        await client.get(f"/api/recordings{route}")
    await client.delete(f"/api/recordings/{recorded.json()['file'].removesuffix('.mp4')}")
    stream = await client.post(f"{path}/streams", json={"url": "rtmp://127.0.0.1:9/live/key"})
    await client.get(f"{path}/streams")
    await client.get(path)
    await client.delete(f"{path}/streams/{stream.json()['id']}")
    await client.get("/api/sessions")
    await _take_endpoint(client, f"{path}/whep", await peers[1].offer())
    await client.delete(path)


async def _take_endpoint(client: httpx.AsyncClient, endpoint: str, offer: str) -> None:
    """Use each route of WHEP or WHIP."""
    assert (await client.get(endpoint)).status_code == 204
    if endpoint.endswith("whep"):
        await client.head(endpoint)
    created = await client.post(endpoint, content=offer, headers={"Content-Type": SDP})
    resource, tag = created.headers["location"], created.headers["etag"]
    await client.get(resource)
    kind = {"Content-Type": FRAGMENT}
    assert (await client.patch(resource, content=fragment_of(offer), headers=kind)).status_code == 428
    await client.patch(resource, content=fragment_of(offer), headers={**kind, "If-Match": '"other"'})
    await client.patch(resource, content=fragment_of(offer), headers={**kind, "If-Match": tag})
    await client.delete(resource)


async def _take_avatars(client: httpx.AsyncClient) -> None:
    """Use each route of avatars; the upload is no picture."""
    await client.get("/api/avatars/ann")
    await client.get("/api/avatars/ann/preview")
    taken = await client.post("/api/avatars", files={"file": ("me.jpg", b"no picture")}, data={"id": "me"})
    await client.get("/api/avatars")
    async with asyncio.timeout(60):
        await client.get(f"{taken.headers['location']}/events")
    assert (await client.get("/api/avatars/me")).json()["state"] == "failed"
    await client.post("/api/avatars/ann/motions", files={"file": ("nod.mp4", b"no clip")}, data={"name": "nod"})
    async with asyncio.timeout(60):
        await client.get("/api/avatars/ann/events")
    await client.delete("/api/avatars/ann/motions/greet")
    async with asyncio.timeout(60):
        await client.get("/api/avatars/ann/events")
    assert (await client.delete("/api/avatars/bob")).status_code == 204


async def test_each_route_answers_what_the_description_says(
    transport: CheckedTransport, client: httpx.AsyncClient, peers: list[Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in ("/healthz", "/readyz", "/metrics"):
        await client.get(path)
    token = (await client.post("/api/tokens", json={"kiosk": True})).json()["id"]
    await client.get("/api/tokens")
    await client.delete(f"/api/tokens/{token}")
    await _take_session(client, peers)
    await _take_endpoint(client, "/api/whip", await peers[2].offer())
    fake_livekit.install(monkeypatch)
    joined = await client.post("/api/rooms", json={"url": "ws://127.0.0.1:9", "token": "t", "agent": "agent"})
    await client.delete(joined.headers["location"])
    await _take_avatars(client)
    succeeded = {(method, path) for method, path, status in transport.answered if status < 300}
    assert operations(transport.description).keys() - succeeded == set()


REFUSED: list[tuple[int, str, str, dict[str, Any]]] = [
    (404, "GET", "/api/sessions/none", {}),
    (404, "GET", "/api/avatars/none", {}),
    (404, "GET", "SESSION/recording", {}),
    (404, "DELETE", "SESSION/streams/none", {}),
    (404, "DELETE", "/api/avatars/none", {}),
    (409, "DELETE", "/api/avatars/ann", {}),
    (400, "POST", "SESSION/say", {"json": {}}),
    (400, "POST", "SESSION/say", {"json": {"text": " "}}),
    (413, "POST", "SESSION/say", {"json": {"text": "x" * 20_000}}),
    (404, "POST", "SESSION/motion", {"json": {"name": "dance"}}),
    (400, "POST", "SESSION/motion", {"json": {}}),
    (400, "POST", "SESSION/streams", {"json": {"url": "ftp://a.example"}}),
    (400, "POST", "/api/sessions", {"json": {"avatar": 7}}),
    (409, "POST", "/api/sessions", {"json": {"local_audio": True}}),
    (409, "POST", "/api/rooms", {"json": {"url": "wss://a.example", "token": "t", "agent": "a"}}),
    (400, "POST", "/api/rooms", {"json": {"url": "wss://a.example", "token": "t", "agent": ""}}),
    (422, "POST", "/api/sessions", {"json": {"offer": {"sdp": "v=0", "type": "offer"}}}),
    (422, "POST", "SESSION/whep", {"content": "v=0", "headers": {"Content-Type": SDP}}),
    (415, "POST", "SESSION/whep", {"json": {}}),
    (415, "POST", "/api/avatars", {"json": {}}),
    (401, "GET", "SESSION", {"headers": {"Authorization": "Bearer another"}}),
    (403, "GET", "SESSION", {"headers": {"Host": "a.example"}}),
]


async def test_refusals_are_described_too(app: FastAPI, client: httpx.AsyncClient) -> None:
    sessions: Sessions = app.state.sessions
    session, _ = await sessions.create("ann", None)
    for status, method, path, more in REFUSED:
        url = path.replace("SESSION", f"/api/sessions/{session.id}")
        assert (await client.request(method, url, **more)).status_code == status, url
    sessions.drain()
    assert (await client.get("/readyz")).status_code == 503
    assert (await client.post("/api/sessions", json={})).status_code == 503


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx.Response(200, json={"status": "ok", "more": 1}), ValidationError),
        (httpx.Response(200, json={"status": "fine"}), ValidationError),
        (httpx.Response(200, text="ok"), AssertionError),
        (httpx.Response(418, json={"status": "ok"}), KeyError),
    ],
)
async def test_an_answer_that_is_not_described_is_found(
    description: dict[str, Any], answer: httpx.Response, error: type[Exception]
) -> None:
    checked = CheckedTransport(description, httpx.MockTransport(lambda _: answer))
    async with httpx.AsyncClient(transport=checked, base_url="http://127.0.0.1") as client:
        with pytest.raises(error):
            await client.get("/healthz")


def test_each_answer_has_a_schema(description: dict[str, Any]) -> None:
    missing = [
        (operation, status)
        for operation, described in operations(description).items()
        for status, answer in described["responses"].items()
        if status not in ("204", "304") and not (status == "200" and operation in EMPTY)
        if not answer.get("content") or not all(body["schema"] for body in answer["content"].values())
    ]
    assert missing == []


def test_each_field_of_an_answer_is_explained(description: dict[str, Any]) -> None:
    schemas = description["components"]["schemas"]
    unexplained = [
        f"{name}.{field}"
        for name, schema in schemas.items()
        for field, meaning in schema.get("properties", {}).items()
        if "description" not in meaning and "const" not in meaning and name not in {"ErrorAnswer", "HealthAnswer"}
    ]
    assert unexplained == []
    assert "Attributes:" not in str(schemas)

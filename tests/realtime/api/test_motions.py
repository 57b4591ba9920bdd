"""Motions by HTTP and by the WebSocket of a program, and who may ask for them."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from lipstream.realtime.api.app import create_app
from lipstream.realtime.server.sessions import Sessions
from lipstream.realtime.settings import Settings
from tests.realtime.fakes import add_motions, make_store, worker_settings

KEY = "an API key of fair length"


@pytest.fixture
async def client(tmp_path: Path, no_built_in_avatars: None) -> AsyncIterator[httpx.AsyncClient]:
    store = make_store(tmp_path, {"ann": 60, "bob": 120})
    add_motions(store, "ann")
    (tmp_path / "keys").write_text(KEY)
    settings = Settings(store=store.root, max_sessions=6, picture_workers=0, secret_file=tmp_path / "keys")
    sessions = Sessions(settings, worker_settings(store, "FakePredictor"))
    app = create_app(sessions)
    async with app.router.lifespan_context(app):
        await sessions.start()
        headers = {"Authorization": f"Bearer {KEY}"}
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080", headers=headers) as client:
            yield client


async def begin(client: httpx.AsyncClient, token: str = KEY, **more: Any) -> dict[str, Any]:
    answer = await client.post("/api/sessions", json=more, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 201, answer.text
    begun: dict[str, Any] = answer.json()
    return begun


async def test_motions_are_named_and_asked_for(client: httpx.AsyncClient) -> None:
    assert (await client.get("/api/avatars/ann")).json()["motions"] == ["greet", "nod"]
    assert (await client.get("/api/avatars/bob")).json()["motions"] == []
    begun = await begin(client, avatar="ann")
    assert begun["motions"] == ["greet", "nod"]
    path = begun["urls"]["self"]
    asked = await client.post(f"{path}/motion", json={"name": "nod"})
    assert (asked.status_code, asked.json()["sample"] % 640) == (200, 0)
    unknown = await client.post(f"{path}/motion", json={"name": "dance"})
    assert unknown.status_code == 404
    assert unknown.json()["error"]["message"] == "the avatar has no such motion: it has greet, nod"
    await client.patch(path, json={"avatar": "bob"})
    assert (await client.get(path)).json()["motions"] == []
    assert (await client.post(f"{path}/motion", json={"name": "nod"})).status_code == 404


@pytest.mark.parametrize("are_granted", [False, True])
async def test_a_guest_asks_for_motions_if_the_token_grants_them(
    client: httpx.AsyncClient, *, are_granted: bool
) -> None:
    signed = await client.post("/api/tokens", json={"motions": True} if are_granted else {})
    begun = await begin(client, signed.json()["token"], avatar="ann")
    assert begun["motions"] == (["greet", "nod"] if are_granted else [])
    owner = {"Authorization": f"Bearer {begun['token']}"}
    asked = await client.post(f"{begun['urls']['self']}/motion", json={"name": "greet"}, headers=owner)
    assert asked.status_code == (200 if are_granted else 403)
    (listed,) = (await client.get("/api/tokens")).json()
    assert listed["motions"] is are_granted

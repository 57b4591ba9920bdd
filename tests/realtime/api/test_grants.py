"""What keys and join tokens open: scopes, sessions at once, avatars, one use, revocation."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.requests import HTTPConnection

from lipstream.realtime.api.app import create_app
from lipstream.realtime.api.authorization import Authorization
from lipstream.realtime.errors import SettingsError
from lipstream.realtime.log_format import AUDIT
from lipstream.realtime.server.sessions import Sessions
from lipstream.realtime.settings import Settings
from tests.realtime.fakes import make_store, worker_settings

ADMIN = "the key of an operator"
KEYS = {scope: f"0123456789-{scope}" for scope in ("publish", "watch", "metrics", "record", "stream", "upload")}
WAIT_S = 60.0


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text("\n".join([ADMIN, *(f"{scope}er {scope} {key}" for scope, key in KEYS.items())]))
    path.chmod(0o600)
    return path


@pytest.fixture
async def app(tmp_path: Path, secret: Path, no_built_in_avatars: None) -> AsyncIterator[FastAPI]:
    store = make_store(tmp_path, {"ann": 60, "bob": 120})
    settings = Settings(store=store.root, max_sessions=8, picture_workers=0, secret_file=secret)
    sessions = Sessions(settings, worker_settings(store, "FakePredictor"))
    app = create_app(sessions)
    app.state.authorization._limits = lambda _: False  # these tests ask more often than one address may
    async with app.router.lifespan_context(app):
        await sessions.start()
        yield app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, client=("192.0.2.1", 4000))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
        yield client


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def sign(client: httpx.AsyncClient, **grants: Any) -> dict[str, Any]:
    answer = await client.post("/api/tokens", json=grants, headers=bearer(ADMIN))
    assert answer.status_code == 201, answer.text
    signed: dict[str, Any] = answer.json()
    return signed


async def begin(client: httpx.AsyncClient, token: str, **body: Any) -> httpx.Response:
    return await client.post("/api/sessions", json=body, headers=bearer(token))


def occupy(sessions: Sessions) -> None:
    """Give each session a client."""
    for session in sessions.all():
        session.listeners.add(lambda _: None)


def write(path: Path, text: str) -> None:
    path.write_text(text)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.01)


SCOPED = {
    ("GET", "/metrics"): "metrics",
    ("GET", "/api/sessions"): "watch",
    ("GET", "/api/sessions/{id}/whep"): "watch",
    ("GET", "/api/whip"): "publish",
    ("GET", "/api/sessions/{id}/recording"): "record",
    ("GET", "/api/recordings"): "record",
    ("GET", "/api/sessions/{id}/streams"): "stream",
    ("DELETE", "/api/avatars/nobody"): "upload",
    ("GET", "/api/tokens"): "admin",
    ("DELETE", "/api/tokens/t"): "admin",
    ("GET", "/openapi.json"): "admin",
    ("POST", "/api/rooms"): "admin",  # or a key that may publish and stream
    ("GET", "/api/sessions/{id}"): "admin",
    ("POST", "/api/sessions/{id}/interrupt"): "admin",
}


async def test_a_key_opens_what_its_scope_says(client: httpx.AsyncClient) -> None:
    session = (await begin(client, ADMIN)).json()["id"]
    for (method, path), scope in SCOPED.items():
        for name, key in {**KEYS, "admin": ADMIN}.items():
            answer = await client.request(method, path.replace("{id}", session), headers=bearer(key))
            assert (answer.status_code == 403) == (name not in (scope, "admin")), (method, path, name, answer.text)
    for key in KEYS.values():
        assert (await client.get("/api/avatars", headers=bearer(key))).status_code == 200
    refused = await client.get("/metrics", headers=bearer(KEYS["watch"]))
    assert refused.json()["error"]["message"] == "this needs an API key with the scope metrics, or admin"


async def test_a_key_that_publishes_uses_the_sessions_that_it_began(client: httpx.AsyncClient) -> None:
    assert (await begin(client, KEYS["watch"])).status_code == 403
    own, other = (await begin(client, KEYS["publish"])).json(), (await begin(client, ADMIN)).json()
    key = bearer(KEYS["publish"])
    assert (await client.get(own["urls"]["self"], headers=key)).status_code == 200
    assert (await client.get(other["urls"]["self"], headers=key)).status_code == 403
    assert (await client.delete(own["urls"]["self"], headers=key)).status_code == 204
    assert (await client.get(own["urls"]["self"], headers=key)).status_code == 403


async def test_whose_face_it_is_is_for_operators_alone(client: httpx.AsyncClient) -> None:
    guest = (await sign(client))["token"]
    assert "consent" not in (await client.get("/api/avatars/ann", headers=bearer(guest))).json()
    assert "consent" not in (await client.get("/api/avatars/ann", headers=bearer(KEYS["watch"]))).json()
    for key in (ADMIN, KEYS["upload"]):
        assert "consent" in (await client.get("/api/avatars/ann", headers=bearer(key))).json()


async def test_a_guest_has_one_session_at_a_time(app: FastAPI, client: httpx.AsyncClient) -> None:
    sessions: Sessions = app.state.sessions
    token = (await sign(client))["token"]
    assert (await begin(client, token, avatar="nobody")).status_code == 404
    first = (await begin(client, token)).json()
    occupy(sessions)
    refused = await begin(client, token)
    assert (refused.status_code, refused.json()["error"]["reason"]) == (503, "invitation_in_use")
    assert int(refused.headers["retry-after"]) > 0
    assert [session.id for session in sessions.all()] == [first["id"]]
    other = (await sign(client))["token"]
    assert (await begin(client, other)).status_code == 201
    left = sessions.get(first["id"])
    left.listeners.clear()
    await until(lambda: left.lost_s is not None or left.unclaimed)  # a tick notes that its client has gone
    second = await begin(client, token)
    assert second.status_code == 201
    assert first["id"] not in [session.id for session in sessions.all()]
    assert (await client.get(first["urls"]["self"], headers=bearer(first["token"]))).status_code == 401
    await client.delete(second.json()["urls"]["self"], headers=bearer(second.json()["token"]))
    assert (await begin(client, token)).status_code == 201


async def test_a_page_that_is_loaded_again_takes_its_own_place(app: FastAPI, client: httpx.AsyncClient) -> None:
    token = (await sign(client, kiosk=True))["token"]
    for _ in range(5):
        assert (await begin(client, token)).status_code == 201
        assert app.state.sessions.count == 1


async def test_a_token_may_hold_several_sessions(app: FastAPI, client: httpx.AsyncClient) -> None:
    token = (await sign(client, max_sessions=3))["token"]
    statuses = []
    for _ in range(4):
        statuses.append((await begin(client, token)).status_code)
        occupy(app.state.sessions)
    assert statuses == [201, 201, 201, 503]


async def test_a_token_for_one_call_begins_one(client: httpx.AsyncClient) -> None:
    token = (await sign(client, once=True))["token"]
    assert (await begin(client, token, avatar="nobody")).status_code == 404  # no session came of it
    made = (await begin(client, token)).json()
    await client.delete(made["urls"]["self"], headers=bearer(made["token"]))
    refused = await begin(client, token)
    assert refused.status_code == 403
    assert "one call" in refused.json()["error"]["message"]
    assert (await client.get("/api/avatars", headers=bearer(token))).status_code == 200


async def test_a_label_cannot_write_over_its_neighbours(client: httpx.AsyncClient) -> None:
    await sign(client, label="Eve\x1b[31m\u202e\nAdam")
    (listed,) = (await client.get("/api/tokens", headers=bearer(ADMIN))).json()
    assert listed["label"] == "Eve [31m Adam"


async def test_a_token_names_avatars_and_forbids_conversations(client: httpx.AsyncClient) -> None:
    token = (await sign(client, avatars=["bob"], conversation=False))["token"]
    listed = (await client.get("/api/avatars", headers=bearer(token))).json()
    assert [avatar["id"] for avatar in listed] == ["bob"]
    for route in ("", "/preview", "/events"):
        there = await client.get(f"/api/avatars/bob{route}", headers=bearer(token))
        hidden = await client.get(f"/api/avatars/ann{route}", headers=bearer(token))
        assert (there.status_code, hidden.status_code) == (200, 404), "other faces are not for this guest"
        assert hidden.json()["error"]["message"] == "there is no avatar 'ann'"
        assert (await client.get(f"/api/avatars/ann{route}", headers=bearer(ADMIN))).status_code == 200
    assert (await begin(client, token, avatar="ann")).status_code == 403
    assert (await begin(client, token, conversation=True)).status_code == 403
    made = (await begin(client, token)).json()
    session = (await client.get(made["urls"]["self"], headers=bearer(made["token"]))).json()
    assert session["avatar"] == "bob"
    switch = await client.patch(made["urls"]["self"], json={"avatar": "ann"}, headers=bearer(made["token"]))
    assert switch.status_code == 403


async def test_devices_of_the_server_need_a_key_or_a_token_that_names_them(client: httpx.AsyncClient) -> None:
    token = (await sign(client))["token"]
    assert (await begin(client, token, local_audio=True)).status_code == 403
    token = (await sign(client, kiosk=True, local_audio=True))["token"]
    answer = await begin(client, token, local_audio=True)
    assert (answer.status_code, "--local-microphone" in answer.text) == (409, True)  # this server has none


async def test_a_longest_call_is_the_shorter_of_the_servers_and_the_tokens(
    tmp_path: Path, secret: Path, no_built_in_avatars: None
) -> None:
    for server_minutes, token_minutes, longest_s in ((0.0, None, 0), (10.0, None, 600), (10.0, 5, 300), (5.0, 9, 300)):
        settings = Settings(store=tmp_path, secret_file=secret, max_session_minutes=server_minutes, idle_minutes=2.0)
        app = create_app(Sessions(settings))
        authorization: Authorization = app.state.authorization
        token, _ = authorization.tokens.invite(time.time(), max_minutes=token_minutes)
        headers = [(b"authorization", f"Bearer {token}".encode())]
        scope = {"type": "http", "headers": headers, "client": ("192.0.2.1", 1)}
        grant = authorization.grant(HTTPConnection(scope))
        assert (grant.longest_s, grant.idle_s) == (longest_s, 120)
        assert (grant.max_sessions, grant.address) == (1, "192.0.2.1")


async def test_a_revoked_token_opens_nothing_and_its_sessions_end(app: FastAPI, client: httpx.AsyncClient) -> None:
    sessions: Sessions = app.state.sessions
    signed, other = await sign(client, kiosk=True, label="hall", max_sessions=2), await sign(client)
    made = [(await begin(client, signed["token"])).json() for _ in range(2)]
    kept = (await begin(client, other["token"])).json()
    told: list[Any] = []
    sessions.get(made[0]["id"]).listeners.add(told.append)
    (listed,) = [
        one for one in (await client.get("/api/sessions", headers=bearer(ADMIN))).json() if one["id"] == kept["id"]
    ]
    assert (listed["token"], listed["key"]) == (other["id"], "")
    assert listed["since"] > 0
    assert listed["idle_s"] >= 0
    tokens = {one["id"]: one for one in (await client.get("/api/tokens", headers=bearer(ADMIN))).json()}
    assert (tokens[signed["id"]]["label"], tokens[signed["id"]]["sessions"]) == ("hall", 2)
    answer = await client.delete(f"/api/tokens/{signed['id']}", headers=bearer(ADMIN))
    assert answer.json() == {"sessions": 2}
    assert [session.id for session in sessions.all()] == [kept["id"]]
    assert told == [{"type": "ending", "reason": "revoked", "seconds": 0}]
    assert (await begin(client, signed["token"])).status_code == 401
    assert (await client.get("/api/avatars", headers=bearer(signed["token"]))).status_code == 401
    assert (await begin(client, other["token"])).status_code == 201
    tokens = {one["id"]: one for one in (await client.get("/api/tokens", headers=bearer(ADMIN))).json()}
    assert tokens[signed["id"]]["revoked"]
    again = create_app(Sessions(sessions.settings))  # a restart
    assert again.state.authorization.register.is_revoked(signed["id"])


async def test_sessions_that_last_too_long_end_by_themselves(app: FastAPI, client: httpx.AsyncClient) -> None:
    sessions: Sessions = app.state.sessions
    token = (await sign(client, max_minutes=0.01))["token"]
    made = (await begin(client, token)).json()
    told: list[Any] = []
    sessions.get(made["id"]).listeners.add(told.append)
    await until(lambda: not sessions.count)
    assert told[-1] == {"type": "ending", "reason": "longest_call", "seconds": 0}


async def test_keys_are_read_again(app: FastAPI, client: httpx.AsyncClient, secret: Path) -> None:
    authorization: Authorization = app.state.authorization
    token = (await sign(client))["token"]
    write(secret, "another key of an operator")
    authorization.reload(secret)
    assert (await client.get("/metrics", headers=bearer(ADMIN))).status_code == 401
    assert (await client.get("/metrics", headers=bearer("another key of an operator"))).status_code == 200
    assert (await begin(client, token)).status_code == 401
    write(secret, "short")
    with pytest.raises(SettingsError):
        authorization.reload(secret)
    assert (await client.get("/metrics", headers=bearer("another key of an operator"))).status_code == 200


async def test_who_did_what_is_in_the_audit_log(client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    signed = await sign(client, label="lobby")
    made = (await begin(client, signed["token"])).json()
    await client.delete(made["urls"]["self"], headers=bearer(made["token"]))
    await client.get("/metrics", headers=bearer("a key that nobody has"))
    await client.delete(f"/api/tokens/{signed['id']}", headers=bearer(ADMIN))
    lines = [json.loads(record.getMessage()) for record in caplog.records if record.name == AUDIT]
    actions = {line["audit"]: line for line in lines}
    assert list(actions) == [
        "token_signed", "session_began", "session_deleted", "session_ended", "token_refused", "token_revoked",
    ]  # fmt: skip
    assert (actions["token_signed"]["key"], actions["token_signed"]["signed"]) == ("key-1", signed["id"])
    assert (actions["session_began"]["token"], actions["session_began"]["address"]) == (signed["id"], "192.0.2.1")
    assert actions["session_ended"]["reason"] == "asked"
    text = "\n".join(record.getMessage() for record in caplog.records if record.levelno >= logging.INFO)
    for hidden in (ADMIN, signed["token"], made["token"], "nobody has", made["id"]):
        assert hidden not in text

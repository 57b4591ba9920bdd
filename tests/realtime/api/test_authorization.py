"""Permissions: every route of the router's own list, with every kind of token."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import Mount, WebSocketRoute

from lipstream.realtime.api.app import create_app
from lipstream.realtime.api.authorization import BURST
from lipstream.realtime.api.openapi import openapi_of
from lipstream.realtime.api.tokens import JOIN_TOKEN_S, KIOSK_TOKEN_S, Role, Tokens
from lipstream.realtime.errors import SettingsError
from lipstream.realtime.server.sessions import Sessions
from lipstream.realtime.settings import Settings
from tests.realtime.api.checked_client import operations
from tests.realtime.fakes import make_store, worker_settings

KEY = "the key of an operator"
OPEN = {
    ("GET", "/"),
    ("GET", "/kiosk"),
    ("GET", "/stage"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("OPTIONS", "/api/sessions/{session_id}/whep"),  # browsers ask these before they send a token
    ("OPTIONS", "/api/sessions/{session_id}/whep/{viewer_id}"),
    ("OPTIONS", "/api/whip"),
    ("OPTIONS", "/api/whip/{session_id}"),
}
RECORDING = "/api/sessions/{session_id}/recording"
STREAMS = "/api/sessions/{session_id}/streams"
OPERATORS = {("POST", RECORDING), ("GET", RECORDING), ("DELETE", RECORDING)}
OPERATORS |= {("POST", STREAMS), ("GET", STREAMS), ("DELETE", STREAMS + "/{stream_id}")}
NOTICES = "/api/sessions/{session_id}/notices"
WHEP = "/api/sessions/{session_id}/whep"
UNSIGNED = "eyJhbGciOiJub25lIn0.eyJleHAiOjk5OTk5OTk5OTl9."
"""A JSON Web Token of the algorithm "none" that expires in the year 2286."""
GUESTS = {
    ("GET", "/api/avatars"),
    ("GET", "/api/avatars/{avatar_id}"),
    ("GET", "/api/avatars/{avatar_id}/events"),
    ("GET", "/api/avatars/{avatar_id}/preview"),
    ("POST", "/api/sessions"),
}


@pytest.fixture
async def app(tmp_path: Path, no_built_in_avatars: None) -> AsyncIterator[FastAPI]:
    secret = tmp_path / "secret"
    secret.write_text(KEY)
    store = make_store(tmp_path, {"ann": 60})
    settings = Settings(store=store.root, max_sessions=2, picture_workers=0, secret_file=secret)
    sessions = Sessions(settings, worker_settings(store, "FakePredictor"))
    app = create_app(sessions)
    async with app.router.lifespan_context(app):
        await sessions.start()
        yield app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, client=("192.0.2.1", 4000))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
        yield client


def routes(app: FastAPI) -> list[tuple[str, str]]:
    every = [
        route
        for part in app.routes
        for route in (part.original_router.routes if hasattr(part, "original_router") else [part])
    ]
    others = [route.path for route in every if isinstance(route, WebSocketRoute | Mount)]
    assert others == ["/api/sessions/{session_id}/audio", "/static"]  # a WebSocket (tests/loopback), and files
    return sorted(
        (method, route.path) for route in every if isinstance(route, APIRoute) for method in route.methods or ()
    )


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


async def ask(client: httpx.AsyncClient, route: tuple[str, str], session: str, token: str) -> int:
    method, path = route
    url = (
        path.replace("{session_id}", session)
        .replace("{avatar_id}", "ann")
        .replace("{viewer_id}", "v")
        .replace("{stream_id}", "s")
        .replace("{file}", "f.mp4")
        .replace("{name}", "f")
    )
    client.headers.update({"Authorization": ""})
    body = {"avatar": "unknown"} if (method, path) == ("POST", "/api/sessions") else {}
    json = body if method in ("POST", "PATCH") else None
    return (await client.request(method, url, headers=bearer(token), json=json)).status_code


async def test_every_route_admits_whom_it_should_and_nobody_else(app: FastAPI, client: httpx.AsyncClient) -> None:
    authorization = app.state.authorization
    authorization._limits = lambda _: False  # the matrix asks more often than one address may
    sessions: Sessions = app.state.sessions
    (mine, _), (other, _) = await sessions.create("ann", None), await sessions.create("ann", None)
    join, expired = (
        authorization.tokens.join_token(time.time()),
        authorization.tokens.join_token(time.time() - JOIN_TOKEN_S),
    )
    forged = Tokens(["the key of somebody else"]).join_token(time.time())
    tokens = {
        "kiosk": authorization.tokens.join_token(time.time(), kiosk=True),
        "none": "", "expired": expired, "forged": forged, "nonsense": "x.y.z", "unsigned": UNSIGNED, "join": join,
        "other": other.token, "viewer": mine.viewer_token, "mine": mine.token, "key": KEY,
    }  # fmt: skip
    described = operations(openapi_of(app))
    opened_by = {
        "api_key": {"key"},
        "join_token": {"join", "kiosk"},
        "session_token": {"mine"},
        "viewer_token": {"viewer"},
    }
    listed = routes(app)
    assert len(listed) >= 13
    # Deleting ends what the others ask for: last.
    for route in sorted(listed, key=lambda route: (route[0] == "DELETE", -len(route[1]))):
        admitted = {"key"}
        if route in OPEN:
            admitted = set(tokens)
        elif route in GUESTS:
            admitted |= {"join", "kiosk"}
        elif route[1].startswith(WHEP) or route[1] == NOTICES:
            admitted |= {"mine", "viewer"}
        elif route[1].startswith("/api/sessions/{session_id}") and route not in OPERATORS:
            admitted |= {"mine"}
        if route in described and route not in OPEN:
            told = [opened_by[token] for alternative in described[route]["security"] for token in alternative]
            assert set().union(*told) == admitted, route
        for name, token in sorted(
            tokens.items(), key=lambda item: ("mine", "key").index(item[0]) + 1 if item[0] in ("mine", "key") else 0
        ):
            status = await ask(client, route, mine.id, token)
            assert (status not in (401, 403, 429)) == (name in admitted), (route, name, status)
    assert await ask(client, ("GET", "/api/sessions/{session_id}"), "no-such-session", other.token) == 401
    assert await ask(client, ("GET", "/api/sessions/{session_id}"), "no-such-session", KEY) == 404


async def test_a_refusal_says_how_to_ask(client: httpx.AsyncClient) -> None:
    refused = await client.get("/api/avatars")
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == "Bearer"
    assert refused.json()["error"]["code"] == "unauthorized"


async def test_a_guest_comes_in_by_an_operators_token_and_owns_one_session(client: httpx.AsyncClient) -> None:
    signed = (await client.post("/api/tokens", headers=bearer(KEY))).json()
    assert signed["expires_in"] <= 300
    assert (await client.get("/metrics", headers=bearer(signed["token"]))).status_code == 403
    created = (await client.post("/api/sessions", json={}, headers=bearer(signed["token"]))).json()
    own = bearer(created["token"])
    assert (await client.get(created["urls"]["self"], headers=own)).status_code == 200
    assert (await client.get(created["urls"]["self"], headers=bearer(signed["token"]))).status_code == 403
    assert (await client.delete(created["urls"]["self"], headers=own)).status_code == 204


async def test_a_kiosk_comes_back_for_a_year(app: FastAPI, client: httpx.AsyncClient) -> None:
    signed = (await client.post("/api/tokens", json={"kiosk": True}, headers=bearer(KEY))).json()
    assert signed["expires_in"] == KIOSK_TOKEN_S
    tokens: Tokens = app.state.authorization.tokens
    assert tokens.role_of(signed["token"], time.time() + KIOSK_TOKEN_S - 60) is Role.GUEST
    assert tokens.role_of(signed["token"], time.time() + KIOSK_TOKEN_S + 60) is Role.NOBODY
    body = {"conversation": True}
    created = await client.post("/api/sessions", json=body, headers=bearer(signed["token"]))
    assert app.state.sessions.get(created.json()["id"]).speech.conversation is not None


async def test_who_asks_too_often_waits_and_others_do_not(app: FastAPI, client: httpx.AsyncClient) -> None:
    token = bearer(app.state.authorization.tokens.join_token(time.time()))
    body = {"avatar": "unknown"}
    answers = [await client.post("/api/sessions", json=body, headers=token) for _ in range(BURST + 3)]
    assert [answer.status_code for answer in answers[:BURST]] == [404] * BURST
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert answers[-1].json()["error"]["code"] == "rate_limited"
    transport = httpx.ASGITransport(app, client=("192.0.2.2", 4000))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as neighbour:
        assert (await neighbour.post("/api/sessions", json=body, headers=token)).status_code == 404


async def test_who_guesses_tokens_is_slowed_down(client: httpx.AsyncClient) -> None:
    tried = [(await client.get("/metrics", headers=bearer(f"guess {n}"))).status_code for n in range(BURST + 2)]
    assert tried == [401] * BURST + [429] * 2
    assert (await client.get("/metrics", headers=bearer(KEY))).status_code == 200


def test_a_server_whose_secret_file_is_missing_does_not_start(tmp_path: Path) -> None:
    sessions = Sessions(Settings(store=tmp_path, secret_file=tmp_path / "missing"))
    with pytest.raises(SettingsError, match="cannot be read"):
        create_app(sessions)

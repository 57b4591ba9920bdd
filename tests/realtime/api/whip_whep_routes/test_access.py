"""Who may watch and publish: other sites' pages, holders of tokens, and how many."""

import httpx
import pytest

from lipstream.realtime.api.whip_whep_routes import SDP
from lipstream.realtime.errors import SettingsError
from lipstream.realtime.server.sessions import Sessions
from lipstream.realtime.session.session import Session
from lipstream.realtime.settings import read_settings
from tests.realtime.api.whip_whep_routes.asking import KEY, SITE, bearer, sdp, watch
from tests.realtime.api.whip_whep_routes.musts import must

pytestmark = pytest.mark.asyncio(loop_scope="module")


@must("4.2 options", "4.7 bearer")
async def test_pages_of_allowed_sites_may_and_others_may_not(
    client: httpx.AsyncClient, endpoint: tuple[str, str]
) -> None:
    path, offer = endpoint
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    for where in (path, "/api/sessions"):
        preflight = await client.options(where, headers={"Origin": SITE, **asks})
        assert preflight.is_success
        assert preflight.headers["access-control-allow-origin"] == SITE
        assert "POST" in preflight.headers["access-control-allow-methods"]
        assert {"authorization", "content-type", "if-match"} <= {
            name.strip().lower() for name in preflight.headers["access-control-allow-headers"].split(",")
        }
        assert "access-control-allow-credentials" not in preflight.headers
        assert "origin" in preflight.headers["vary"].lower()
        assert "default-src 'none'" in preflight.headers["content-security-policy"]
    made = await client.post(path, content=offer, headers=sdp() | {"Origin": SITE})
    assert made.status_code == 201
    assert made.headers["access-control-allow-origin"] == SITE
    assert "location" in made.headers["access-control-expose-headers"].lower()
    assert made.headers["vary"] == "Origin"
    refused = await client.post(path, content=offer, headers=sdp("wrong") | {"Origin": SITE})
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == SITE, "the page must be able to read why"
    for headers in ({"Content-Length": "x"}, {"Content-Length": str(1 << 20)}):
        unread = await client.post(path, content=offer, headers=sdp() | headers | {"Origin": SITE})
        assert unread.status_code in (400, 413)
        assert unread.headers["access-control-allow-origin"] == SITE
    own = await client.get("/api/avatars", headers=bearer(KEY, Origin="http://127.0.0.1:8080"))
    assert "access-control-allow-origin" not in own.headers
    assert own.headers["vary"] == "Origin", "a cache must not hand it to the page of a site"
    for origin in ("https://evil.example", "http://app.example", f"{SITE}.evil.example", "null"):
        answer = await client.post(path, content=offer, headers=sdp() | {"Origin": origin})
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers
        assert (await client.options(path, headers={"Origin": origin, **asks})).status_code == 403


@pytest.mark.parametrize("origin", ["app.example", "https://app.example/path", "*", "https://*.example"])
async def test_what_is_no_origin_is_not_allowed(origin: str) -> None:
    with pytest.raises(SettingsError, match="origin"):
        read_settings(["--allowed-origins", origin], {})


# Who may


@must("4.7 bearer")
async def test_a_viewer_token_opens_its_sessions_whep_and_nothing_else(
    client: httpx.AsyncClient, sessions: Sessions, session: Session, offers: dict[str, str]
) -> None:
    other, _ = await sessions.create("ann", None)
    made = await watch(client, session, offers["player"])
    assert made.status_code == 201
    token = bearer(session.viewer_token)
    here, elsewhere = f"/api/sessions/{session.id}/whep", f"/api/sessions/{other.id}/whep"
    player, publisher = offers["player"], offers["publisher"]
    viewer = sdp(session.viewer_token)
    assert (await client.post(elsewhere, content=player, headers=viewer)).status_code == 401
    assert (await client.post("/api/whip", content=publisher, headers=viewer)).status_code == 401
    assert (await client.get(f"/api/sessions/{session.id}", headers=token)).status_code == 401
    anonymous = await client.post(here, content=player, headers={"Content-Type": SDP})
    assert anonymous.status_code == 401
    assert anonymous.headers["www-authenticate"] == "Bearer"
    assert (await client.delete(made.headers["location"])).status_code == 401
    assert (await client.delete(made.headers["location"], headers=token)).status_code == 200


async def test_the_session_says_where_it_is_watched(client: httpx.AsyncClient, session: Session) -> None:
    created = (await client.post("/api/sessions", json={}, headers=bearer(KEY))).json()
    assert created["urls"]["whep"] == f"/api/sessions/{created['id']}/whep"
    listed = (await client.get("/api/sessions", headers=bearer(KEY))).json()
    assert {(s["id"], s["viewer_token"]) for s in listed} == {
        (session.id, session.viewer_token), (created["id"], created["viewer_token"])
    }  # fmt: skip


# How many, and for how long


async def test_more_viewers_than_may_be_are_told_to_come_later(
    client: httpx.AsyncClient, session: Session, offers: dict[str, str]
) -> None:
    first = await watch(client, session, offers["player"])
    await watch(client, session, offers["player"])
    refused = await watch(client, session, offers["player"])
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) > 0
    await client.delete(first.headers["location"], headers=bearer(KEY))
    assert (await watch(client, session, offers["player"])).status_code == 201


async def test_a_draining_server_takes_nobody_new(
    client: httpx.AsyncClient, sessions: Sessions, endpoint: tuple[str, str]
) -> None:
    sessions.drain()
    refused = await client.post(endpoint[0], content=endpoint[1], headers=sdp())
    assert refused.status_code == 503
    assert refused.json()["error"]["reason"] == "draining"
    assert int(refused.headers["retry-after"]) > 0


async def test_a_session_takes_its_viewers_along(
    client: httpx.AsyncClient, session: Session, offers: dict[str, str]
) -> None:
    made = await watch(client, session, offers["player"])
    assert (await client.delete(f"/api/sessions/{session.id}", headers=bearer(KEY))).status_code == 204
    assert (await client.get(made.headers["location"], headers=bearer(KEY))).status_code == 404
    assert session.viewers.count == 0


async def test_an_unknown_avatar_is_said_so(client: httpx.AsyncClient, offers: dict[str, str]) -> None:
    assert (await client.post("/api/whip?avatar=eve", content=offers["publisher"], headers=sdp())).status_code == 404

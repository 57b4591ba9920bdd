"""WHEP and WHIP over HTTP, one MUST after the other."""

import asyncio
import re
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from aiortc import RTCConfiguration, RTCPeerConnection

from realtime.app import create_app
from realtime.errors import SettingsError
from realtime.sdp_routes import FRAGMENT, SDP, ice_links
from realtime.session import Session
from realtime.sessions import Sessions
from realtime.settings import Settings, read_settings
from tests.realtime.fakes import make_store, worker_settings

KEY = "the key of an operator"
SITE = "https://app.example"
TURN = {"urls": ["turn:turn.example:3478", "turns:turn.example:5349"], "username": 'a"b', "credential": "c\\d"}


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sessions]:
    """One worker for all tests: it takes longer to start than they do."""
    folder = tmp_path_factory.mktemp("server")
    secret = folder / "secret"
    secret.write_text(KEY)
    store = make_store(folder, {"ann": 60})
    settings = Settings(
        store=store.root, max_sessions=2, picture_workers=0, max_viewers=2, secret_file=secret, allowed_origins=(SITE,)
    )
    sessions = Sessions(settings, worker_settings(store, "FakePredictor"))
    await sessions.start()
    yield sessions
    await sessions.close()


@pytest_asyncio.fixture(loop_scope="module")
async def sessions(server: Sessions) -> AsyncIterator[Sessions]:
    yield server
    server.draining = False
    for session in server.all():
        await server.delete(session.id)


@pytest_asyncio.fixture(loop_scope="module")
async def client(sessions: Sessions) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(sessions)
    app.state.guard._limited = False
    transport = httpx.ASGITransport(app, client=("192.0.2.1", 4000))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
        yield client


@pytest_asyncio.fixture(loop_scope="module")
async def session(sessions: Sessions) -> Session:
    session, _ = await sessions.create("ann", None)
    return session


@pytest.fixture(scope="module")
def offers() -> dict[str, str]:
    """Offers of a stock peer, by what they are for."""

    async def make() -> dict[str, str]:
        made = {}
        for name, kinds, direction in (
            ("player", ("audio", "video"), "recvonly"),
            ("duplex", ("audio", "video"), "sendrecv"),
            ("listener", ("audio",), "recvonly"),
            ("publisher", ("audio", "video"), "sendonly"),
            ("radio", ("audio",), "sendonly"),
            ("silent", ("video",), "sendonly"),
        ):
            peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
            for kind in kinds:
                peer.addTransceiver(kind, direction=direction)
            await peer.setLocalDescription(await peer.createOffer())
            made[name] = peer.localDescription.sdp
            await peer.close()
        return made

    return asyncio.run(make())


def bearer(token: str, **more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", **more}


def sdp(token: str = KEY) -> dict[str, str]:
    return bearer(token, **{"Content-Type": SDP})


def fragment_of(offer: str, *candidates: str) -> str:
    credentials = [line for line in offer.splitlines() if line.startswith(("a=ice-ufrag", "a=ice-pwd"))][:2]
    return "\r\n".join(
        ["a=group:BUNDLE 0 1", "m=audio 9 UDP/TLS/RTP/SAVPF 0", "a=mid:0", *credentials, *candidates, ""]
    )


async def watch(client: httpx.AsyncClient, session: Session, offer: str) -> httpx.Response:
    return await client.post(f"/api/sessions/{session.id}/whep", content=offer, headers=sdp(session.viewer_token))


# What both have in common


@pytest.fixture(params=["whep", "whip"])
def endpoint(request: pytest.FixtureRequest, session: Session, offers: dict[str, str]) -> tuple[str, str]:
    """Return an endpoint's path, and an offer that it takes."""
    if request.param == "whep":
        return f"/api/sessions/{session.id}/whep", offers["player"]
    return "/api/whip?avatar=ann", offers["publisher"]


async def test_an_offer_is_answered_with_a_resource(client: httpx.AsyncClient, endpoint: tuple[str, str]) -> None:
    path, offer = endpoint
    made = await client.post(path, content=offer, headers=sdp() | {"Content-Type": f"{SDP}; charset=utf-8"})
    assert made.status_code == 201
    assert made.headers["content-type"].partition(";")[0] == SDP
    assert re.fullmatch(r'"[0-9a-f]{16}"', made.headers["etag"])
    answer = made.text
    assert answer.startswith("v=0\r\n")
    assert "a=candidate:" in answer, "all of the server's, at once"
    assert answer.count("a=rtcp-mux\r\n") == answer.count("a=rtcp-mux-only\r\n") == 2
    assert "a=group:BUNDLE 0 1" in answer
    direction = "sendonly" if "whep" in path else "recvonly"
    assert answer.count(f"a={direction}\r\n") == 2
    there = made.headers["location"]
    assert (await client.get(there, headers=bearer(KEY))).status_code == 204
    gone = await client.delete(there, headers=bearer(KEY, **{"If-Match": '"other"'}))
    assert gone.status_code == 200, "DELETE ignores the tag"
    assert (await client.delete(there, headers=bearer(KEY))).status_code == 404
    headers = bearer(KEY, **{"Content-Type": FRAGMENT, "If-Match": "*"})
    assert (await client.patch(there, content="a=mid:0", headers=headers)).status_code == 404


async def test_what_is_no_offer_is_refused_and_leaves_nothing(
    client: httpx.AsyncClient, sessions: Sessions, endpoint: tuple[str, str], offers: dict[str, str]
) -> None:
    path, offer = endpoint
    count = sessions.count
    for content, kind, status in (
        (offer, "application/json", 415),
        (offer, "", 415),
        (b"\xff\xfe", SDP, 400),
        ("", SDP, 422),
        ("nonsense", SDP, 422),
        ("v=0\r\n" + 70_000 * "x", SDP, 413),
        (offer + "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:9\r\n", SDP, 422),
        (offer.replace("a=rtcp-mux\r\n", ""), SDP, 422),
        (offer.replace("a=recvonly", "a=inactive").replace("a=sendonly", "a=inactive"), SDP, 422),
        (offers["publisher" if "whep" in path else "player"], SDP, 422),
        (offer.replace("a=group:BUNDLE 0 1\r\n", ""), SDP, 422),
        (re.sub(r"a=rtpmap:\d+ [a-zA-Z0-9]+/", "a=rtpmap:77 x-none/", offer), SDP, 422),
    ):
        headers = bearer(KEY, **({"Content-Type": kind} if kind else {}))
        answer = await client.post(path, content=content, headers=headers)
        assert answer.status_code == status, (content[:60], answer.text)
        assert answer.json()["error"]["message"]
    assert sessions.count == count
    assert all(session.viewers.count == 0 for session in sessions.all())


async def test_two_way_offers_are_answered_one_way(
    client: httpx.AsyncClient, session: Session, offers: dict[str, str]
) -> None:
    answer = (await watch(client, session, offers["duplex"])).text
    assert answer.count("a=sendonly\r\n") == 2
    published = await client.post("/api/whip", content=offers["duplex"], headers=sdp())
    assert published.text.count("a=recvonly\r\n") == 2


async def test_sound_alone_will_do(client: httpx.AsyncClient, session: Session, offers: dict[str, str]) -> None:
    assert "m=video" not in (await watch(client, session, offers["listener"])).text
    lone = offers["listener"].replace("a=group:BUNDLE 0\r\n", "")
    assert (await watch(client, session, lone)).status_code == 201, "one section needs no bundle"
    assert (await client.post("/api/whip", content=offers["silent"], headers=sdp())).status_code == 422
    assert (await client.post("/api/whip", content=offers["radio"], headers=sdp())).status_code == 201


async def test_candidates_trickle_in_and_a_restart_is_refused(
    client: httpx.AsyncClient, endpoint: tuple[str, str], sessions: Sessions
) -> None:
    path, offer = endpoint
    made = await client.post(path, content=offer, headers=sdp())
    there, tag = made.headers["location"], made.headers["etag"]
    candidates = (
        "a=candidate:1 1 udp 2122260223 127.0.0.1 50000 typ host",
        "a=candidate:2 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active",
        "a=candidate:3 1 udp 2122260223 no-such-name.local 61764 typ host",
        "a=candidate:rubbish",
    )
    good = fragment_of(offer, *candidates)
    other = re.sub("a=ice-ufrag:.*", "a=ice-ufrag:else", good)

    async def patch(content: str | bytes, kind: str = FRAGMENT, **headers: str) -> httpx.Response:
        return await client.patch(there, content=content, headers=bearer(KEY, **{"Content-Type": kind}, **headers))

    for content, kind, match, status in (
        (good, SDP, tag, 415),
        (good, FRAGMENT, None, 428),
        (good, FRAGMENT, '"another"', 412),
        ("rubbish", FRAGMENT, tag, 400),
        ("", FRAGMENT, tag, 400),
        (b"\xff", FRAGMENT, tag, 400),
        ("a=mid:0", FRAGMENT, tag, 400),
        (good + 20_000 * "a", FRAGMENT, tag, 413),
        (other, FRAGMENT, "*", 422),
        (other, FRAGMENT, tag, 422),
        (good, FRAGMENT, tag, 204),
        (good, FRAGMENT, f'"another", {tag}', 204),
        (good + "a=end-of-candidates\r\n", FRAGMENT, "*", 204),
        (good, FRAGMENT, tag, 204),
    ):
        answer = await patch(content, kind, **({"If-Match": match} if match else {}))
        assert answer.status_code == status, (content[:80], match, answer.text)
        if status == 204:
            assert not answer.content
            assert "etag" not in answer.headers
    assert (await client.get(there, headers=bearer(KEY))).status_code == 204, "a refusal ends nothing"


async def test_candidates_without_end_are_cut(
    client: httpx.AsyncClient, session: Session, offers: dict[str, str]
) -> None:
    made = await watch(client, session, offers["player"])
    body = fragment_of(
        offers["player"], *(f"a=candidate:{n} 1 udp 1 127.0.0.1 {40_000 + n} typ host" for n in range(100))
    )
    for _ in range(3):
        headers = bearer(KEY, **{"Content-Type": FRAGMENT, "If-Match": made.headers["etag"]})
        assert (await client.patch(made.headers["location"], content=body, headers=headers)).status_code == 204
    (peer,) = session.viewers._peers.values()
    (transport,) = peer._connection._RTCPeerConnection__iceTransports
    assert len(transport.getRemoteCandidates()) <= 32 + offers["player"].count("a=candidate")


async def test_who_asks_before_sending_is_answered(client: httpx.AsyncClient, endpoint: tuple[str, str]) -> None:
    path, offer = endpoint
    plain = await client.options(path)
    assert plain.status_code == 200
    assert plain.headers["accept-post"] == SDP
    assert "access-control-allow-origin" not in plain.headers
    assert "link" not in plain.headers
    assert (await client.get(path, headers=bearer(KEY))).status_code == 204
    made = await client.post(path, content=offer, headers=sdp())
    there = await client.options(made.headers["location"])
    assert there.status_code == 200
    assert there.headers["accept-patch"] == FRAGMENT


async def test_head_says_what_can_be_posted(client: httpx.AsyncClient, session: Session) -> None:
    head = await client.head(f"/api/sessions/{session.id}/whep", headers=bearer(session.viewer_token))
    assert head.status_code == 200
    assert head.headers["content-type"].partition(";")[0] == SDP


# Other sites


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
    made = await client.post(path, content=offer, headers=sdp() | {"Origin": SITE})
    assert made.status_code == 201
    assert made.headers["access-control-allow-origin"] == SITE
    assert "location" in made.headers["access-control-expose-headers"].lower()
    assert made.headers["vary"] == "Origin"
    refused = await client.post(path, content=offer, headers=sdp("wrong") | {"Origin": SITE})
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == SITE, "the page must be able to read why"
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


async def test_servers_for_ice_are_named_in_links() -> None:
    secret = '; rel="ice-server"; username="a\\"b"; credential="c\\\\d"; credential-type="password"'
    assert ice_links([{"urls": "stun:stun.example"}, TURN]) == [
        '<stun:stun.example>; rel="ice-server"',
        f"<turn:turn.example:3478>{secret}",
        f"<turns:turn.example:5349>{secret}",
    ]


async def test_ice_servers_come_with_the_answer_and_with_nothing_else(
    client: httpx.AsyncClient, sessions: Sessions, endpoint: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "connectivity", lambda _: {"ice_servers": [TURN]})
    made = await client.post(endpoint[0], content=endpoint[1], headers=sdp())
    assert made.headers.get_list("link") == ice_links([TURN])
    asks = {"Origin": SITE, "Access-Control-Request-Method": "POST"}
    assert "link" not in (await client.options(endpoint[0], headers=asks)).headers

"""WHEP and WHIP over HTTP, one MUST after the other: offers and their answers, candidates that come later, the end."""

import re

import httpx
import pytest

from lipstream.realtime.api.whip_whep_routes import FRAGMENT, SDP, ice_links
from lipstream.realtime.server.sessions import Sessions
from lipstream.realtime.session.session import Session
from tests.realtime.api.whip_whep_routes.asking import KEY, SITE, TURN, bearer, fragment_of, sdp, watch
from tests.realtime.api.whip_whep_routes.musts import must
from tests.realtime.rtc.loopback import connection_of

pytestmark = pytest.mark.asyncio(loop_scope="module")


@must(
    "4.1 get",
    "4.2 created",
    "4.2 direction",
    "4.2 delete",
    "4.3.1 tag",
    "4.3.1 tag ignored",
    "4.3.2 gathered",
    "4.4.1 bundle",
    "4.4.1 multiplexed",
)
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


@must("4.2 created", "4.4.2 one of a kind")
async def test_sections_that_are_not_wanted_are_rejected_in_the_answer(
    client: httpx.AsyncClient, endpoint: tuple[str, str]
) -> None:
    path, offer = endpoint
    head, sound, picture = re.split("(?=m=)", offer)
    data = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:9\r\n"
    made = await client.post(path, content=f"{head}{data}{picture}{sound}", headers=sdp())
    assert made.status_code == 201
    assert re.findall(r"m=(\w+) (0)?", made.text) == [("application", "0"), ("video", ""), ("audio", "")]
    assert "a=group:BUNDLE 0 1\r\n" in made.text
    await client.delete(made.headers["location"], headers=bearer(KEY))
    again = await client.post(path, content=offer + sound.replace("a=mid:0", "a=mid:2"), headers=sdp())
    if "whip" in path:
        assert again.status_code == 422, "half of what is sent would be lost"
    else:
        assert re.findall(r"m=(\w+) (0)?", again.text) == [("audio", ""), ("video", ""), ("audio", "0")]


@must("4.2 refused", "4.2 direction", "4.4.1 bundle", "4.4.1 multiplexed")
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


@must("4.2 direction")
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


@must("4.3.1 fragment", "4.3.1 one of two", "4.3.1 conditions", "4.3.2 taken", "4.3.2 skipped", "4.3.3 kept")
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
    (transport,) = connection_of(peer)._RTCPeerConnection__iceTransports
    assert len(transport.getRemoteCandidates()) <= 32 + offers["player"].count("a=candidate")


@must("4.1 get", "4.2 options")
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
    monkeypatch.setattr(sessions.factory, "connectivity", lambda _: {"ice_servers": [TURN]})
    made = await client.post(endpoint[0], content=endpoint[1], headers=sdp())
    assert made.headers.get_list("link") == ice_links([TURN])
    asks = {"Origin": SITE, "Access-Control-Request-Method": "POST"}
    assert "link" not in (await client.options(endpoint[0], headers=asks)).headers


@must("4.4.2 stream", "4.8 simulcast", "4.9 extensions")
async def test_all_that_is_sent_is_one_stream_in_one_encoding(
    client: httpx.AsyncClient, endpoint: tuple[str, str]
) -> None:
    path, offer = endpoint
    direction = "recv" if "whep" in path else "send"
    several = f"a=rid:h {direction}\r\na=rid:l {direction}\r\na=simulcast:{direction} h;l\r\n"
    made = await client.post(path, content=offer + several, headers=sdp())
    assert made.status_code == 201, "without any extension"
    assert "a=simulcast" not in made.text
    assert "a=rid" not in made.text
    assert "urn:ietf:params" not in ",".join(made.headers.get_list("link")), "there are no extensions"
    streams = re.findall(r"a=msid:(\S+) \S+", made.text)
    assert len(streams) == 2, "each section says of which"
    assert len(set(streams)) == 1


@must("4.5 redirected")
async def test_no_post_is_sent_elsewhere(client: httpx.AsyncClient, endpoint: tuple[str, str]) -> None:
    path, offer = endpoint
    for odd in (path.replace("?", "/?") if "?" in path else f"{path}/", path.replace("/api/", "/api//"), path.upper()):
        answer = await client.post(odd, content=offer, headers=sdp())
        assert answer.status_code in (404, 405), odd

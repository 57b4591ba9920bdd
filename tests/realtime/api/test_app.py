import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from lipstream.realtime.api.app import create_app
from lipstream.realtime.server.sessions import Sessions
from lipstream.realtime.settings import Settings
from tests.realtime.fakes import make_store, worker_settings


@pytest.fixture
async def sessions(tmp_path: Path, no_built_in_avatars: None) -> Sessions:
    store = make_store(tmp_path, {"ann": 60, "bob": 120})
    return Sessions(
        Settings(store=store.root, max_sessions=2, picture_workers=0), worker_settings(store, "FakePredictor")
    )


Offer = tuple[RTCPeerConnection, str]


@pytest.fixture
async def offer() -> AsyncIterator[Offer]:
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    peer.addTransceiver("audio", direction="sendrecv")
    peer.addTransceiver("video", direction="recvonly")
    await peer.setLocalDescription(await peer.createOffer())
    yield peer, peer.localDescription.sdp
    agents = [transport._connection for transport in peer._RTCPeerConnection__iceTransports]  # type: ignore[attr-defined]
    await peer.close()
    await asyncio.sleep(0.05)
    for task in filter(None, (agent._query_consent_task for agent in agents)):
        task.cancel()  # aiortc forgets it when it is closed in its handshake


async def test_a_session_from_its_offer_to_its_end(client: httpx.AsyncClient, offer: Offer) -> None:
    peer, sdp = offer
    created = await client.post("/api/sessions", json={"avatar": "ann", "offer": {"sdp": sdp, "type": "offer"}})
    assert created.status_code == 201
    body = created.json()
    assert created.headers["location"] == body["urls"]["self"] == f"/api/sessions/{body['id']}"
    assert body["look_ahead_ms"] == 50
    assert len({body["id"], body["token"], body["viewer_token"]}) == 3
    await peer.setRemoteDescription(RTCSessionDescription(body["answer"]["sdp"], "answer"))
    figures = (await client.get(body["urls"]["self"])).json()
    assert figures["avatar"] == "ann"
    assert figures["mouth_latency_ms"] == {"p50": None, "p95": None, "p99": None}
    assert {"state", "speaking", "fps", "av_offset_ms", "interrupt_tail_ms", "frames_rendered", "frames_idle",
            "frames_repeated", "frames_dropped", "audio_underruns"} <= figures.keys()  # fmt: skip
    assert (await client.patch(body["urls"]["self"], json={"avatar": "bob"})).status_code == 204
    assert (await client.get(body["urls"]["self"])).json()["avatar"] == "bob"
    assert "sample" in (await client.post(f"{body['urls']['self']}/interrupt")).json()
    assert (await client.delete(body["urls"]["self"])).status_code == 204
    assert (await client.delete(body["urls"]["self"])).status_code == 404
    assert (await client.get(body["urls"]["self"])).json()["error"]["code"] == "not_found"


async def test_a_session_may_begin_without_an_offer(client: httpx.AsyncClient, offer: Offer) -> None:
    body = (await client.post("/api/sessions", json={})).json()
    assert "answer" not in body
    connected = await client.post(body["urls"]["peer"], json={"sdp": offer[1], "type": "offer"})
    assert connected.json()["answer"]["type"] == "answer"
    assert (await client.patch(body["urls"]["self"], json={"avatar": "eve"})).status_code == 404


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"avatar": "eve"}, 404, "not_found"),
        ({"avatar": "../ann"}, 404, "not_found"),
        ({"avatar": 7}, 400, "bad_request"),
        ({"offer": {"sdp": "v=0", "type": "answer"}}, 400, "bad_request"),
        ({"offer": {"type": "offer"}}, 400, "bad_request"),
        ({"offer": {"sdp": "v=0", "type": "offer"}}, 422, "bad_offer"),
        ({"offer": {"sdp": "x" * 70_000, "type": "offer"}}, 413, "too_large"),
        ({"offer": {"sdp": "x" * 140_000, "type": "offer"}}, 413, "too_large"),
    ],
)
async def test_a_refused_request_says_why_and_leaves_no_session(
    client: httpx.AsyncClient, sessions: Sessions, body: dict[str, object], status: int, code: str
) -> None:
    answer = await client.post("/api/sessions", json=body)
    assert answer.status_code == status
    assert answer.json()["error"]["code"] == code
    assert answer.json()["error"]["message"]
    assert sessions.count == 0


async def test_a_body_that_is_no_json_is_refused(client: httpx.AsyncClient) -> None:
    for content in (b"{", b"\xff\xfe", b"[]"):
        answer = await client.post("/api/sessions", content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == "bad_request"

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(300):
            yield b" " * 1024

    answer = await client.post("/api/sessions", content=endless(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413


async def test_one_over_the_limit_is_told_so(client: httpx.AsyncClient, sessions: Sessions) -> None:
    first = (await client.post("/api/sessions", json={})).json()
    await client.post("/api/sessions", json={})
    refused = await client.post("/api/sessions", json={})
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) > 0
    assert refused.json()["error"]["reason"] == "full"
    assert (await client.get("/readyz")).json() == {"reason": "full"}
    await client.delete(first["urls"]["self"])
    assert (await client.get("/readyz")).status_code == 200
    assert (await client.post("/api/sessions", json={})).status_code == 201


async def test_draining_takes_no_more(client: httpx.AsyncClient, sessions: Sessions) -> None:
    sessions.drain()
    assert (await client.get("/readyz")).json() == {"reason": "draining"}
    assert (await client.post("/api/sessions", json={})).json()["error"]["reason"] == "draining"
    assert (await client.get("/healthz")).status_code == 200


async def test_avatars_are_listed_with_previews(client: httpx.AsyncClient) -> None:
    listed = (await client.get("/api/avatars")).json()
    assert {"id": "ann", "name": "Ann", "state": "ready", "own": True} in listed
    assert (await client.get("/api/avatars/ann")).json()["frames"] == 20
    preview = await client.get("/api/avatars/ann/preview")
    assert preview.headers["content-type"] == "image/jpeg"
    assert preview.content[:2] == b"\xff\xd8"
    for path in ("/api/avatars/eve", "/api/avatars/eve/preview", "/api/avatars/..%2f", "/api/nothing"):
        assert (await client.get(path)).status_code == 404


async def test_metrics_are_in_prometheus_format(client: httpx.AsyncClient) -> None:
    await client.post("/api/sessions", json={})
    answer = await client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = answer.text.splitlines()
    assert "lipstream_sessions 1.0" in lines
    assert "# TYPE lipstream_mouths_total counter" in lines


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:8080"}, 200),
        ({"Host": "[::1]:8080"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "evil.example:8080"}, 403),
        ({"Host": ""}, 403),
        ({"Host": "[::1"}, 403),
        ({"Origin": "http://127.0.0.1:8080"}, 200),
        ({"Origin": "http://127.0.0.1:9999"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
async def test_foreign_hosts_and_origins_are_refused(
    client: httpx.AsyncClient, headers: dict[str, str], status: int
) -> None:
    for path in ("/api/avatars", "/", "/healthz"):
        answer = await client.get(path, headers=headers)
        assert answer.status_code == status
        assert "default-src 'none'" in answer.headers["content-security-policy"]


async def test_another_site_can_neither_ask_nor_read(client: httpx.AsyncClient, sessions: Sessions) -> None:
    for origin in ("https://evil.example", "http://127.0.0.1:8081", "null", "http://[", "http://[::1", "//[x]"):
        refused = await client.post("/api/sessions", json={}, headers={"Origin": origin})
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")
        asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        answers = [await client.options("/api/sessions", headers=asked), await client.delete("/api/x", headers=asked)]
        assert [answer.status_code for answer in answers] == [403, 403]
        for answer in (refused, *answers):
            assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert sessions.count == 0
    own = await client.get("/api/avatars", headers={"Origin": "http://127.0.0.1:8080"})
    assert "access-control-allow-origin" not in own.headers


async def test_the_page_and_its_files_are_served(client: httpx.AsyncClient) -> None:
    page = await client.get("/")
    assert page.status_code == 200
    assert "text/html" in page.headers["content-type"]
    for path in ("/static/call/page.js", "/static/kiosk/page.js", "/static/stage/page.js", "/static/speaker.js"):
        script = await client.get(path)
        assert script.status_code == 200
        assert script.headers["cache-control"] == "no-cache"
    for path in ("/static/..%2frun_server.py", "/static/%2e%2e/run_server.py", "/static//etc/passwd"):
        assert (await client.get(path)).status_code == 404
    for path in ("/static/nothing.js", "/static/package.json", "/static/tests/speaker.test.js", "/static/", "/static"):
        assert (await client.get(path)).status_code == 404


async def test_it_answers_before_it_has_started(sessions: Sessions) -> None:
    app = create_app(sessions)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client,
    ):
        assert (await client.get("/")).status_code == 200
        assert (await client.get("/readyz")).json() == {"reason": "warming"}
        refused = await client.post("/api/sessions", json={})
        assert refused.status_code == 503
        assert refused.json()["error"]["reason"] == "warming"


async def test_a_session_that_would_make_others_late_is_refused(client: httpx.AsyncClient, sessions: Sessions) -> None:
    assert (await client.post("/api/sessions", json={})).status_code == 201
    assert (await client.get("/readyz")).status_code == 200
    sessions.admission.note_mouths(1000, 1000 * 0.05, 1000 * 0.05)  # a worker that draws twenty mouths a second
    refused = await client.post("/api/sessions", json={})
    assert (refused.status_code, refused.json()["error"]["reason"]) == (503, "full")
    assert int(refused.headers["retry-after"]) > 0
    assert (await client.get("/readyz")).json() == {"reason": "full"}
    sessions.admission.note_mouths(1000, 1000 * 0.001, 1000 * 0.001)
    assert (await client.post("/api/sessions", json={})).status_code == 201


async def test_a_length_that_is_no_number_is_refused(client: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "application/json", "Content-Length": "two"}
    answer = await client.post("/api/sessions", content=b"{}", headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request")


async def test_devices_that_this_server_lacks_are_not_lent(client: httpx.AsyncClient, sessions: Sessions) -> None:
    answer = await client.post("/api/sessions", json={"local_audio": True})
    assert answer.status_code == 409
    assert "--local-microphone" in answer.json()["error"]["message"]
    assert sessions.count == 0


async def test_a_fault_of_the_server_is_told_without_its_words(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the words of somebody")

    app = create_app(sessions)
    monkeypatch.setattr(sessions, "create", fail)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
        answer = await client.post("/api/sessions", json={})
    assert answer.status_code == 500
    assert answer.json()["error"] == {"code": "internal", "message": "the server failed; its log says why"}


async def test_frames_and_a_background_are_what_the_settings_say(
    tmp_path: Path, no_built_in_avatars: None, client: httpx.AsyncClient
) -> None:
    assert (await client.get("/kiosk")).headers["content-security-policy"].endswith("frame-ancestors 'none'")
    assert (await client.get("/kiosk/background")).status_code == 404
    picture, sites = tmp_path / "foyer.png", ("https://a.example", "http://b.example:8000")
    picture.write_bytes(b"\x89PNG\r\n\x1a\n")
    store = make_store(tmp_path / "other", {"ann": 60})
    settings = Settings(store=store.root, picture_workers=0, frame_ancestors=sites, kiosk_background=picture)
    app = create_app(Sessions(settings, worker_settings(store, "FakePredictor")))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8080") as other:
        shown = await other.get("/kiosk/background")
        policy = (await other.get("/kiosk")).headers["content-security-policy"]
    assert (shown.status_code, shown.headers["content-type"], shown.content) == (200, "image/png", picture.read_bytes())
    assert policy.endswith("; frame-ancestors https://a.example http://b.example:8000")

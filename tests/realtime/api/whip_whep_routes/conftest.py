"""A server without sockets, and offers of a stock peer."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from aiortc import RTCConfiguration, RTCPeerConnection

from lipstream.realtime.api.app import create_app
from lipstream.realtime.server.sessions import Sessions
from lipstream.realtime.session.session import Session
from lipstream.realtime.settings import Settings
from tests.realtime.api.whip_whep_routes.asking import KEY, SITE
from tests.realtime.fakes import make_store, worker_settings


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
    app.state.authorization._limits = lambda _: False
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


@pytest.fixture(params=["whep", "whip"])
def endpoint(request: pytest.FixtureRequest, session: Session, offers: dict[str, str]) -> tuple[str, str]:
    """Return an endpoint's path, and an offer that it takes."""
    if request.param == "whep":
        return f"/api/sessions/{session.id}/whep", offers["player"]
    return "/api/whip?avatar=ann", offers["publisher"]

"""A real coturn: credentials that run out, a quota, private addresses refused, and calls through relays alone."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from aioice import stun, turn
from aiortc import RTCConfiguration, RTCIceServer, RTCIceTransportPolicy

from lipstream.realtime.errors import UnavailableError
from lipstream.realtime.rtc.rtc_settings import RtcSettings
from lipstream.realtime.rtc.turn_credentials import TurnSecret
from lipstream.realtime.wire.session_answers import IceServer
from tests.network.coturn import PORT, SECRET, USER_QUOTA, coturn
from tests.network.link import SERVER_ADDRESS, Namespace, run
from tests.realtime.rtc.loopback import WAIT_S, Client, LoopbackCall, TonePlayout, connected, connection_of, until

pytestmark = pytest.mark.needs("coturn", "namespaces")


@pytest.fixture(scope="module")
def here() -> Iterator[Namespace]:
    """A namespace with one private address, for both ends and the relay between them."""
    namespace = Namespace()
    with namespace.entered():
        run("ip", "address", "add", f"{SERVER_ADDRESS}/24", "dev", "lo")
    yield namespace
    namespace.close()


@pytest.fixture(scope="module")
def url(here: Namespace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with coturn(tmp_path_factory.mktemp("turn"), here, allowed=(SERVER_ADDRESS,)) as url:
        yield url


@pytest.fixture(autouse=True)
def within(here: Namespace) -> Iterator[None]:
    with here.entered():
        yield


def signer(url: str, *, secret: str = SECRET, ttl_s: int = 600) -> TurnSecret:
    return TurnSecret((url,), secret, ttl_s)


@asynccontextmanager
async def relay(server: IceServer) -> AsyncIterator[turn.TurnTransport]:
    """Reserve a relay with a session's credentials."""
    transport, _ = await turn.create_turn_endpoint(
        asyncio.DatagramProtocol,
        server_addr=(SERVER_ADDRESS, PORT),
        username=str(server["username"]),
        password=str(server["credential"]),
    )
    try:
        yield transport
    finally:
        await inner(transport).delete()


def inner(transport: turn.TurnTransport) -> turn.TurnClientMixin:
    protocol: turn.TurnClientMixin = transport.__dict__["_TurnTransport__inner_protocol"]
    return protocol


async def refused(server: IceServer) -> int:
    with pytest.raises(stun.TransactionFailed) as failure:
        async with relay(server):
            pass
    return int(failure.value.response.attributes["ERROR-CODE"][0])


async def test_a_credential_of_ours_opens_a_relay(url: str) -> None:
    async with relay(signer(url).ice_server("ann", time.time())) as transport:
        assert transport.get_extra_info("sockname")[0] == SERVER_ADDRESS


async def test_one_that_has_run_out_or_was_signed_by_another_does_not(url: str) -> None:
    assert await refused(signer(url, ttl_s=1).ice_server("ann", time.time() - 3)) == 401
    assert await refused(signer(url, secret="the secret of somebody else").ice_server("ann", time.time())) == 401


async def test_a_relay_that_is_open_outlives_its_credential(url: str) -> None:
    server = signer(url, ttl_s=1).ice_server("bob", time.time())
    async with relay(server) as transport:
        await asyncio.sleep(2.5)
        assert await refused(server) == 401
        request = stun.Message(message_method=stun.Method.REFRESH, message_class=stun.Class.REQUEST)
        request.attributes["LIFETIME"] = 600
        response, _ = await inner(transport).request_with_retry(request)
        assert response.attributes["LIFETIME"] == 600


async def test_one_session_cannot_take_all_relays(url: str) -> None:
    greedy = signer(url).ice_server("greedy", time.time())
    again = signer(url).ice_server("greedy", time.time() + 1)  # a fresh credential is no fresh quota
    async with relay(greedy), relay(greedy), relay(again), relay(again):
        assert USER_QUOTA == 4
        assert await refused(again) == 486
        async with relay(signer(url).ice_server("modest", time.time())):
            pass


@pytest.mark.parametrize("address", ["10.9.0.77", "192.168.1.1", "172.16.0.1", "127.0.0.1"])
async def test_nothing_private_is_relayed_to(url: str, address: str) -> None:
    async with relay(signer(url).ice_server("prying", time.time())) as transport:
        with pytest.raises(stun.TransactionFailed) as failure:
            await inner(transport).channel_bind(0x4000, (address, 9))
        assert failure.value.response.attributes["ERROR-CODE"][0] == 403


async def test_a_call_passes_through_relays_alone(url: str) -> None:
    turn_secret = signer(url)
    settings = RtcSettings(
        host=SERVER_ADDRESS, turn=turn_secret, relay_only=True, connect_timeout_s=WAIT_S, silence_timeout_s=WAIT_S
    )
    servers = [RTCIceServer(**turn_secret.ice_server("ann", time.time()))]
    client = Client(configuration=RTCConfiguration(servers, RTCIceTransportPolicy.RELAY))
    async with connected(client, settings=settings) as call:
        offered = [line for line in client.pc.localDescription.sdp.splitlines() if line.startswith("a=candidate")]
        assert offered
        assert all(" typ relay" in line for line in offered)
        connection = connection_of(call.peer)
        answered = [line for line in connection.localDescription.sdp.splitlines() if line.startswith("a=candidate")]
        assert answered
        assert all(" typ relay" in line for line in answered)
        await until(lambda: len(client.frames["video"]) > 25 and len(call.sound) > 25, "media, both ways")


async def test_a_server_without_its_relay_says_so(url: str) -> None:
    settings = RtcSettings(SERVER_ADDRESS, turn=signer(url, secret="the secret of somebody else"), relay_only=True)
    client = Client()
    call = LoopbackCall(TonePlayout(), settings)
    with pytest.raises(UnavailableError, match="TURN relay cannot be reached"):
        await call.peer.answer(await client.offer())
    await client.close()

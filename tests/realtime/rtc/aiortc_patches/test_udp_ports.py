"""Media keeps to the ports that a firewall leaves open; as it comes, aioice takes any."""

import asyncio
import os
import socket
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from aioice import stun
from aiortc import RTCIceServer

from lipstream.realtime.errors import UnavailableError
from lipstream.realtime.rtc.aiortc_patches.peer_connection import PlayoutConnection
from lipstream.realtime.rtc.aiortc_patches.udp_ports import listen_on
from lipstream.realtime.rtc.rtc_settings import RtcSettings
from tests.realtime.rtc.loopback import WAIT_S, Client, LoopbackCall, TonePlayout, connected, connection_of


@pytest.fixture
def free() -> Iterator[tuple[int, int]]:
    """Two ports in a row that nobody has now."""
    while True:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as two,
        ):
            one.bind(("127.0.0.1", 0))
            first = one.getsockname()[1]
            try:
                two.bind(("127.0.0.1", first + 1))
            except OSError:
                continue
        yield first, first + 1
        return


def ports_of(answer: str) -> set[int]:
    return {int(line.split()[5]) for line in answer.splitlines() if line.startswith("a=candidate")}


async def test_media_flows_on_a_port_of_the_range(free: tuple[int, int]) -> None:
    settings = RtcSettings(connect_timeout_s=WAIT_S, silence_timeout_s=WAIT_S, udp_ports=free)
    client = Client()
    async with connected(client, settings=settings) as call:
        (local,) = {pair.local_addr[1] for pair in agent_of(call)._nominated.values()}
        assert local in free


async def test_two_peers_fill_the_range_and_a_third_is_told(free: tuple[int, int]) -> None:
    settings = RtcSettings(udp_ports=free)
    client, calls = Client(), [LoopbackCall(TonePlayout(), settings) for _ in range(3)]
    offer = await client.offer()
    taken = [ports_of(await call.peer.answer(offer)) for call in calls[:2]]
    assert sorted(port for ports in taken for port in ports) == list(free)
    with pytest.raises(UnavailableError, match="no UDP port left"):
        await calls[2].peer.answer(offer)
    await calls[0].peer.close()
    again = LoopbackCall(TonePlayout(), settings)
    assert ports_of(await again.peer.answer(offer)) == taken[0], "a port that is let go of is taken again"
    for call in (calls[1], again):
        await call.peer.close()
    await client.close()


async def test_stock_takes_any_port(free: tuple[int, int]) -> None:
    stock = PlayoutConnection(addresses=["127.0.0.1"], ice_servers=[])
    agent = stock.addTransceiver("audio").receiver.transport.transport._connection
    before = udp_ports_open()
    candidates = [await agent.get_component_candidates(1, ["127.0.0.1"]) for _ in range(3)]
    opened = {candidate.port for (candidate,) in candidates}
    assert not opened & set(free)
    assert opened <= udp_ports_open() - before
    await stock.close()
    ours = PlayoutConnection(addresses=["127.0.0.1"], ice_servers=[], udp_ports=free)
    agent = ours.addTransceiver("audio").receiver.transport.transport._connection
    ((candidate,),) = [await agent.get_component_candidates(1, ["192.0.2.1"])]
    assert candidate.port in free
    assert candidate.host == "127.0.0.1"
    await agent.close()
    await ours.close()


async def test_nothing_listens_where_relays_alone_may_be_used(free: tuple[int, int]) -> None:
    connection = PlayoutConnection(addresses=["127.0.0.1"], ice_servers=[], relay_only=True, udp_ports=free)
    agent = connection.addTransceiver("audio").receiver.transport.transport._connection
    await agent.gather_candidates()
    assert agent.local_candidates == []
    assert not udp_ports_open() & set(free)
    listen_on(agent, None, None)
    assert await agent.get_component_candidates(1, []) == []
    await connection.close()


class StunServer(asyncio.DatagramProtocol):
    """Answers that a socket is seen at an address of the documentation's."""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        request = stun.parse_message(data)
        answer = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, request.transaction_id)
        answer.attributes["XOR-MAPPED-ADDRESS"] = ("203.0.113.7", 40_000)
        self._transport.sendto(bytes(answer), addr)


async def test_a_port_of_the_range_is_also_told_as_it_is_seen_from_outside(free: tuple[int, int]) -> None:
    server, _ = await asyncio.get_running_loop().create_datagram_endpoint(StunServer, local_addr=("127.0.0.1", 0))
    url = f"stun:127.0.0.1:{server.get_extra_info('sockname')[1]}"
    connection = PlayoutConnection(addresses=["127.0.0.1"], ice_servers=[RTCIceServer(url)], udp_ports=free)
    agent = connection.addTransceiver("audio").receiver.transport.transport._connection
    here, seen = await agent.get_component_candidates(1, ["127.0.0.1"])
    assert here.port in free
    assert (seen.type, seen.host, seen.port) == ("srflx", "203.0.113.7", 40_000)
    assert (seen.related_address, seen.related_port) == ("127.0.0.1", here.port)
    await agent.close()
    await connection.close()
    server.close()


async def test_an_address_that_this_machine_has_not_costs_its_candidates_alone(
    free: tuple[int, int], caplog: pytest.LogCaptureFixture
) -> None:
    connection = PlayoutConnection(addresses=["192.0.2.1", "127.0.0.1"], ice_servers=[], udp_ports=free)
    agent = connection.addTransceiver("audio").receiver.transport.transport._connection
    (candidate,) = await agent.get_component_candidates(1, ["127.0.0.1"])
    assert candidate.host == "127.0.0.1"
    assert any("no socket on 192.0.2.1" in record.message for record in caplog.records)
    await agent.close()
    await connection.close()


def agent_of(call: LoopbackCall) -> Any:
    (transport,) = connection_of(call.peer)._RTCPeerConnection__iceTransports
    return transport._connection


def udp_ports_open() -> set[int]:
    return {c.laddr.port for c in psutil.Process(os.getpid()).net_connections("udp") if c.laddr}

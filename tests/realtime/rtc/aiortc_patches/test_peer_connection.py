"""What each departure from aiortc is for, and that the names they rest on are still there.

Where it says "stock", the test shows the fault of the library as it comes.
"""

import asyncio
import os
import random
import socket
import struct
import subprocess
import sys
from importlib.metadata import version

import aioice.ice
import psutil
import pytest
from aioice.ice import Connection, StunProtocol
from aiortc import RTCPeerConnection

from lipstream.realtime.encoding.encoders import encode_pool
from lipstream.realtime.rtc.aiortc_patches import datagram_guard
from lipstream.realtime.rtc.aiortc_patches.peer_connection import PlayoutConnection
from tests.realtime.rtc.loopback import Client, LoopbackCall, TonePlayout, connected, connection_of, until

RECEIVER_NAMES = ("codecs", "kind", "remote_streams")
CONNECTION_NAMES = ("dtlsTransports", "iceTransports", "stream_id", "transceivers", "createTransceiver")
CONNECTION_METHODS = ("createDtlsTransport", "connect")
AGENT_NAMES = ("_nominated", "_check_list", "_queue", "_query_consent_task", "_protocols", "query_consent")


def server_agent(call: LoopbackCall) -> Connection:
    (transport,) = connection_of(call.peer)._RTCPeerConnection__iceTransports
    return transport._connection


def test_the_pinned_versions_are_installed() -> None:
    assert version("aiortc").startswith("1.16.")
    assert version("aioice").startswith("0.13.")
    assert 18 <= int(version("av").split(".")[0]) < 20


async def test_the_private_names_are_still_there() -> None:
    pc = RTCPeerConnection()
    transceiver = pc.addTransceiver("audio")
    for name in RECEIVER_NAMES:
        assert hasattr(transceiver.receiver, f"_RTCRtpReceiver__{name}")
    for name in CONNECTION_NAMES + CONNECTION_METHODS:
        assert hasattr(pc, f"_RTCPeerConnection__{name}")
    agent = transceiver.receiver.transport.transport._connection
    for name in (*AGENT_NAMES, "get_component_candidates", "data_received"):
        assert hasattr(agent, name)
    await pc.close()


def test_nothing_is_changed_by_an_import() -> None:
    code = (
        "import lipstream.realtime.rtc.peer; from aioice.ice import StunProtocol; "
        "assert StunProtocol.datagram_received.__module__ == 'aioice.ice'; "
        "from lipstream.realtime.rtc.aiortc_patches.datagram_guard import install; install(); install(); "
        "assert StunProtocol.datagram_received.__module__.endswith('aiortc_patches.datagram_guard')"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


# The guard in front of ICE


def throw(call: LoopbackCall, *datagrams: bytes) -> None:
    """Send datagrams to the server's media socket from a socket that nobody knows."""
    (protocol,) = server_agent(call)._protocols
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        for datagram in datagrams:
            stranger.sendto(datagram, protocol.transport.get_extra_info("sockname"))


async def test_a_strangers_empty_datagram_disturbs_nobody() -> None:
    client = Client()
    async with connected(client) as call:
        before = datagram_guard.dropped_datagrams.empty
        throw(call, b"", b"")
        await until(lambda: datagram_guard.dropped_datagrams.empty == before + 2, "guard")
        pictures = len(client.frames["video"])
        await until(lambda: len(client.frames["video"]) > pictures + 5, "pictures")
        assert call.peer.connected


async def test_stock_a_strangers_empty_datagram_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client()
    async with connected(client) as call:
        monkeypatch.setattr(StunProtocol, "datagram_received", datagram_guard.STOCK_DATAGRAM_RECEIVED)
        throw(call, b"")
        await until(lambda: call.gone, "the stock fault")


async def test_a_strangers_rubbish_never_reaches_the_connection() -> None:
    client = Client()
    rubbish = random.Random(1)
    async with connected(client) as call:
        before = datagram_guard.dropped_datagrams.stranger + datagram_guard.dropped_datagrams.malformed
        for first in (0, 1, 2, 20, 22, 23, 64, 128, 144, 200, 255):
            throw(call, *(bytes([first]) + rubbish.randbytes(rubbish.randrange(1400)) for _ in range(20)))
            await asyncio.sleep(0.02)
        dropped = datagram_guard.dropped_datagrams
        await until(lambda: dropped.stranger + dropped.malformed - before > 150, "guard")
        heard = len(call.sound)
        await until(lambda: len(call.sound) > heard + 5, "microphone")
        assert call.peer.connected


async def rounds_to_read(call: LoopbackCall, count: int) -> int:
    """Return in how many rounds of the event loop so many datagrams are read."""
    dropped = datagram_guard.dropped_datagrams
    before = dropped.stranger
    throw(call, *[b"\x80" * 20] * count)
    rounds = 0
    while dropped.stranger < before + count:
        rounds += 1
        await asyncio.sleep(0)
    return rounds


async def test_whatever_waits_is_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client()
    async with connected(client) as call:
        assert await rounds_to_read(call, datagram_guard.MOST_AT_ONCE) <= 3
        monkeypatch.setattr(datagram_guard, "_waiting_datagrams", lambda _: ())
        assert await rounds_to_read(call, datagram_guard.MOST_AT_ONCE) >= datagram_guard.MOST_AT_ONCE, (
            "stock: one a round"
        )


def bad_stun() -> bytes:
    """A request whose PRIORITY is two bytes short."""
    attribute = struct.pack("!HHHH", 0x0024, 2, 1, 0)
    return struct.pack("!HHI12s", 0x0001, len(attribute), 0x2112A442, bytes(12)) + attribute


async def test_malformed_stun_is_dropped_and_stock_raises() -> None:
    client = Client()
    async with connected(client) as call:
        (protocol,) = server_agent(call)._protocols
        with pytest.raises(struct.error):
            datagram_guard.STOCK_DATAGRAM_RECEIVED(protocol, bad_stun(), ("127.0.0.1", 9))
        before = datagram_guard.dropped_datagrams.malformed
        datagram_guard.guarded_datagram_received(protocol, bad_stun(), ("127.0.0.1", 9))
        assert datagram_guard.dropped_datagrams.malformed == before + 1


async def test_the_queue_of_datagrams_is_bounded() -> None:
    client = Client()
    async with connected(client) as call:
        agent = server_agent(call)
        (protocol,) = agent._protocols
        address = next(iter(agent._nominated.values())).remote_addr
        for _ in range(3000):
            datagram_guard.guarded_datagram_received(protocol, b"\x80" + bytes(50), address)
        assert agent._queue.qsize() <= datagram_guard.MAX_QUEUED_DATAGRAMS
        assert datagram_guard.dropped_datagrams.overflow > 0


# Addresses


def bound_addresses() -> set[str]:
    return {
        connection.laddr.ip for connection in psutil.Process(os.getpid()).net_connections("udp") if connection.laddr
    }


async def test_on_loopback_media_is_on_loopback_too_and_stock_is_everywhere() -> None:
    client = Client()
    offer = await client.offer()
    elsewhere = bound_addresses()
    call = LoopbackCall(TonePlayout())
    answer = await call.peer.answer(offer)
    candidates = {line.split()[4] for line in answer.splitlines() if line.startswith("a=candidate")}
    assert candidates == {"127.0.0.1"}
    assert bound_addresses() - elsewhere == {"127.0.0.1"}
    assert "127.0.0.1" not in aioice.ice.get_host_addresses(use_ipv4=True, use_ipv6=True)
    await call.peer.close()
    await client.close()


async def test_no_foreign_server_is_asked_and_stock_asks_one() -> None:
    pc = PlayoutConnection(addresses=None, ice_servers=[])
    agent = pc.addTransceiver("audio").receiver.transport.transport._connection
    assert agent.stun_server is None
    stock = RTCPeerConnection()
    assert stock.addTransceiver("audio").receiver.transport.transport._connection.stun_server is not None
    await pc.close()
    await stock.close()


async def test_the_applications_pool_encodes() -> None:
    loop = asyncio.get_running_loop()
    pool = encode_pool(1)
    loop.set_default_executor(pool)
    client = Client(control=False)
    async with connected(client):
        await until(lambda: client.frames["video"], "picture")
    assert {thread.name for thread in pool._threads} == {"lipstream-encode_0"}
    pool.shutdown()

"""Malformed packets from strangers and from a peer: other sessions go on undisturbed."""

import asyncio
import logging
import random
import socket
import struct
import time
from typing import Any

import pytest
from aioice import stun
from aiortc.rtp import (
    RTCP_PSFB_PLI,
    RTCP_RTPFB_NACK,
    RtcpByePacket,
    RtcpPsfbPacket,
    RtcpReceiverInfo,
    RtcpRrPacket,
    RtcpRtpfbPacket,
    RtcpSenderInfo,
    RtcpSrPacket,
)

from lipstream.realtime.rtc.aiortc_patches import datagram_guard
from lipstream.realtime.rtc.aiortc_patches.tolerant_transport import BoundedSources, dropped_packets
from tests.fuzz.kept import kept_packets
from tests.fuzz.mutate import FULL, mutated
from tests.realtime.rtc.loopback import Client, LoopbackCall, TonePlayout, connected, connection_of, until

STRANGERS = 100_000 if FULL else 4_000
PACKETS = 1_000_000 if FULL else 15_000
BURST = 40


class ErrorLog(logging.Handler):
    """Counts lines of the level that a server shows, and what ends in no handler."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(str(record.msg))


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Any:
    handler, root = ErrorLog(), logging.getLogger()
    logging.getLogger("aioice").setLevel(logging.WARNING)  # as the server does
    before = root.level
    root.setLevel(logging.INFO)
    root.addHandler(handler)
    yield handler
    root.removeHandler(handler)
    root.setLevel(before)


def agent_of(call: LoopbackCall) -> Any:
    (transport,) = connection_of(call.peer)._RTCPeerConnection__iceTransports
    return transport._connection


def transport_of(call: LoopbackCall) -> Any:
    (transport,) = connection_of(call.peer)._RTCPeerConnection__dtlsTransports
    return transport


async def both_ways(client: Client, call: LoopbackCall) -> None:
    heard, seen = len(call.sound), len(client.frames["video"])
    await until(lambda: len(call.sound) > heard + 5 and len(client.frames["video"]) > seen + 5, "both ways")
    assert call.peer.connected
    assert not call.gone


def binding_request() -> bytes:
    request = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
    request.attributes |= {
        "USERNAME": "abcd:efgh",
        "PRIORITY": 1853824767,
        "ICE-CONTROLLING": 7,
        "USE-CANDIDATE": None,
        "XOR-MAPPED-ADDRESS": ("192.0.2.1", 5000),
        "ERROR-CODE": (487, "Role Conflict"),
    }
    request.add_message_integrity(b"wrong")
    return bytes(request)


def from_a_stranger(chance: random.Random) -> bytes:
    size = chance.choice((0, 1, 2, 11, 12, 13, 19, 20, 100, 1200, 1500))
    match chance.randrange(6):
        case 0:
            return b""
        case 1:
            return chance.randbytes(size)
        case 2:
            return mutated(chance, binding_request())
        case 3:  # DTLS: a record that claims to be a handshake, an alert, data
            return struct.pack("!BHHLHH", chance.randrange(20, 64), 0xFEFD, chance.randrange(3), 0, 1, size) + bytes(
                size
            )
        case 4:
            return bytes([chance.randrange(128, 192), chance.randrange(256)]) + chance.randbytes(size)
        case _:
            return bytes([chance.randrange(256)]) * size


async def test_strangers_disturb_nobody(log: ErrorLog) -> None:
    chance, client = random.Random(1), Client()
    dropped = datagram_guard.dropped_datagrams
    before = dropped.empty + dropped.stranger + dropped.malformed
    async with connected(client) as call:
        await both_ways(client, call)
        (protocol,) = agent_of(call)._protocols
        address = protocol.transport.get_extra_info("sockname")
        log.lines.clear()
        started_s = time.monotonic()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            for packet in kept_packets("stranger"):
                stranger.sendto(packet, address)
            for _ in range(STRANGERS // BURST):
                for _ in range(BURST):
                    stranger.sendto(from_a_stranger(chance), address)
                for _ in range(BURST + 10):  # the event loop reads one in each of its rounds
                    await asyncio.sleep(0)
        seconds = time.monotonic() - started_s
        kept_out = dropped.empty + dropped.stranger + dropped.malformed - before
        await both_ways(client, call)
    print(
        f"S1: {STRANGERS} datagrams in {seconds:.1f} s, {kept_out} dropped by the guard, {len(log.lines)} lines of log"
    )
    assert kept_out > 0.8 * STRANGERS, "the rest is STUN without a fault, which aioice answers or ignores"
    assert len(log.lines) <= max(1, seconds)


def peers_packets(client: Client, call: LoopbackCall) -> list[bytes]:
    """Return one packet of each kind that a peer sends, in the clear."""
    sender = next(s for s in connection_of(call.peer).getSenders() if s.kind == "video")
    ids = transport_of(call)._rtp_header_extensions_map._HeaderExtensionsMap__ids
    info = RtcpReceiverInfo(
        ssrc=sender._ssrc, fraction_lost=9, packets_lost=9, highest_sequence=630, jitter=1906, lsr=1, dlsr=1
    )
    remb = b"REMB" + struct.pack("!BBHL", 1, 4 << 2, 5000, sender._ssrc)
    opus = bytes([0xF8, 0xFF, 0xFE])
    plain = struct.pack("!BBHLL", 0x80, 111, 7, 960, 99)
    extended = struct.pack("!BBHLL", 0x90, 111, 8, 1920, 99) + struct.pack(
        "!HHBBBB", 0xBEDE, 1, ids.audio_level << 4, 9, 0, 0
    )
    return [
        plain + opus,
        extended + opus,
        struct.pack("!BBHLL", 0xA0, 111, 9, 2880, 99) + opus + bytes([1, 1]),
        struct.pack("!BBHLLL", 0x81, 111, 10, 3840, 99, 98) + opus,
        bytes(RtcpRrPacket(ssrc=1, reports=[info])),
        bytes(RtcpSrPacket(ssrc=1, sender_info=RtcpSenderInfo(1, 2, 3, 4), reports=[info])),
        bytes(RtcpPsfbPacket(fmt=RTCP_PSFB_PLI, ssrc=1, media_ssrc=sender._ssrc)),
        bytes(RtcpPsfbPacket(fmt=15, ssrc=1, media_ssrc=0, fci=remb)),
        bytes(RtcpRtpfbPacket(fmt=RTCP_RTPFB_NACK, ssrc=1, media_ssrc=sender._ssrc, lost=[1, 2, 3, 40, 65535])),
        bytes(RtcpByePacket(sources=[99])),
        binding_request(),
    ]


class InTheClear:
    """Stands in for decryption: what a peer with the right keys can send."""

    def unprotect(self, data: bytes) -> bytes:
        return data

    unprotect_rtcp = unprotect


async def test_a_peers_rubbish_ends_at_most_its_own_session(log: ErrorLog) -> None:
    chance = random.Random(2)
    bad, good = Client(), Client()
    malformed = dropped_packets.malformed
    async with connected(bad, playout=TonePlayout(size=64)) as harmed, connected(good) as bystander:
        await both_ways(good, bystander)
        await until(lambda: harmed.sound and bad.frames["video"], "both ways")
        transport, agent = transport_of(harmed), agent_of(harmed)
        transport._rx_srtp = BoundedSources(InTheClear())
        (protocol,) = agent._protocols
        address = next(iter(agent._nominated.values())).remote_addr
        for packet in kept_packets("peer") + kept_packets("stranger"):
            datagram_guard.guarded_datagram_received(protocol, packet, address)
        seeds = peers_packets(bad, harmed)
        for number in range(PACKETS // BURST):
            if number % 500 == 0:
                await both_ways(good, bystander)
            for _ in range(BURST):
                datagram_guard.guarded_datagram_received(protocol, mutated(chance, chance.choice(seeds)), address)
            while agent._queue.qsize() and harmed.peer.connected:
                await asyncio.sleep(0)
            await asyncio.sleep(0)
        await both_ways(good, bystander)
        ended = list(harmed.gone)
        assert len(bystander.gone) == 0
    dropped = dropped_packets.malformed - malformed
    print(f"S3: {PACKETS} packets, {dropped} of them raised; reasons why their sender's own session ended: {ended}")
    assert dropped
    assert not ended

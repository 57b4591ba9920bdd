"""What a connected peer sends wrong. Where it says "stock", the test shows the library's fault."""

import struct
from typing import Any

import google_crc32c  # what aiortc checks with
import pylibsrtp
import pytest
from aiortc.rtcdtlstransport import RTCDtlsTransport

from lipstream.realtime.rtc.aiortc_patches.tolerant_transport import (
    MAX_SOURCES,
    BoundedSources,
    TolerantTransport,
    dropped_packets,
)
from tests.realtime.rtc.loopback import Client, LoopbackCall, connected, connection_of, until


def transport_of(call: LoopbackCall) -> Any:
    (transport,) = connection_of(call.peer)._RTCPeerConnection__dtlsTransports
    return transport


def bad_extension(call: LoopbackCall) -> bytes:
    """Sound whose header extension for the audio level is two bytes long."""
    extensions = transport_of(call)._rtp_header_extensions_map._HeaderExtensionsMap__ids
    header = struct.pack("!BBHLL", 0x90, 111, 1, 1, 1)
    return header + struct.pack("!HHBBBB", 0xBEDE, 1, extensions.audio_level << 4 | 1, 0, 0, 0) + b"sound"


def two_inits() -> bytes:
    """An SCTP packet in which a second chunk follows one that must stand alone."""
    init = struct.pack("!BBHLLHHL", 1, 0, 20, 1, 1024, 1, 1, 1)
    packet = bytearray(struct.pack("!HHLL", 5000, 5000, 0, 0) + 2 * init)
    packet[8:12] = struct.pack("<L", google_crc32c.value(bytes(packet)))
    return bytes(packet)


async def goes_on(client: Client, call: LoopbackCall) -> None:
    heard, seen = len(call.sound), len(client.frames["video"])
    await until(lambda: len(call.sound) > heard + 5 and len(client.frames["video"]) > seen + 5, "both ways")
    assert call.peer.connected
    assert not call.gone


async def test_a_bad_header_extension_costs_its_packet() -> None:
    client = Client()
    async with connected(client) as call:
        await until(lambda: call.sound, "microphone")
        transport, before = transport_of(call), dropped_packets.malformed
        assert isinstance(transport._rx_srtp, BoundedSources)
        protected = client.pc.getTransceivers()[0].receiver.transport._tx_srtp.protect(bad_extension(call))
        await client.ice.send(protected)
        await until(lambda: dropped_packets.malformed > before, "the drop")
        await goes_on(client, call)
        with pytest.raises(struct.error):
            await RTCDtlsTransport._handle_rtp_data(transport, bad_extension(call), arrival_time_ms=0)


async def test_stock_a_bad_header_extension_ends_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TolerantTransport, "_handle_rtp_data", RTCDtlsTransport._handle_rtp_data)
    client = Client()
    async with connected(client) as call:
        await until(lambda: call.sound, "microphone")
        protected = client.pc.getTransceivers()[0].receiver.transport._tx_srtp.protect(bad_extension(call))
        await client.ice.send(protected)
        await until(lambda: call.gone, "the stock fault")


async def test_a_bad_chunk_of_the_data_channel_costs_its_packet() -> None:
    client = Client()
    async with connected(client) as call:
        await until(lambda: client.channel.readyState == "open", "channel")
        before = dropped_packets.malformed
        assert client.pc.sctp is not None
        await client.pc.sctp.transport._send_data(two_inits())
        await until(lambda: dropped_packets.malformed > before, "the drop")
        client.channel.send('{"type": "nonsense"}')
        await until(lambda: client.messages, "refusal")
        await goes_on(client, call)
        association = connection_of(call.peer).sctp
        assert association is not None
        with pytest.raises(AssertionError):
            await type(association)._handle_data(association, two_inits())


async def test_a_failing_connection_is_no_bad_packet() -> None:
    class Gone:
        async def _handle_data(self, data: bytes) -> None:
            raise ConnectionError

    client = Client()
    async with connected(client) as call:
        transport, gone = transport_of(call), Gone()
        transport._data_receiver = None
        transport._register_data_receiver(gone)
        with pytest.raises(ConnectionError):
            await gone._handle_data(b"")
        transport._data_receiver = None


class SrtpStandIn:
    def unprotect(self, data: bytes) -> bytes:
        if data[0]:
            raise pylibsrtp.Error("not the peer's")
        return data

    unprotect_rtcp = unprotect


def test_a_peer_has_so_many_sources_and_a_stranger_takes_none() -> None:
    bounded = BoundedSources(SrtpStandIn())

    def rtp(source: int, first: int = 0) -> bytes:
        return bytes([first]) + bytes(7) + struct.pack("!L", source) + b"x"

    for source in range(1000):
        with pytest.raises(pylibsrtp.Error):
            bounded.unprotect(rtp(source, first=1))
    for source in range(MAX_SOURCES):
        assert bounded.unprotect(rtp(source))
    before = dropped_packets.sources
    with pytest.raises(pylibsrtp.Error):
        bounded.unprotect(rtp(MAX_SOURCES))
    with pytest.raises(pylibsrtp.Error):
        bounded.unprotect_rtcp(bytes(4) + struct.pack("!L", MAX_SOURCES) + b"x")
    assert dropped_packets.sources == before + 2
    assert bounded.unprotect(rtp(0))
    assert bounded.unprotect_rtcp(bytes(4) + struct.pack("!L", 1) + b"x")

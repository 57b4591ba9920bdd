"""Access of the measuring client to a stock connection: undecoded packets, reports, and simulated link faults.

Each function changes one connection, receiver or agent; others in the process are not affected.
"""

import random
import struct
import time
from collections.abc import Callable, Container
from typing import Any, NamedTuple

from aiortc import RTCPeerConnection
from aiortc.jitterbuffer import JitterBuffer, JitterFrame
from aiortc.rtp import (
    RTCP_PSFB_APP,
    RtcpPacket,
    RtcpPsfbPacket,
    RtcpSrPacket,
    RtpPacket,
    pack_remb_fci,
    unwrap_rtx,
)

_HEADER = struct.Struct("!BBHLL")


class Counted(NamedTuple):
    """A packet that was decrypted and counted, but not parsed by aiortc.

    Attributes:
        sequence, timestamp, marker: Fields of the RTP header.
        arrived_s: Monotonic time of arrival, s.
    """

    receiver: Any
    ssrc: int
    sequence: int
    timestamp: int
    marker: bool
    arrived_s: float


class _Header(NamedTuple):
    """The fields of a packet that a receiver's statistics read."""

    sequence_number: int
    timestamp: int


class _NothingToAssemble(JitterBuffer):
    """Replaces the receiver's jitter buffer: recorded packets need no order."""

    def __init__(self) -> None:
        super().__init__(capacity=4)

    def add(self, packet: RtpPacket) -> tuple[bool, JitterFrame | None]:  # noqa: ARG002 (as its base does)
        """Ignore a packet."""
        return False, None


def ice_agent(connection: RTCPeerConnection) -> Any:
    """Return aioice's connection behind the single transport of a bundled call."""
    return connection.getTransceivers()[0].receiver.transport.transport._connection


def on_sender_reports(connection: RTCPeerConnection, take: Callable[[RtcpSrPacket], None]) -> None:
    """Call ``take`` with each sender report, before aiortc handles it."""
    transport: Any = connection.getTransceivers()[0].receiver.transport
    stock = transport._handle_rtcp_data

    async def on_rtcp(data: bytes) -> None:
        for packet in RtcpPacket.parse(data):
            if isinstance(packet, RtcpSrPacket):
                take(packet)
        await stock(data)

    transport._handle_rtcp_data = on_rtcp


def on_packets(receiver: Any, take: Callable[[RtpPacket], None]) -> None:
    """Call ``take`` with each packet of a receiver, retransmissions unwrapped. aiortc counts it and decodes nothing."""
    stock = receiver._handle_rtp_packet

    async def on_rtp(packet: RtpPacket, arrival_time_ms: int) -> None:
        again = receiver._RTCRtpReceiver__rtx_ssrc.get(packet.ssrc)
        if again is not None and len(packet.payload) > 1:
            take(unwrap_rtx(packet, packet.payload_type, again))
        else:
            take(packet)
        await stock(packet, arrival_time_ms=arrival_time_ms)

    receiver._handle_rtp_packet = on_rtp
    receiver._RTCRtpReceiver__jitter_buffer = _NothingToAssemble()


def count_only(connection: RTCPeerConnection, known: Container[int], take: Callable[[Counted], None]) -> None:
    """Give aiortc the first packet of each source, and only the statistics of the later ones.

    The later packets are decrypted and counted as their datagrams are read, without aiortc's queue and task.
    """
    receivers: list[Any] = [transceiver.receiver for transceiver in connection.getTransceivers()]
    transport, agent = receivers[0].transport, ice_agent(connection)
    enqueue = agent.data_received

    def data_received(data: bytes, component: int) -> None:
        _, second, sequence, timestamp, ssrc = _HEADER.unpack(data[: _HEADER.size].ljust(_HEADER.size, b"\0"))
        owners = [r for r in receivers if ssrc in r._RTCRtpReceiver__remote_streams]
        if ssrc not in known or not owners:
            enqueue(data, component)
            return
        transport._rx_srtp.unprotect(data)
        owners[0]._RTCRtpReceiver__remote_streams[ssrc].add(_Header(sequence, timestamp))
        take(Counted(owners[0], ssrc, sequence, timestamp, bool(second >> 7), time.monotonic()))

    agent.data_received = data_received


async def send_room(receiver: Any, ssrc: int, bitrate: int) -> None:
    """Report a link's bitrate, bit/s, to the sender of a source, as a bandwidth estimator does (REMB)."""
    own = receiver._RTCRtpReceiver__rtcp_ssrc
    await receiver._send_rtcp(RtcpPsfbPacket(RTCP_PSFB_APP, own, 0, pack_remb_fci(bitrate, [ssrc])))


async def request_key_frame(receiver: Any, ssrc: int) -> None:
    """Ask the sender of a source for a key frame (PLI)."""
    await receiver._send_rtcp_pli(ssrc)


def lose_datagrams(connection: RTCPeerConnection, share: float) -> None:
    """Drop a share (0 to 1) of a connected call's datagrams at random, in each direction."""
    chance = random.Random(1)
    for protocol in ice_agent(connection)._protocols:
        send, take = protocol.send_data, protocol.datagram_received

        async def send_some(data: bytes, address: Any, send: Any = send) -> None:
            if chance.random() >= share:
                await send(data, address)

        def take_some(data: bytes, address: Any, take: Any = take) -> None:
            if chance.random() >= share:
                take(data, address)

        protocol.send_data, protocol.datagram_received = send_some, take_some


def remote_address(connection: RTCPeerConnection) -> tuple[str, int]:
    """Return the address and port of the other end of a connected call."""
    address: tuple[str, int] = next(iter(ice_agent(connection)._nominated.values())).remote_addr
    return address


def fall_silent(connection: RTCPeerConnection) -> None:
    """Send nothing from now on, not even a closing message."""

    async def send_nothing(*_: object) -> None:
        pass

    for protocol in ice_agent(connection)._protocols:
        protocol.send_data = send_nothing
        protocol.send_stun = lambda *_: None


def stop_consent(agent: Any) -> None:
    """Stop the consent checks of an agent whose connection was closed in the middle of a handshake."""
    if agent._query_consent_task is not None:
        agent._query_consent_task.cancel()


def codec_names(connection: RTCPeerConnection, kind: str) -> dict[int | None, str]:
    """Return the MIME types of a kind's codecs by their payload types."""
    transceivers = [t for t in connection.getTransceivers() if t.kind == kind]
    return {codec.payloadType: codec.mimeType for t in transceivers for codec in t._codecs}

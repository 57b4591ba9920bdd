"""A light client: aiortc's, but it speaks packets that were encoded before, and keeps what it gets undecoded."""

import asyncio
import fractions
import random
import struct
import time
from typing import Any, NamedTuple

import av
import numpy as np
import numpy.typing as npt
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
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

from realtime.rtc.aiortc_patches.consent import keep_consent
from realtime.test_client.call_recording import Packet, Recording, Stream
from realtime.timeline import PACKET_SOUND, SOUND_RATE_HZ

_HEADER = struct.Struct("!BBHLL")
_ROOM_BITRATE = 2_500_000
"""What a caller that only counts says of its link, bit/s."""
_TOLD_INTERVAL_S = 1.0
_HANDSHAKE_S = 2.0
"""That a call which is being hung up may still take to connect."""


class Microphone(MediaStreamTrack):
    """Repeats ``float32[n]``, 48 kHz mono, in Opus packets of 20 ms on the monotonic clock.

    Attributes:
        start_s: When the first packet left; ``None`` before.
    """

    kind = "audio"

    def __init__(self, sound: npt.NDArray[np.float32]) -> None:
        super().__init__()
        self._packets = _encoded(sound)
        self._packet = 0
        self.start_s: float | None = None

    async def recv(self) -> Any:
        """Return the packet that is due."""
        loop = asyncio.get_running_loop()
        if self.start_s is None:
            self.start_s = loop.time()
        await asyncio.sleep(self.start_s + self._packet * PACKET_SOUND / SOUND_RATE_HZ - loop.time())
        packet = av.Packet(self._packets[self._packet % len(self._packets)])
        packet.pts = self._packet * PACKET_SOUND
        packet.time_base = fractions.Fraction(1, SOUND_RATE_HZ)
        self._packet += 1
        return packet


def _encoded(sound: npt.NDArray[np.float32]) -> list[bytes]:
    codec = av.CodecContext.create("libopus", "w")
    assert isinstance(codec, av.AudioCodecContext)
    codec.bit_rate, codec.sample_rate, codec.format, codec.layout = 96_000, SOUND_RATE_HZ, "s16", "mono"
    pcm = np.rint(np.clip(sound, -1, 1) * 32767).astype(np.int16)
    packets: list[bytes] = []
    for piece in np.pad(pcm, (0, -pcm.size % PACKET_SOUND)).reshape(-1, 1, PACKET_SOUND):
        frame = av.AudioFrame.from_ndarray(piece, format="s16", layout="mono")
        frame.sample_rate = SOUND_RATE_HZ
        packets += [bytes(packet) for packet in codec.encode(frame)]
    return packets


class _Header(NamedTuple):
    """What a receiver's statistics read of a packet."""

    sequence_number: int
    timestamp: int


class _NothingToAssemble(JitterBuffer):
    """Stands in for the receiver's buffer: what is only recorded need not be put in order."""

    def __init__(self) -> None:
        super().__init__(capacity=4)

    def add(self, packet: RtpPacket) -> tuple[bool, JitterFrame | None]:  # noqa: ARG002 (as its base does)
        """Ignore a packet."""
        return False, None


class Caller:
    """One call.

    Args:
        sound: What to say, over and over; ``None`` for a client without a microphone.
        keep_payloads: Whether the recording can be decoded.
        counts_only: Whether packets are decrypted, counted and reported, and nothing more: for many callers on the
            machine that is measured. Only for links without loss.
        lost: Share of all datagrams of a connected call that is lost, each way.
        configuration: How to connect; by default without STUN and TURN.
    """

    def __init__(
        self,
        sound: npt.NDArray[np.float32] | None = None,
        *,
        keep_payloads: bool = True,
        counts_only: bool = False,
        lost: float = 0.0,
        configuration: RTCConfiguration | None = None,
    ) -> None:
        self.recording = Recording()
        self.microphone = None if sound is None else Microphone(sound)
        self._keep, self._counts_only = keep_payloads, counts_only
        self._lost = lost
        self._connection = RTCPeerConnection(configuration or RTCConfiguration(iceServers=[]))
        if self.microphone is None:
            self._connection.addTransceiver("audio", direction="recvonly")
        else:
            self._connection.addTrack(self.microphone)
        self._connection.addTransceiver("video", direction="recvonly")
        keep_consent(self._agent)  # a machine that is busy measuring must not hang up on its server
        self._streams: dict[int, Stream] = {}  # by SSRC
        self._told_s = 0.0
        self._telling: asyncio.Future[None] | None = None

    async def offer(self) -> str:
        """Return the offer."""
        await self._connection.setLocalDescription(await self._connection.createOffer())
        return self._connection.localDescription.sdp

    async def accept(self, answer: str) -> None:
        """Take the answer, and begin to record."""
        await self._connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        for transceiver in self._connection.getTransceivers():
            self._tap(transceiver.receiver)
        self._tap_reports()
        if self._counts_only:
            self._count_only()
        if self._lost:
            self._lose()

    def _tap_reports(self) -> None:
        """Record when the other end says that its timestamps are."""
        transport: Any = self._connection.getTransceivers()[0].receiver.transport
        take_rtcp = transport._handle_rtcp_data  # noqa: SLF001 (no public way)

        async def on_rtcp(data: bytes) -> None:
            for packet in RtcpPacket.parse(data):
                if isinstance(packet, RtcpSrPacket):
                    self._report(packet)
            await take_rtcp(data)

        transport._handle_rtcp_data = on_rtcp  # noqa: SLF001 (as above)

    def _count_only(self) -> None:
        """Let the receivers have each stream's first packet, and of the others only what their reports need.

        These are decrypted and counted as their datagrams are read, without aiortc's queue and task.
        """
        receivers: list[Any] = [transceiver.receiver for transceiver in self._connection.getTransceivers()]
        transport, agent = receivers[0].transport, self._agent
        enqueue = agent.data_received

        def data_received(data: bytes, component: int) -> None:
            _, second, sequence, timestamp, ssrc = _HEADER.unpack(data[: _HEADER.size].ljust(_HEADER.size, b"\0"))
            stream = self._streams.get(ssrc)
            known = [r for r in receivers if ssrc in r._RTCRtpReceiver__remote_streams]  # noqa: SLF001 (no public way)
            if stream is None or not known:
                enqueue(data, component)
                return
            transport._rx_srtp.unprotect(data)  # noqa: SLF001 (as above)
            known[0]._RTCRtpReceiver__remote_streams[ssrc].add(_Header(sequence, timestamp))  # noqa: SLF001 (as above)
            stream.packets.append(Packet(time.monotonic(), timestamp, bool(second >> 7), b"", sequence))
            if stream is self.recording.picture and time.monotonic() - self._told_s > _TOLD_INTERVAL_S:
                self._told_s = time.monotonic()
                self._telling = asyncio.ensure_future(self._tell_room(known[0], ssrc))

        agent.data_received = data_received

    async def _tell_room(self, receiver: Any, ssrc: int) -> None:
        """Say that the link has room, as an estimator would."""
        own = receiver._RTCRtpReceiver__rtcp_ssrc  # noqa: SLF001 (no public way)
        remb = RtcpPsfbPacket(RTCP_PSFB_APP, own, 0, pack_remb_fci(_ROOM_BITRATE, [ssrc]))
        await receiver._send_rtcp(remb)  # noqa: SLF001 (as above)

    def _lose(self) -> None:
        """Lose datagrams at random, each way, as a bad link does."""
        chance = random.Random(1)
        for protocol in self._agent._protocols:  # noqa: SLF001 (no public way)
            send, take = protocol.send_data, protocol.datagram_received

            async def send_some(data: bytes, address: Any, send: Any = send) -> None:
                if chance.random() >= self._lost:
                    await send(data, address)

            def take_some(data: bytes, address: Any, take: Any = take) -> None:
                if chance.random() >= self._lost:
                    take(data, address)

            protocol.send_data, protocol.datagram_received = send_some, take_some

    async def ask_for_key_frame(self) -> None:
        """Have the next picture be whole, as a client does that has lost one."""
        for transceiver in self._connection.getTransceivers():
            receiver: Any = transceiver.receiver
            for ssrc, stream in self._streams.items():
                if transceiver.kind == "video" and stream is self.recording.picture:
                    await receiver._send_rtcp_pli(ssrc)  # noqa: SLF001 (no public way)

    def forget(self) -> None:
        """Begin the recording anew; sender reports stay, as timestamps are read by them."""
        for stream in (self.recording.sound, self.recording.picture):
            stream.packets.clear()
            del stream.reports[:-1]

    def _tap(self, receiver: Any) -> None:
        """Record what a receiver gets; it goes on to count and report, but has nothing to decode."""
        take = receiver._handle_rtp_packet  # noqa: SLF001 (no public way)

        async def on_rtp(packet: RtpPacket, arrival_time_ms: int) -> None:
            self._record(receiver, packet)
            await take(packet, arrival_time_ms=arrival_time_ms)

        receiver._handle_rtp_packet = on_rtp  # noqa: SLF001 (as above)
        receiver._RTCRtpReceiver__jitter_buffer = _NothingToAssemble()  # noqa: SLF001 (as above)

    @property
    def connected(self) -> bool:
        """Whether media flows."""
        return self._connection.connectionState == "connected"

    @property
    def server_address(self) -> tuple[str, int]:
        """Address and port of the other end of a connected call."""
        address: tuple[str, int] = next(iter(self._agent._nominated.values())).remote_addr  # noqa: SLF001 (as above)
        return address

    async def vanish(self) -> None:
        """Send nothing any more, not even a farewell."""

        async def send_nothing(*_: object) -> None:
            pass

        for protocol in self._agent._protocols:  # noqa: SLF001 (no public way)
            protocol.send_data = send_nothing
            protocol.send_stun = lambda *_: None

    async def close(self) -> None:
        """Hang up, politely: not in the middle of a handshake, of which aiortc would leave a task that goes on."""
        loop = asyncio.get_running_loop()
        give_up_s = loop.time() + _HANDSHAKE_S
        while self._connection.connectionState == "connecting" and loop.time() < give_up_s:  # noqa: ASYNC110 (no event)
            await asyncio.sleep(0.01)
        agent = self._agent
        await self._connection.close()
        await asyncio.sleep(0.05)
        if agent._query_consent_task is not None:  # noqa: SLF001 (a handshake that was given up)
            agent._query_consent_task.cancel()  # noqa: SLF001

    @property
    def _agent(self) -> Any:
        return self._connection.getTransceivers()[0].receiver.transport.transport._connection  # noqa: SLF001

    def _record(self, receiver: Any, packet: RtpPacket) -> None:
        again = receiver._RTCRtpReceiver__rtx_ssrc.get(packet.ssrc)  # noqa: SLF001 (no public way)
        if again is not None and len(packet.payload) > 1:
            packet = unwrap_rtx(packet, packet.payload_type, again)
        if packet.ssrc not in self._streams:
            pictures = _codecs(self._connection, "video")
            is_picture = packet.payload_type in pictures
            self._streams[packet.ssrc] = stream = self.recording.picture if is_picture else self.recording.sound
            stream.codec = pictures.get(packet.payload_type, "audio/opus")
        payload = packet.payload if self._keep else b""
        kept = Packet(time.monotonic(), packet.timestamp, bool(packet.marker), payload, packet.sequence_number)
        self._streams[packet.ssrc].packets.append(kept)

    def _report(self, report: RtcpSrPacket) -> None:
        if stream := self._streams.get(report.ssrc):
            info = report.sender_info
            stream.reports.append((info.rtp_timestamp, info.ntp_timestamp / (1 << 32)))


def _codecs(connection: RTCPeerConnection, kind: str) -> dict[int | None, str]:
    """Return the MIME types of a kind's codecs by their payload type."""
    transceivers = [t for t in connection.getTransceivers() if t.kind == kind]
    return {codec.payloadType: codec.mimeType for t in transceivers for codec in t._codecs}  # noqa: SLF001 (no public way)

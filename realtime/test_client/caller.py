"""A light WebRTC client on aiortc: it sends packets encoded in advance and does not decode received ones."""

import asyncio
import fractions
import time
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.rtp import RtcpSrPacket, RtpPacket

from lipstream.realtime.rtc.aiortc_patches import measuring
from lipstream.realtime.rtc.aiortc_patches.consent import keep_consent
from lipstream.realtime.test_client.call_recording import CallRecording, RecordedPacket, RecordedStream
from lipstream.realtime.timeline import PACKET_SOUND, SOUND_RATE_HZ

_ROOM_BITRATE = 2_500_000
"""Bandwidth that a caller with ``counts_only`` reports for its link, bit/s."""
_TOLD_INTERVAL_S = 1.0
_HANDSHAKE_S = 2.0
"""``close`` waits this long for a connection that is still being established."""


class SoundTrack(MediaStreamTrack):
    """Repeats ``float32[n]``, 48 kHz mono, in Opus packets of 20 ms on the monotonic clock.

    Attributes:
        start_s: Monotonic time at which the first packet left, s; ``None`` before.
    """

    kind = "audio"

    def __init__(self, sound: npt.NDArray[np.float32]) -> None:
        super().__init__()
        self._packets = _encoded(sound)
        self._packet = 0
        self.start_s: float | None = None

    async def recv(self) -> Any:
        """Wait for the next packet to be due, and return it."""
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


class Caller:
    """One call.

    Args:
        sound: Sound to repeat, ``float32[n]``, 48 kHz mono; ``None`` for a client without a microphone.
        keep_payloads: Whether to keep the payloads, which decoding needs; default true.
        counts_only: Whether to only decrypt, count and report packets; default false. This allows many callers on the
            machine that is measured; it works only on links without loss.
        lost: Share of the datagrams of a connected call that are dropped in each direction, 0..1.
        configuration: Connection settings; ``None`` for no STUN and TURN.
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
        self.recording = CallRecording()
        self.microphone = None if sound is None else SoundTrack(sound)
        self._keep, self._counts_only = keep_payloads, counts_only
        self._lost = lost
        self._connection = RTCPeerConnection(configuration or RTCConfiguration(iceServers=[]))
        if self.microphone is None:
            self._connection.addTransceiver("audio", direction="recvonly")
        else:
            self._connection.addTrack(self.microphone)
        self._connection.addTransceiver("video", direction="recvonly")
        # On a busy machine late answers must not end the call.
        keep_consent(measuring.ice_agent(self._connection))
        self._streams: dict[int, RecordedStream] = {}  # by SSRC
        self._told_s = 0.0
        self._telling: asyncio.Future[None] | None = None

    async def offer(self) -> str:
        """Return the SDP offer."""
        await self._connection.setLocalDescription(await self._connection.createOffer())
        return self._connection.localDescription.sdp

    async def accept(self, answer: str) -> None:
        """Take the SDP answer, and begin to record."""
        await self._connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        self._tap()
        if self._counts_only:
            measuring.count_only(self._connection, self._streams, self._count)
        if self._lost:
            measuring.lose_datagrams(self._connection, self._lost)

    def _tap(self) -> None:
        """Record the packets and sender reports from now on."""
        for transceiver in self._connection.getTransceivers():
            measuring.on_packets(transceiver.receiver, self._record)
        measuring.on_sender_reports(self._connection, self._report)

    def _count(self, packet: measuring.Counted) -> None:
        """Record a packet without its payload, and once a second report enough bandwidth to the server."""
        stream = self._streams[packet.ssrc]
        stream.packets.append(RecordedPacket(packet.arrived_s, packet.timestamp, packet.marker, b"", packet.sequence))
        if stream is self.recording.picture and packet.arrived_s - self._told_s > _TOLD_INTERVAL_S:
            self._told_s = packet.arrived_s
            self._telling = asyncio.ensure_future(measuring.send_room(packet.receiver, packet.ssrc, _ROOM_BITRATE))

    async def ask_for_key_frame(self) -> None:
        """Request a key frame, as a client does that has lost a picture."""
        for transceiver in self._connection.getTransceivers():
            for ssrc, stream in self._streams.items():
                if transceiver.kind == "video" and stream is self.recording.picture:
                    await measuring.request_key_frame(transceiver.receiver, ssrc)

    def forget(self) -> None:
        """Restart the recording; keep the last sender reports, which give the timestamps their time."""
        for stream in (self.recording.sound, self.recording.picture):
            stream.packets.clear()
            del stream.reports[:-1]

    @property
    def connected(self) -> bool:
        """Whether the call is connected."""
        return self._connection.connectionState == "connected"

    @property
    def server_address(self) -> tuple[str, int]:
        """Address and port of the other end of a connected call."""
        return measuring.remote_address(self._connection)

    async def vanish(self) -> None:
        """Stop sending without ending the call, as a client does that loses its network."""
        measuring.fall_silent(self._connection)

    async def close(self) -> None:
        """End the call. Wait for a running handshake first, since aiortc would leave its task running."""
        loop = asyncio.get_running_loop()
        give_up_s = loop.time() + _HANDSHAKE_S
        while self._connection.connectionState == "connecting" and loop.time() < give_up_s:  # noqa: ASYNC110 (no event)
            await asyncio.sleep(0.01)
        agent = measuring.ice_agent(self._connection)
        await self._connection.close()
        await asyncio.sleep(0.05)
        measuring.stop_consent(agent)

    def _record(self, packet: RtpPacket) -> None:
        if packet.ssrc not in self._streams:
            pictures = measuring.codec_names(self._connection, "video")
            is_picture = packet.payload_type in pictures
            self._streams[packet.ssrc] = stream = self.recording.picture if is_picture else self.recording.sound
            stream.codec = pictures.get(packet.payload_type, "audio/opus")
        payload = packet.payload if self._keep else b""
        kept = RecordedPacket(time.monotonic(), packet.timestamp, bool(packet.marker), payload, packet.sequence_number)
        self._streams[packet.ssrc].packets.append(kept)

    def _report(self, report: RtcpSrPacket) -> None:
        if stream := self._streams.get(report.ssrc):
            info = report.sender_info
            stream.reports.append((info.rtp_timestamp, info.ntp_timestamp / (1 << 32)))

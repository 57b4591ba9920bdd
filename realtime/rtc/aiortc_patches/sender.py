"""Replaces aiortc's RTP sender: it takes the encoded units of a broadcast and sends them at once."""

import asyncio
import logging
import random
import struct
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from aiortc import MediaStreamTrack, RTCRtpSender
from aiortc.codecs import is_rtx
from aiortc.mediastreams import MediaStreamError
from aiortc.rtcdtlstransport import RTCDtlsTransport, State
from aiortc.rtcrtpparameters import RTCRtpCodecParameters, RTCRtpSendParameters
from aiortc.rtp import (
    RTCP_PSFB_APP,
    RTCP_PSFB_FIR,
    RTCP_PSFB_PLI,
    RTCP_RTPFB_NACK,
    AnyRtcpPacket,
    RtcpPsfbPacket,
    RtcpReceiverInfo,
    RtcpRrPacket,
    RtcpRtpfbPacket,
    RtcpSrPacket,
    unpack_remb_fci,
)

from lipstream.realtime.encoding.broadcast import Broadcast
from lipstream.realtime.encoding.encoded_unit import EncodedUnit
from lipstream.realtime.encoding.pacing import Kind
from lipstream.realtime.encoding.rate_control import SEQUENCE_MODULUS, RetransmitBudget
from lipstream.realtime.rtc.loss_protection import LossProtection
from lipstream.realtime.rtc.packetizer import HISTORY_PACKETS, Packetizer
from lipstream.realtime.rtc.receiver_adaptation import ReceiverAdaptation
from lipstream.realtime.wire.session_answers import SenderStats

logger = logging.getLogger(__name__)

NTP_EPOCH_S = 2_208_988_800
"""Unix time 0 on the NTP scale (RFC 5905)."""
MAX_ROUND_TRIP_S = 10.0
"""A larger or negative round trip means a step of the wall clock, with which aiortc times its reports."""
MAX_UNSENT_BYTES = 256 * 1024
"""Limit of bytes that wait in a blocked socket or before a relay; later packets are dropped."""
ROUND_TRIP_SHARE = 0.15
"""Weight of a new round trip in the running mean."""


class BroadcastTrack(MediaStreamTrack):
    """A peer's subscription to a broadcast in the form of a track, as aiortc requires one.

    Args:
        kind: ``audio`` or ``video``.

    Attributes:
        failure: Kind of the failed unit and the exception that ended the track; ``None`` without a failure.
    """

    def __init__(self, broadcast: Broadcast, kind: str, *, leads: bool) -> None:
        super().__init__()
        self.kind = kind
        self.broadcast, self.leads = broadcast, leads
        self.failure: tuple[Kind, Exception] | None = None

    async def recv(self) -> Any:
        """Raise MediaStreamError: a stock sender would encode the track by itself.

        Raises:
            MediaStreamError: Always.
        """
        raise MediaStreamError


class PlayoutSender(RTCRtpSender):
    """A sender of units that a broadcast has encoded. Its reports carry the media's time.

    aiortc's sender reports pair the RTP timestamp with the moment of sending. A picture sent 300 ms late would then be
    shown 300 ms late for ever, while the browser's statistics show no fault. aiortc's sender also encodes by itself,
    makes a key frame for every request, and awaits four coroutines for each packet.
    """

    _RTCRtpSender__lsr: int | None
    _RTCRtpSender__lsr_time: float | None
    _RTCRtpSender__mid: str
    _RTCRtpSender__ntp_timestamp: int
    _RTCRtpSender__octet_count: int
    _RTCRtpSender__packet_count: int
    _RTCRtpSender__rtp_exited: asyncio.Event
    _RTCRtpSender__rtp_started: asyncio.Event
    _RTCRtpSender__rtp_timestamp: int

    def __init__(
        self, track_or_kind: MediaStreamTrack | str, transport: RTCDtlsTransport, wall_offset_s: float
    ) -> None:
        super().__init__(track_or_kind, transport)
        self.unsent = 0
        self._wall_offset_s = wall_offset_s
        self._adaptation = ReceiverAdaptation(leads=getattr(track_or_kind, "leads", False))
        self._budget = RetransmitBudget()
        self._protection = LossProtection()
        self._to_copy: deque[int] = deque(maxlen=HISTORY_PACKETS)  # sequence numbers
        self._parameters: RTCRtpSendParameters | None = None
        self._stream: Packetizer | None = None
        self._codec: RTCRtpCodecParameters | None = None
        self._held = False
        self._over = asyncio.Event()
        self._lost: int | None = None
        self._round_trip_mean_s: float | None = None

    # The Subscriber protocol

    @property
    def leads(self) -> bool:
        """Whether the encode follows this peer's bitrate."""
        return self._adaptation.leads

    @property
    def bitrate(self) -> int | None:
        """Bitrate at which pictures suit the link, bit/s; ``None`` before the first picture."""
        return self._protection.encode_bitrate(self._adaptation.rate.target)

    def wants_key(self, now_s: float) -> bool:
        """Return whether the peer needs a key frame now."""
        return self._adaptation.wants_key(now_s)

    def on_unit(self, unit: EncodedUnit) -> None:
        """Send a unit at once, unless the peer's link is too slow for it."""
        now_s = time.monotonic()
        if self.kind == "video" and not self._adaptation.passes(
            key=unit.key, pixels=unit.pixels, bitrate=unit.bitrate, now_s=now_s
        ):
            return
        stream = self._stream
        if stream is None:
            return
        send_time, first = self._send_time(now_s), stream.sequence
        key = unit.key and self.kind == "video"
        packets = stream.write(unit.payloads, unit.timestamp, send_time=send_time, level_dbov=unit.level_dbov, key=key)
        self._send([*self._take_copies(stream, send_time), *packets])
        if stream.has_rtx and self._protection.covers(unit.bitrate, self._adaptation.rate.target):
            self._to_copy += [(first + place) % SEQUENCE_MODULUS for place in range(len(packets))]
        self._RTCRtpSender__ntp_timestamp = int((unit.due_s + self._wall_offset_s + NTP_EPOCH_S) * (1 << 32))
        self._RTCRtpSender__rtp_timestamp = stream.timestamp
        self._RTCRtpSender__octet_count = stream.octets
        self._RTCRtpSender__packet_count = stream.packets

    def hold(self, held: bool) -> None:  # noqa: FBT001
        """Send nothing until this is called with false: the client has stopped the section, or turned it."""
        if held == self._held:
            return
        self._held = held
        track, codec = self.track, self._codec
        if codec is None or self._over.is_set() or not isinstance(track, BroadcastTrack):
            return
        if held:
            track.broadcast.unsubscribe(self)
        else:
            self._adaptation.ask()
            track.broadcast.subscribe(codec.mimeType, self)

    def can_go_on(self, codecs: Sequence[RTCRtpCodecParameters]) -> bool:
        """Return whether what is sent stays the first of the negotiated codecs; true before the first packet."""
        now = self._codec
        return now is None or (now.mimeType, now.payloadType) == (codecs[0].mimeType, codecs[0].payloadType)

    def _send_time(self, now_s: float) -> int:
        return int((now_s + self._wall_offset_s + NTP_EPOCH_S) * (1 << 18)) & 0xFFFFFF

    def _take_copies(self, stream: Packetizer, send_time: int) -> list[bytes]:
        """Return the second copies that go before the next picture: a burst of losses seldom lasts so long."""
        copies = [copy for number in self._to_copy if (copy := stream.again(number, send_time))]
        self._to_copy.clear()
        return copies

    def fail(self, unit: Kind, error: Exception) -> None:
        """End the track: the broadcast sends no more units."""
        if isinstance(self.track, BroadcastTrack):
            self.track.failure = unit, error
        self._over.set()

    def _send(self, packets: Sequence[bytes]) -> None:
        """Protect and send packets without waiting; drop those for which the socket has no room."""
        transport: Any = self.transport
        if transport._state is not State.CONNECTED:
            return
        pair = transport.transport._connection._nominated.get(1)
        if pair is None:
            return
        way = pair.protocol.transport
        waiting = getattr(way, "get_write_buffer_size", None)  # a relay has no buffer size
        protect, address = transport._tx_srtp.protect, pair.remote_addr
        for packet in packets:
            if waiting is not None and waiting() > MAX_UNSENT_BYTES:
                self.unsent += 1
            else:
                way.sendto(protect(packet), address)

    # The interface of aiortc's sender

    async def send(self, parameters: RTCRtpSendParameters) -> None:
        """Start sending with the negotiated parameters."""
        self._parameters = parameters
        await super().send(parameters)

    async def _run_rtp(self, codec: RTCRtpCodecParameters) -> None:
        """Subscribe to the broadcast until stopped; replaces aiortc's loop over its track."""
        self._RTCRtpSender__rtp_started.set()
        track = self.track
        assert isinstance(track, BroadcastTrack)
        self._stream, self._codec = self._new_stream(codec), codec
        if self.leads:
            self._adaptation.rate.known = track.broadcast.led_bitrate
        try:
            if not self._held:
                track.broadcast.subscribe(codec.mimeType, self)
            await self._over.wait()
        except asyncio.CancelledError:
            pass
        except Exception as error:
            logger.exception("sender failed")
            track.failure = "speech" if self.kind == "audio" else "picture", error
        finally:
            track.broadcast.unsubscribe(self)
            track.stop()
            self._RTCRtpSender__rtp_exited.set()

    def _new_stream(self, codec: RTCRtpCodecParameters) -> Packetizer:
        parameters = self._parameters
        assert parameters is not None
        assert codec.payloadType is not None
        again = [c.payloadType for c in parameters.codecs if is_rtx(c) and c.parameters["apt"] == codec.payloadType]
        return Packetizer(
            payload_type=codec.payloadType,
            ssrc=self._ssrc,
            sequence=random.randrange(1 << 15),  # lower half: no receiver may miss the first wrap-around
            origin=random.randrange(1 << 32),
            extensions={extension.uri: extension.id for extension in parameters.headerExtensions},
            mid=self._RTCRtpSender__mid,
            rtx=(again[0], self._rtx_ssrc, random.randrange(1 << 15)) if again and again[0] else None,
        )

    async def _send_rtcp(self, packets: list[AnyRtcpPacket]) -> None:
        # Before the first packet a sender report has no times to map.
        if self._RTCRtpSender__ntp_timestamp or not any(isinstance(packet, RtcpSrPacket) for packet in packets):
            await super()._send_rtcp(packets)

    async def _handle_rtcp_packet(self, packet: AnyRtcpPacket) -> None:
        now_s = time.monotonic()
        if isinstance(packet, RtcpRrPacket | RtcpSrPacket):
            for report in packet.reports:
                if report.ssrc == self._ssrc:
                    self._report(report, now_s)
        elif isinstance(packet, RtcpRtpfbPacket) and packet.fmt == RTCP_RTPFB_NACK:
            self._repair(packet.lost, now_s)
        elif isinstance(packet, RtcpPsfbPacket) and packet.fmt in (RTCP_PSFB_FIR, RTCP_PSFB_PLI):
            self._adaptation.ask()
        elif isinstance(packet, RtcpPsfbPacket) and packet.fmt == RTCP_PSFB_APP:
            try:
                bitrate, ssrcs = unpack_remb_fci(packet.fci)
            except (ValueError, IndexError, struct.error):
                return
            if self._ssrc in ssrcs:
                self._adaptation.rate.estimate(bitrate, now_s)

    def _report(self, report: RtcpReceiverInfo, now_s: float) -> None:
        self._lost = report.packets_lost
        trip_s = self._round_trip_s(report)
        if trip_s is not None:
            mean_s = self._round_trip_mean_s
            self._round_trip_mean_s = trip_s if mean_s is None else mean_s + ROUND_TRIP_SHARE * (trip_s - mean_s)
        self._adaptation.rate.report(
            packets_lost=report.packets_lost,
            highest_sequence=report.highest_sequence,
            round_trip_s=trip_s,
            now_s=now_s,
        )
        self._protection.update(self._adaptation.rate, round_trip_s=self._round_trip_mean_s, now_s=now_s)

    def _round_trip_s(self, report: RtcpReceiverInfo) -> float | None:
        if not report.dlsr or report.lsr != self._RTCRtpSender__lsr or self._RTCRtpSender__lsr_time is None:
            return None
        trip_s = time.time() - self._RTCRtpSender__lsr_time - report.dlsr / 65536
        return trip_s if 0 <= trip_s < MAX_ROUND_TRIP_S else None

    def _repair(self, lost: Sequence[int], now_s: float) -> None:
        """Send lost packets again, or request a key frame after an outage.

        A browser that has missed several seconds asks for every packet of them, and for a key frame only three seconds
        later.
        """
        needed = self._stream.worth_repair(lost) if self._stream else []
        if needed is None:
            self._adaptation.ask()
            return
        for sequence in needed:
            self._send_again(sequence, now_s)

    def _send_again(self, sequence: int, now_s: float) -> None:
        """Send a lost packet again, within the budget; on a lossy link a second time with the next picture."""
        target = self._adaptation.rate.target
        size = self._stream.sent_size(sequence) if self._stream else None
        if self._stream is None or size is None or target is None:
            return
        if not self._budget.take(size, target_bitrate=target, now_s=now_s):
            return
        if packet := self._stream.again(sequence, self._send_time(now_s)):
            self._send([packet])
        if self._protection.active and self._stream.has_rtx:
            self._to_copy.append(sequence)

    def stats(self) -> SenderStats:
        """Return this sender's counters and the figures of the peer's last report."""
        trip_s = self._round_trip_mean_s
        return {
            "bytes_sent": self._RTCRtpSender__octet_count,
            "packets_sent": self._RTCRtpSender__packet_count,
            "packets_lost": self._lost,
            "round_trip_ms": None if trip_s is None else 1000 * trip_s,
            "target_bitrate": self._adaptation.rate.target,
            "key_frames": self._adaptation.key_frames,
            "thinned": self._adaptation.key_frames_only,
            "doubled": self._protection.active,
        }

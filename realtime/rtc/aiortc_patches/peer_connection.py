"""A peer connection that sends a broadcast, receives without delay, and leaves no task or socket after ``close``.

Patches of aiortc 1.16 and aioice 0.13. ``datagram_guard`` changes aioice for the whole process. All other patches
apply to ``PlayoutConnection`` alone, so a stock connection in the same process stays unchanged.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

from aiortc import (
    MediaStreamTrack,
    RTCBundlePolicy,
    RTCConfiguration,
    RTCIceServer,
    RTCIceTransportPolicy,
    RTCPeerConnection,
    RTCRtpSender,
    RTCRtpTransceiver,
)
from aiortc.rtcdtlstransport import RTCCertificate, RTCDtlsTransport, SRTPProtectionProfile
from aiortc.rtcicetransport import RTCIceTransport
from aiortc.rtcrtpparameters import RTCRtpCodecCapability
from aiortc.sdp import candidate_from_sdp
from OpenSSL import SSL

from lipstream.realtime.rtc.aiortc_patches import datagram_guard
from lipstream.realtime.rtc.aiortc_patches.consent import has_expired, keep_consent
from lipstream.realtime.rtc.aiortc_patches.receiver import LowLatencyReceiver, LowLatencyTransport
from lipstream.realtime.rtc.aiortc_patches.sender import BroadcastTrack, PlayoutSender
from lipstream.realtime.rtc.aiortc_patches.udp_ports import PortRange, listen_on
from lipstream.realtime.rtc.microphone import MicrophoneInput

logger = logging.getLogger(__name__)

OPUS = RTCRtpCodecCapability(mimeType="audio/opus", clockRate=48000, channels=2)
OPUS_PARAMETERS: dict[str, int | str | None] = {"minptime": 10, "useinbandfec": 1}

CIPHERS = (
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA:"
    b"ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-CHACHA20-POLY1305"
)
"""aiortc's ciphers plus two for peers with an RSA certificate, such as GStreamer, which share none with aiortc."""


class OpenCertificate(RTCCertificate):
    """Our certificate with ciphers that also suit peers with an RSA certificate."""

    def _create_ssl_context(self, srtp_profiles: list[SRTPProtectionProfile]) -> SSL.Context:
        context = super()._create_ssl_context(srtp_profiles)
        context.set_cipher_list(CIPHERS)
        return context


class PlayoutConnection(RTCPeerConnection):
    """A peer connection with this folder's sender, receiver and transport, on chosen addresses."""

    _RTCPeerConnection__dtlsTransports: set[RTCDtlsTransport]
    _RTCPeerConnection__iceTransports: set[RTCIceTransport]
    _RTCPeerConnection__stream_id: str
    _RTCPeerConnection__transceivers: list[RTCRtpTransceiver]

    def __init__(
        self,
        *,
        addresses: Sequence[str] | None,
        ice_servers: Sequence[RTCIceServer],
        relay_only: bool = False,
        udp_ports: PortRange | None = None,
        microphone: MicrophoneInput | None = None,
        on_flood: Callable[[str], None] | None = None,
    ) -> None:
        """Begin a connection.

        Args:
            addresses: Addresses to listen on; ``None`` for all but loopback (aioice's default).
            ice_servers: STUN and TURN servers; empty for none (aiortc's default would use Google's).
            relay_only: Open no socket and let a TURN server relay everything; default false.
            udp_ports: First and last UDP port to listen on; ``None`` for any.
            microphone: Takes the peer's decoded sound; ``None`` to ignore it.
            on_flood: Called with the reason when the peer's data channels exceed a limit; ``None`` for no call.
        """
        policy = RTCIceTransportPolicy.RELAY if relay_only else RTCIceTransportPolicy.ALL
        super().__init__(
            RTCConfiguration(
                iceServers=list(ice_servers), iceTransportPolicy=policy, bundlePolicy=RTCBundlePolicy.MAX_BUNDLE
            )
        )
        self._addresses, self._udp_ports, self._microphone, self._on_flood = addresses, udp_ports, microphone, on_flood
        self._connecting: set[asyncio.Task[Any]] = set()
        # Read once: the reports of both tracks must use one clock, and a step of the wall clock must not affect them.
        self._wall_offset_s = time.time() - time.monotonic()

    def add_sending(self, track: BroadcastTrack, *, receive: bool) -> RTCRtpTransceiver:
        """Add a track to send; with ``receive``, also receive the peer's track of the same kind."""
        transceiver = self.addTransceiver(track, direction="sendrecv" if receive else "sendonly")
        transceiver.setCodecPreferences([OPUS] if track.kind == "audio" else _capabilities(track.broadcast.codecs))
        return transceiver

    def add_receiving(self, kind: str) -> RTCRtpTransceiver:
        """Receive the peer's sound. Its pictures are discarded undecoded."""
        transceiver = self.addTransceiver(kind, direction="recvonly")
        if kind == "audio":
            transceiver.setCodecPreferences([OPUS])
        else:
            transceiver.receiver._enabled = False
        return transceiver

    async def add_candidates(self, candidates: Sequence[str], *, complete: bool) -> None:
        """Add candidates that arrive after the offer, as SDP lines; unreadable ones are skipped."""
        (transport,) = self._RTCPeerConnection__iceTransports
        for line in candidates:
            try:
                await transport.addRemoteCandidate(candidate_from_sdp(line))
            except (ValueError, AssertionError, IndexError) as error:
                logger.debug("candidate left out: %s", error)
        if complete:
            await transport.addRemoteCandidate(None)

    def announce_error_correction(self) -> None:
        """Announce Opus's in-band error correction in the answer; aiortc's answer carries no parameters."""
        for transceiver in self.getTransceivers():
            for codec in transceiver._codecs:
                if codec.mimeType.lower() == OPUS.mimeType:
                    codec.parameters = dict(OPUS_PARAMETERS)

    def sends_as_before(self) -> bool:
        """Return whether all senders stay with their codecs and payload types after a later offer."""
        return all(
            transceiver.sender.can_go_on(transceiver._codecs)
            for transceiver in self.getTransceivers()
            if isinstance(transceiver.sender, PlayoutSender)
        )

    def hold_what_is_not_wanted(self) -> None:
        """Send what the last answer says, and nothing in sections that take nothing."""
        for transceiver in self.getTransceivers():
            if isinstance(transceiver.sender, PlayoutSender):
                transceiver.sender.hold(transceiver.currentDirection not in ("sendonly", "sendrecv"))

    def last_received_s(self) -> float | None:
        """Return the monotonic time of the last datagram from the peer, media or consent; ``None`` before the first."""
        times = [
            datagram_guard.last_received_s(transport._connection)
            for transport in self._RTCPeerConnection__iceTransports
        ]
        return max((at_s for at_s in times if at_s is not None), default=None)

    def queue_depths(self) -> tuple[int, int]:
        """Return the number of incoming datagrams that wait, and the unsent bytes of the fullest socket."""
        agents = [transport._connection for transport in self._RTCPeerConnection__iceTransports]
        ways: list[Any] = [getattr(protocol, "transport", None) for agent in agents for protocol in agent._protocols]
        unsent = [way.get_write_buffer_size() for way in ways if hasattr(way, "get_write_buffer_size")]  # not a relay's
        return sum(agent._queue.qsize() for agent in agents), max(unsent, default=0)

    @property
    def consent_expired(self) -> bool:
        """Whether the connection was closed because the peer's consent expired."""
        return any(has_expired(transport._connection) for transport in self._RTCPeerConnection__iceTransports)

    def _RTCPeerConnection__createTransceiver(  # noqa: N802
        self, direction: str, kind: str, sender_track: MediaStreamTrack | None = None
    ) -> RTCRtpTransceiver:
        transceivers = self._RTCPeerConnection__transceivers
        bundled = bool(transceivers)
        transport = transceivers[0].receiver.transport if bundled else self._RTCPeerConnection__createDtlsTransport()
        sender = PlayoutSender(sender_track or kind, transport, self._wall_offset_s)
        transceiver = RTCRtpTransceiver(
            direction=direction,
            kind=kind,
            sender=sender,
            receiver=LowLatencyReceiver(kind, transport, self._microphone),
        )
        transceiver.receiver._set_rtcp_ssrc(sender._ssrc)
        sender._stream_id = self._RTCPeerConnection__stream_id
        transceiver._bundled = bundled
        transceivers.append(transceiver)
        return transceiver

    def _RTCPeerConnection__createDtlsTransport(self) -> RTCDtlsTransport:  # noqa: N802
        stock: Any = super()
        transport: RTCDtlsTransport = stock._RTCPeerConnection__createDtlsTransport()
        certificate: Any = transport._RTCDtlsTransport__local_certificate  # type: ignore[attr-defined]
        certificate.__class__ = OpenCertificate
        LowLatencyTransport.adopt(
            transport
        ).on_flood = self._on_flood  # aiortc names the class in the middle of the method
        listen_on(transport.transport._connection, self._addresses, self._udp_ports)
        keep_consent(transport.transport._connection)
        return transport

    async def _RTCPeerConnection__connect(self) -> None:  # noqa: N802
        task = asyncio.current_task()
        assert task is not None
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)
        stock: Any = super()
        try:
            await stock._RTCPeerConnection__connect()
        except Exception as error:  # noqa: BLE001 - the offer parses, but its parts do not fit together
            logger.warning("cannot connect: %s: %.200a", type(error).__name__, str(error))  # it will time out

    async def close(self) -> None:
        """Close, and wait for the tasks that aiortc only cancels or starts while it closes.

        Without this, a connection closed while its checks succeed would send consent checks on closed sockets for ever.
        """
        agents = [transport._connection for transport in self._RTCPeerConnection__iceTransports]
        pumps = {transport._task for transport in self._RTCPeerConnection__dtlsTransports if transport._task}
        await super().close()
        await _finish((pumps | self._connecting) - {asyncio.current_task()})
        # A connection that was being made has started these after the stop.
        for transceiver in self.getTransceivers():
            await transceiver.stop()
        if self.sctp:
            await self.sctp.stop()
        consents = {agent._query_consent_task for agent in agents if agent._query_consent_task}
        for task in consents:
            task.cancel()
        await _finish(consents)


def _capabilities(codecs: Sequence[str]) -> list[RTCRtpCodecCapability]:
    """Return aiortc's capabilities for the picture codecs, in order, and for retransmission (RTX)."""
    known = RTCRtpSender.getCapabilities("video").codecs
    return [codec for name in (*codecs, "video/rtx") for codec in known if codec.mimeType.lower() == name]


async def _finish(tasks: Collection[asyncio.Future[Any]]) -> None:
    """Wait for tasks to end, with any result."""
    if tasks:
        await asyncio.wait(tasks)

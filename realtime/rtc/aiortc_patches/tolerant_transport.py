"""A transport that drops and counts bad packets of a connected peer, so that the session continues.

aiortc parses packets in the task that receives them and expects no error but ``ValueError``. A header extension of a
wrong length or a misplaced data channel chunk therefore ends that task and the session. aiortc also keeps state for
each source (SSRC) it ever sees. ``association_bounds`` limits the cost of the data channels.
"""

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pylibsrtp
from aiortc.rtcdtlstransport import RTCDtlsTransport

from lipstream.realtime.rtc.aiortc_patches.association_bounds import AssociationBounds, AssociationFloodError

logger = logging.getLogger(__name__)

MAX_SOURCES = 32
"""Limit of sources per peer. A browser sends two or three: its microphone, and a new one after a restart."""


@dataclass(slots=True)
class DroppedPackets:
    """Counters of dropped packets of connected peers, over all connections of the process.

    Attributes:
        malformed: Number of packets for which the parser or the code behind it raised an exception.
        sources: Number of packets from sources beyond ``MAX_SOURCES``.
        chunks: Number of data channel packets above the rate limit.
    """

    malformed: int = 0
    sources: int = 0
    chunks: int = 0


dropped_packets = DroppedPackets()


class TolerantTransport(RTCDtlsTransport):
    """A DTLS transport that survives bad packets of its peer.

    Attributes:
        on_flood: Called once with the reason when the peer's data channels exceed a limit; their packets are ignored
            from then on. ``None`` for no call.
    """

    on_flood: Callable[[str], None] | None = None

    async def _handle_rtp_data(self, data: bytes, arrival_time_ms: int) -> None:
        await _tolerate(super()._handle_rtp_data(data, arrival_time_ms=arrival_time_ms))

    async def _handle_rtcp_data(self, data: bytes) -> None:
        await _tolerate(super()._handle_rtcp_data(data))

    def _register_data_receiver(self, receiver: Any) -> None:
        super()._register_data_receiver(receiver)
        handle: Callable[[bytes], Awaitable[None]] = receiver._handle_data
        bounds: AssociationBounds | None = AssociationBounds(receiver, time.monotonic())

        async def handle_within_bounds(data: bytes) -> None:
            nonlocal bounds
            if bounds is None:
                return
            try:
                if bounds.admits(data, time.monotonic()):
                    await _tolerate(handle(data))
                    bounds.check()
                else:
                    dropped_packets.chunks += 1
            except AssociationFloodError as error:
                bounds = None
                logger.warning("data channels ended: %s", error)
                if self.on_flood:
                    self.on_flood(str(error))

        receiver._handle_data = handle_within_bounds

    def _setup_srtp(self) -> None:
        super()._setup_srtp()
        if self._rx_srtp is not None:
            bounded: Any = BoundedSources(self._rx_srtp)
            self._rx_srtp = bounded


class BoundedSources:
    """A receiving SRTP session with at most ``MAX_SOURCES`` sources, as each one costs memory for ever."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._sources: set[bytes] = set()

    def unprotect(self, data: bytes) -> bytes:
        """Return a decrypted RTP packet.

        Raises:
            pylibsrtp.Error: If the packet is forged or from a source beyond the limit.
        """
        return self._take(data, data[8:12], self._session.unprotect)

    def unprotect_rtcp(self, data: bytes) -> bytes:
        """Return a decrypted RTCP packet.

        Raises:
            pylibsrtp.Error: If the packet is forged or from a source beyond the limit.
        """
        return self._take(data, data[4:8], self._session.unprotect_rtcp)

    def _take(self, data: bytes, source: bytes, unprotect: Callable[[bytes], bytes]) -> bytes:
        if source in self._sources:
            return unprotect(data)
        if len(self._sources) >= MAX_SOURCES:
            dropped_packets.sources += 1
            raise pylibsrtp.Error("too many sources")
        clear = unprotect(data)  # first, as a forged packet must not use up a source
        self._sources.add(source)
        return clear


async def _tolerate(handling: Awaitable[None]) -> None:
    try:
        await handling
    except ConnectionError:  # an answer could not be sent: the connection has ended
        raise
    except Exception:  # noqa: BLE001 - struct.error, AssertionError, KeyError and more, all from a bad packet
        dropped_packets.malformed += 1

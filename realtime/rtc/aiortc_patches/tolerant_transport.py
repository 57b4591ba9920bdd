"""What a connected peer sends wrong is dropped and counted; its session goes on.

aiortc reads packets in the task that receives them, and expects no error but ``ValueError``: a header extension of the
wrong length, or a chunk of the data channel in the wrong place, ends that task and with it the session. It also keeps
state for each source (SSRC) that it ever hears of. A peer whose data channels cost too much is ended, as
``association_bounds`` says.
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
"""A browser sends two or three: its microphone, and perhaps others when it has started again."""


@dataclass(slots=True)
class DroppedPackets:
    """Packets of connected peers that were dropped, over all connections of the process.

    Attributes:
        malformed: What the parser or the state behind it raised at.
        sources: From more sources than one peer has.
        chunks: Packets of data channels, over the rate that one peer has.
    """

    malformed: int = 0
    sources: int = 0
    chunks: int = 0


dropped_packets = DroppedPackets()


class TolerantTransport(RTCDtlsTransport):
    """A DTLS transport that outlives what its peer sends wrong.

    Attributes:
        on_flood: Called once, with the reason, when the peer's data channels cost more than they may; from then on
            nothing of them is handled.
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
    """A receiving SRTP session that lets a peer have so many sources and no more: each one costs memory for ever."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._sources: set[bytes] = set()

    def unprotect(self, data: bytes) -> bytes:
        """Return an RTP packet in the clear.

        Raises:
            pylibsrtp.Error: If it is not the peer's, or from one source too many.
        """
        return self._take(data, data[8:12], self._session.unprotect)

    def unprotect_rtcp(self, data: bytes) -> bytes:
        """Return an RTCP packet in the clear.

        Raises:
            pylibsrtp.Error: As above.
        """
        return self._take(data, data[4:8], self._session.unprotect_rtcp)

    def _take(self, data: bytes, source: bytes, unprotect: Callable[[bytes], bytes]) -> bytes:
        if source in self._sources:
            return unprotect(data)
        if len(self._sources) >= MAX_SOURCES:
            dropped_packets.sources += 1
            raise pylibsrtp.Error("too many sources")
        clear = unprotect(data)  # before it has proved to be the peer's, a packet may take no place
        self._sources.add(source)
        return clear


async def _tolerate(handling: Awaitable[None]) -> None:
    try:
        await handling
    except ConnectionError:  # an answer could not be sent: the connection is at its end
        raise
    except Exception:  # noqa: BLE001 - struct.error, AssertionError, KeyError and more, all from a bad packet
        dropped_packets.malformed += 1

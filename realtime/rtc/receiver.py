"""The receiving end of a peer, in place of aiortc's: sound is handed on as it comes.

Like ``departures`` it touches private names of aiortc, each for a reason that is given.
"""

import logging
from collections.abc import Callable

from aiortc import RTCRtpReceiver
from aiortc.codecs.opus import OpusDecoder
from aiortc.jitterbuffer import JitterBuffer, JitterFrame
from aiortc.rtcdtlstransport import RTCDtlsTransport
from aiortc.rtcrtpreceiver import TimestampMapper
from aiortc.rtp import RtpPacket
from av import FFmpegError

from realtime.rtc.packet_order import PacketOrder

logger = logging.getLogger(__name__)

MOST_UNREAD = 50
"""Frames of a track that nobody reads, as happens for as long as it takes to end: a second. aiortc keeps them all."""


class SoundBuffer(JitterBuffer):
    """Hands packets of sound on as they come.

    aiortc's buffer holds 80 ms always and 280 ms after the first lost packet, for ever.
    """

    def __init__(self, decode: Callable[[RtpPacket], None]) -> None:
        super().__init__(capacity=4)
        self._decode = decode
        self._order: PacketOrder[RtpPacket] = PacketOrder()

    def add(self, packet: RtpPacket) -> tuple[bool, JitterFrame | None]:
        """Take a packet and decode those that are in order now; the receiver is left with nothing to decode."""
        for ready in self._order.push(packet.sequence_number, packet):
            if ready.payload:  # without one PyAV's decoder takes it that the stream has ended, for good
                self._decode(ready)
        return False, None


class PromptReceiver(RTCRtpReceiver):
    """A receiver of sound that adds no delay while packets come in order, and decodes where it receives.

    aiortc hands every packet to a thread of the receiver's and its sound back, which takes longer than decoding does.
    """

    _RTCRtpReceiver__timestamp_mapper: TimestampMapper

    def __init__(self, kind: str, transport: RTCDtlsTransport) -> None:
        super().__init__("audio", transport)  # no picture is received: its estimator is two thousand objects, and a ms
        self._RTCRtpReceiver__kind = kind
        if kind == "audio":
            self._decoder = OpusDecoder()
            self._RTCRtpReceiver__jitter_buffer = SoundBuffer(self._decode)

    def _decode(self, packet: RtpPacket) -> None:
        if self._track is None:
            return
        timestamp = self._RTCRtpReceiver__timestamp_mapper.map(packet.timestamp)
        try:
            for frame in self._decoder.decode(JitterFrame(packet.payload, timestamp)):
                if self._track._queue.qsize() < MOST_UNREAD:
                    self._track._queue.put_nowait(frame)
        except FFmpegError as error:
            logger.debug("microphone packet dropped: %s", error)

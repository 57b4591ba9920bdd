"""Replaces aiortc's RTP receiver: sound is decoded and passed on as soon as its datagram is read.

aiortc puts every datagram into a queue, parses it into objects in a task, decodes it in a thread, and puts the result
into another queue for another task. Its jitter buffer always holds 80 ms, and 280 ms after the first lost packet.
"""

import logging
import struct
import time
from typing import Any, NamedTuple

import av
import numpy as np
import numpy.typing as npt
import pylibsrtp
from aiortc import RTCRtpReceiver
from aiortc.rtcdtlstransport import RTCDtlsTransport, State
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.rtcrtpreceiver import StreamStatistics
from aiortc.rtp import RtpPacket

from lipstream.realtime.rtc.aiortc_patches.tolerant_transport import TolerantTransport, dropped_packets
from lipstream.realtime.rtc.microphone import MicrophoneInput
from lipstream.realtime.rtc.reorder_buffer import ReorderBuffer
from lipstream.realtime.timeline import SOUND_RATE_HZ

logger = logging.getLogger(__name__)

_HEADER = struct.Struct("!BBHL")
_HEADER_BYTES = 12
_PADDED, _EXTENDED, _SOURCES = 0x20, 0x10, 0x0F
_RTCP_TYPES = range(64, 96)
"""Payload types that RFC 5761 reserves: a packet with one looks like RTCP."""


class SoundDecoder:
    """Decodes Opus to mono: the two channels of a browser are equal, and stereo doubles the work."""

    def __init__(self) -> None:
        codec = av.CodecContext.create("libopus", "r")
        assert isinstance(codec, av.AudioCodecContext)
        codec.layout, codec.sample_rate = "mono", SOUND_RATE_HZ
        codec.options = {"request_sample_fmt": "flt"}
        self._codec = codec

    def decode(self, payload: bytes) -> npt.NDArray[np.float32]:
        """Return the ``float32[n]`` of a packet, 48 kHz.

        Raises:
            FFmpegError: If the packet cannot be decoded.
        """
        parts = [_samples(frame) for frame in self._codec.decode(av.Packet(payload))]
        return parts[0] if len(parts) == 1 else np.concatenate([np.zeros(0, np.float32), *parts])


def _samples(frame: av.AudioFrame) -> npt.NDArray[np.float32]:
    return np.frombuffer(memoryview(frame.planes[0]), np.float32, frame.samples)


class LowLatencyReceiver(RTCRtpReceiver):
    """A receiver of sound without delay while packets arrive in order; it decodes on the event loop.

    Args:
        kind: ``audio`` or ``video``; pictures are never decoded.
        microphone: Takes the decoded sound; ``None`` for a peer with sound that is not used.
    """

    _RTCRtpReceiver__codecs: dict[int, RTCRtpCodecParameters]
    _RTCRtpReceiver__remote_streams: dict[int, StreamStatistics]

    def __init__(self, kind: str, transport: RTCDtlsTransport, microphone: MicrophoneInput | None) -> None:
        super().__init__("audio", transport)  # as "video" it would create an estimator of 2,000 objects, in 1 ms
        self._RTCRtpReceiver__kind = kind
        self._microphone = microphone
        self._order: ReorderBuffer[tuple[int, bytes]] = ReorderBuffer()
        self._decoder = SoundDecoder() if kind == "audio" and microphone else None

    async def _handle_rtp_packet(self, packet: RtpPacket, arrival_time_ms: int) -> None:
        """Take the first packet of a source; later ones come directly from the transport."""
        codec = self._RTCRtpReceiver__codecs.get(packet.payload_type)
        if self._decoder is None:
            await super()._handle_rtp_packet(packet, arrival_time_ms)
        elif self._enabled and codec is not None:
            streams = self._RTCRtpReceiver__remote_streams
            if packet.ssrc not in streams:
                streams[packet.ssrc] = StreamStatistics(codec.clockRate)
                if isinstance(self.transport, LowLatencyTransport) and packet.payload_type not in _RTCP_TYPES:
                    self.transport.add_source(packet.ssrc, packet.payload_type, self)
            self.take(packet.ssrc, packet.sequence_number, packet.timestamp, packet.payload)

    def take(self, ssrc: int, sequence: int, timestamp: int, payload: bytes) -> None:
        """Take a packet; decode and pass on the packets that are now in order."""
        statistics: Any = self._RTCRtpReceiver__remote_streams[ssrc]
        statistics.add(_Arrived(sequence, timestamp))
        assert self._decoder is not None
        assert self._microphone is not None
        for at, ready in self._order.push(sequence, (timestamp, payload)):
            if not ready:  # an empty packet would end the decoder's stream for good
                continue
            try:
                samples = self._decoder.decode(ready)
            except av.FFmpegError as error:
                logger.debug("microphone packet dropped: %s", error)
                continue
            if samples.size:
                self._microphone.push(at, samples, time.monotonic())


class _Arrived(NamedTuple):
    """The fields of a packet that a receiver's statistics read."""

    sequence_number: int
    timestamp: int


class LowLatencyTransport(TolerantTransport):
    """A DTLS transport that delivers sound without a queue and a task.

    The first packet of a source passes through aiortc, which assigns the source to a receiver.
    """

    _sources: dict[bytes, tuple[int, int, LowLatencyReceiver]]

    @classmethod
    def adopt(cls, transport: RTCDtlsTransport) -> "LowLatencyTransport":
        """Convert a transport that aiortc has just created into this class, and return it."""
        transport.__class__ = cls
        assert isinstance(transport, cls)
        transport._sources = {}
        connection: Any = transport.transport._connection
        enqueue = connection.data_received

        def data_received(data: bytes, component: int) -> None:
            if not transport.take(data):
                enqueue(data, component)

        connection.data_received = data_received
        return transport

    def add_source(self, ssrc: int, payload_type: int, receiver: LowLatencyReceiver) -> None:
        """Give packets of a source directly to a receiver from now on."""
        self._sources[ssrc.to_bytes(4, "big")] = payload_type, ssrc, receiver

    def take(self, data: bytes) -> bool:
        """Take a datagram if it is sound of a known source; return whether it was."""
        source = self._sources.get(data[8:_HEADER_BYTES])
        if source is None or self._state is not State.CONNECTED:
            return False
        payload_type, ssrc, receiver = source
        if data[1] & 0x7F != payload_type:
            return False
        try:
            clear = self._rx_srtp.unprotect(data)
        except pylibsrtp.Error:
            return True  # forged or a duplicate
        try:
            _, _, sequence, timestamp = _HEADER.unpack_from(clear)
            receiver.take(ssrc, sequence, timestamp, payload_of(clear))
        except Exception:  # noqa: BLE001 - see TolerantTransport
            dropped_packets.malformed += 1
        return True


def payload_of(packet: bytes) -> bytes:
    """Return the payload of an RTP packet (RFC 3550, section 5.1); its header extension is skipped.

    Raises:
        ValueError: If the packet is too short.
    """
    first, end = packet[0], len(packet)
    start = _HEADER_BYTES + 4 * (first & _SOURCES)
    if first & _EXTENDED:
        start += 4 + 4 * int.from_bytes(packet[start + 2 : start + 4], "big")
    if start > end:
        raise ValueError("the header is cut off")
    if first & _PADDED:
        end -= packet[-1]
        if not packet[-1] or start > end:
            raise ValueError("the padding is longer than the packet")
    return packet[start:end]

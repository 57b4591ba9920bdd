"""The receiving end of a peer, in place of aiortc's: sound is decoded and handed on as its datagram is read.

aiortc puts every datagram into a queue, wakes a task that parses it into objects, decodes it in a thread and puts what
comes out into another queue, for another task. And its jitter buffer holds 80 ms always, and 280 ms after the first
lost packet, for ever. It touches private names of aiortc.
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
"""A payload type of these cannot be told from RTCP by the header (RFC 5761)."""


class SoundDecoder:
    """Opus, as one channel: the two of a browser are alike, and hold twice the work."""

    def __init__(self) -> None:
        codec = av.CodecContext.create("libopus", "r")
        assert isinstance(codec, av.AudioCodecContext)
        codec.layout, codec.sample_rate = "mono", SOUND_RATE_HZ
        codec.options = {"request_sample_fmt": "flt"}
        self._codec = codec

    def decode(self, payload: bytes) -> npt.NDArray[np.float32]:
        """Return the ``float32[n]`` of a packet.

        Raises:
            FFmpegError: If it cannot be decoded.
        """
        parts = [_samples(frame) for frame in self._codec.decode(av.Packet(payload))]
        return parts[0] if len(parts) == 1 else np.concatenate([np.zeros(0, np.float32), *parts])


def _samples(frame: av.AudioFrame) -> npt.NDArray[np.float32]:
    return np.frombuffer(memoryview(frame.planes[0]), np.float32, frame.samples)


class LowLatencyReceiver(RTCRtpReceiver):
    """A receiver of sound that adds no delay while packets come in order, and decodes where it receives.

    Args:
        kind: ``audio`` or ``video``; no picture is ever decoded.
        transport: Where its packets come from.
        microphone: Takes what was decoded; ``None`` for a peer whose sound nobody wants.
    """

    _RTCRtpReceiver__codecs: dict[int, RTCRtpCodecParameters]
    _RTCRtpReceiver__remote_streams: dict[int, StreamStatistics]

    def __init__(self, kind: str, transport: RTCDtlsTransport, microphone: MicrophoneInput | None) -> None:
        super().__init__("audio", transport)  # no picture is received: its estimator is two thousand objects, and a ms
        self._RTCRtpReceiver__kind = kind
        self._microphone = microphone
        self._order: ReorderBuffer[tuple[int, bytes]] = ReorderBuffer()
        self._decoder = SoundDecoder() if kind == "audio" and microphone else None

    async def _handle_rtp_packet(self, packet: RtpPacket, arrival_time_ms: int) -> None:
        """Take a source's first packet; its next ones come by the transport's shorter way."""
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
        """Take a packet, and hand on the sound of those that are in order now."""
        statistics: Any = self._RTCRtpReceiver__remote_streams[ssrc]
        statistics.add(_Arrived(sequence, timestamp))
        assert self._decoder is not None
        assert self._microphone is not None
        for at, ready in self._order.push(sequence, (timestamp, payload)):
            if not ready:  # without a payload the decoder takes it that the stream has ended, for good
                continue
            try:
                samples = self._decoder.decode(ready)
            except av.FFmpegError as error:
                logger.debug("microphone packet dropped: %s", error)
                continue
            if samples.size:
                self._microphone.push(at, samples, time.monotonic())


class _Arrived(NamedTuple):
    """What a receiver's statistics read of a packet."""

    sequence_number: int
    timestamp: int


class LowLatencyTransport(TolerantTransport):
    """A DTLS transport whose sound comes without a queue and without a task.

    A source goes the long way with its first packet, on which aiortc decides whose it is.
    """

    _sources: dict[bytes, tuple[int, int, LowLatencyReceiver]]

    @classmethod
    def adopt(cls, transport: RTCDtlsTransport) -> "LowLatencyTransport":
        """Make a transport that aiortc has just made one of these, and return it."""
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
        """Hand packets of a source to a receiver from now on."""
        self._sources[ssrc.to_bytes(4, "big")] = payload_type, ssrc, receiver

    def take(self, data: bytes) -> bool:
        """Take a datagram if it is sound of a known source; tell whether it was."""
        source = self._sources.get(data[8:_HEADER_BYTES])
        if source is None or self._state is not State.CONNECTED:
            return False
        payload_type, ssrc, receiver = source
        if data[1] & 0x7F != payload_type:
            return False
        try:
            clear = self._rx_srtp.unprotect(data)
        except pylibsrtp.Error:
            return True  # not the peer's, or come twice
        try:
            _, _, sequence, timestamp = _HEADER.unpack_from(clear)
            receiver.take(ssrc, sequence, timestamp, payload_of(clear))
        except Exception:  # noqa: BLE001 - as TolerantTransport has it
            dropped_packets.malformed += 1
        return True


def payload_of(packet: bytes) -> bytes:
    """Return the payload of an RTP packet (RFC 3550, section 5.1); what its header extension says is not read.

    Raises:
        ValueError: If it is cut off.
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

"""Records the packets of a call, and decodes sound and pictures with their media time and time of arrival.

aiortc shifts the first timestamp of each track to 0, so its frames do not show the offset between sound and picture.
This module decodes the packets itself and takes their media time from RTP timestamps and sender reports.
"""

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from aiortc.codecs.h264 import h264_depayload
from aiortc.codecs.vpx import vp8_depayload

from lipstream.realtime.timeline import PACKET_SOUND, SOUND_RATE_HZ, VIDEO_CLOCK_HZ

OPUS_DELAY_SOUND = SOUND_RATE_HZ * 65 // 10_000
"""Opus's algorithmic delay: 6.5 ms."""
_MODULUS = 1 << 32
_SEQUENCES = 1 << 16


@dataclass(frozen=True, slots=True)
class RecordedPacket:
    """One RTP packet.

    Attributes:
        arrived_s: Monotonic time of arrival, s.
        timestamp: RTP timestamp, 0..2**32 - 1.
        payload: Payload; empty if the caller does not keep payloads.
        sequence: RTP sequence number, 0..65535; the original one for a retransmission.
    """

    arrived_s: float
    timestamp: int
    marker: bool
    payload: bytes
    sequence: int


@dataclass(slots=True)
class RecordedStream:
    """One received stream, in the order of arrival.

    Attributes:
        rate: Rate of the RTP clock, Hz.
        reports: RTP timestamp and NTP time of each sender report, ticks and s.
        codec: MIME type; empty before the first packet.
    """

    rate: int
    packets: list[RecordedPacket] = field(default_factory=list)
    reports: list[tuple[int, float]] = field(default_factory=list)
    codec: str = ""

    def media_s(self, timestamp: int) -> float:
        """Return the sender's NTP time for an RTP timestamp, s, from the nearest sender report."""
        ticks, ntp_s = min(
            ((_difference(timestamp, reported), ntp_s) for reported, ntp_s in self.reports),
            key=lambda pair: abs(pair[0]),
        )
        return ntp_s + ticks / self.rate

    def copy(self) -> "RecordedStream":
        """Return a copy; the stream itself may go on."""
        return RecordedStream(self.rate, list(self.packets), list(self.reports), self.codec)

    def to_json(self) -> dict[str, Any]:
        """Return a dict that JSON can hold, for :meth:`from_json`."""
        packets = [
            [p.arrived_s, p.timestamp, p.marker, base64.b64encode(p.payload).decode(), p.sequence] for p in self.packets
        ]
        return {"rate": self.rate, "packets": packets, "reports": self.reports, "codec": self.codec}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "RecordedStream":
        """Return the stream from the dict that :meth:`to_json` returned."""
        packets = [
            RecordedPacket(at_s, stamp, marker, base64.b64decode(text), sequence)
            for at_s, stamp, marker, text, sequence in fields["packets"]
        ]
        return cls(fields["rate"], packets, [(stamp, ntp_s) for stamp, ntp_s in fields["reports"]], fields["codec"])


@dataclass(slots=True)
class CallRecording:
    """Both streams of one call."""

    sound: RecordedStream = field(default_factory=lambda: RecordedStream(SOUND_RATE_HZ))
    picture: RecordedStream = field(default_factory=lambda: RecordedStream(VIDEO_CLOCK_HZ))

    def copy(self) -> "CallRecording":
        """Return a copy; the recording itself may go on."""
        return CallRecording(self.sound.copy(), self.picture.copy())

    def to_json(self) -> dict[str, Any]:
        """Return a dict that JSON can hold, for :meth:`from_json`."""
        return {"sound": self.sound.to_json(), "picture": self.picture.to_json()}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "CallRecording":
        """Return the recording from the dict that :meth:`to_json` returned."""
        return cls(RecordedStream.from_json(fields["sound"]), RecordedStream.from_json(fields["picture"]))


@dataclass(frozen=True, slots=True, eq=False)
class DecodedAudio:
    """Decoded sound, with silence in place of lost packets.

    Attributes:
        samples: Sound, ``float32[n]``, mono, 48 kHz.
        media_s: Sender's time of the first of every 960 samples, without Opus's delay, s; ``float64[n / 960]``.
        arrived_s: Monotonic time at which the same samples could be played, s; ``float64[n / 960]``.
    """

    samples: npt.NDArray[np.float32]
    media_s: npt.NDArray[np.float64]
    arrived_s: npt.NDArray[np.float64]

    def at(self, sample: float) -> tuple[float, float]:
        """Return the sender's time and the time of arrival of a sample, s."""
        packet = int(sample) // PACKET_SOUND
        offset_s = (sample - packet * PACKET_SOUND) / SOUND_RATE_HZ
        return float(self.media_s[packet] + offset_s), float(self.arrived_s[packet] + offset_s)


def decode_sound(stream: RecordedStream) -> DecodedAudio:
    """Decode a stream of Opus packets of 20 ms. The stream must hold at least one packet."""
    codec: Any = av.CodecContext.create("libopus", "r")
    codec.format, codec.layout, codec.sample_rate = "s16", "mono", SOUND_RATE_HZ
    first = stream.packets[0].timestamp
    end = max(_difference(packet.timestamp, first) for packet in stream.packets) + PACKET_SOUND
    samples = np.zeros(end, np.float32)
    times = np.full((2, end // PACKET_SOUND), np.nan)
    delay_s = OPUS_DELAY_SOUND / SOUND_RATE_HZ
    for packet in stream.packets:
        start = _difference(packet.timestamp, first)
        for frame in codec.decode(av.Packet(packet.payload)):
            pcm = frame.to_ndarray().reshape(-1, len(frame.layout.channels))[:PACKET_SOUND].mean(axis=1)
            samples[start : start + pcm.size] = pcm / 32768
        media_s = stream.media_s(packet.timestamp) if stream.reports else np.nan
        times[:, start // PACKET_SOUND] = media_s - delay_s, packet.arrived_s - delay_s
    return DecodedAudio(samples, *times)


@dataclass(frozen=True, slots=True, eq=False)
class DecodedPicture:
    """One decoded picture.

    Attributes:
        timestamp: RTP timestamp, 1/90000 s.
        media_s: Sender's time, s; NaN without sender reports.
        arrived_s: Monotonic time at which its last packet arrived, s.
        luma: Luma plane, ``uint8[h, w]``.
    """

    timestamp: int
    media_s: float
    arrived_s: float
    luma: npt.NDArray[np.uint8]


def decode_pictures(stream: RecordedStream) -> Iterator[DecodedPicture]:
    """Decode a stream of VP8 or H.264; skip pictures that cannot be decoded."""
    is_vp8 = stream.codec.lower() == "video/vp8"
    codec: Any = av.CodecContext.create("libvpx" if is_vp8 else "h264", "r")
    codec.thread_count = 1  # every further thread would delay the output by one picture
    depayload = vp8_depayload if is_vp8 else h264_depayload
    waiting: list[RecordedPacket] = []
    for packet in _in_order(stream.packets):
        if waiting and waiting[0].timestamp != packet.timestamp:
            waiting.clear()
        waiting.append(packet)
        if not packet.marker:
            continue
        data = b"".join(depayload(part.payload) for part in waiting)
        arrived_s = max(part.arrived_s for part in waiting)
        waiting.clear()
        try:
            frames = codec.decode(av.Packet(data))
        except av.FFmpegError:
            continue
        media_s = stream.media_s(packet.timestamp) if stream.reports else float("nan")
        for frame in frames:
            luma = frame.to_ndarray(format="yuv420p")[: frame.height].astype(np.uint8, copy=False)
            yield DecodedPicture(packet.timestamp, media_s, arrived_s, luma)


def _in_order(packets: list[RecordedPacket]) -> list[RecordedPacket]:
    """Return packets in the order of their sequence numbers, since retransmissions arrive late."""
    first = packets[0].sequence if packets else 0
    half = _SEQUENCES // 2
    placed, last = [], 0
    for packet in packets:
        last += (packet.sequence - first - last + half) % _SEQUENCES - half
        placed.append((last, packet))
    return [packet for _, packet in sorted(placed, key=lambda pair: pair[0])]


def _difference(timestamp: int, origin: int) -> int:
    """Return the difference of two timestamps modulo 2^32, in -2^31..2^31 - 1."""
    return (timestamp - origin + _MODULUS // 2) % _MODULUS - _MODULUS // 2

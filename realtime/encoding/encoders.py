"""Encoders with settings for live calls, in place of aiortc's.

aiortc's encoders assume 30 frames a second, start at one bitrate for every picture size, and reopen (with a key
frame) at each change of the bitrate by a tenth. Their presets cost threads and milliseconds, and speech is sent in
stereo without in-band error correction.
"""

import fractions
import math
import random
import time
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.audio.codeccontext import AudioCodecContext
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType
from av.video.reformatter import ColorRange, Colorspace

from lipstream.realtime.encoding.h264_level import Pictures, h264_level
from lipstream.realtime.encoding.pacing import speech_frame
from lipstream.realtime.encoding.rate_control import MAX_BITRATE, start_bitrate
from lipstream.realtime.encoding.rtp_payloads import PICTURE_IDS, h264_payloads, vp8_payloads
from lipstream.realtime.encoding.thread_priority import step_back
from lipstream.realtime.timeline import FRAME_RATE_HZ, PACKET_SOUND, SOUND_RATE_HZ

OPUS_BITRATE = 56_000
OPUS_OPTIONS = {"application": "voip", "fec": "1", "packet_loss": "10", "compression_level": "1"}
"""Libopus spends bits on error correction only if it is told to expect loss. At this bitrate higher compression levels
cost up to twice the time without a gain: the decoded sound stays within 0.1 dB by spectrum and by waveform."""

SETTLED_PACKETS = 20
"""Packets of digital silence (0.4 s) after which Opus repeats the same packet."""

REOPEN_CHANGE = 0.3
REOPEN_UP_INTERVAL_S = 3.0
REOPEN_DOWN_INTERVAL_S = 1.0
"""Some encoders fix their bitrate when they open. Reopening costs a key frame; overfilling a link costs more, so the
interval is shorter on the way down."""
ADJUST_CHANGE = 0.05
NO_KEY_FRAMES = 3000
"""Frames between key frames without a request: two minutes."""
NARROW_BITRATE, NARROW_MAX = 200_000, 300_000
"""At ``NARROW_BITRATE`` and below, ``NARROW_MAX`` bounds H.264's peak rate. A key frame then takes 4 KB in place of 15
to 30, which would fill the queue of a narrow link and delay the sound behind it."""
THREADED_PIXELS = 1280 * 720

VP8_OPTIONS = {
    "cpu-used": "-12",  # faster than -8, slightly less sharp
    "deadline": "realtime",
    "lag-in-frames": "0",
    # A key frame takes at most 7.5 frames' share, as in libwebrtc: a larger one overflows the queue of a narrow link
    # and is requested again, so that nothing else gets through.
    "max-intra-rate": "750",
    "noise-sensitivity": "0",  # rendered faces have no camera noise: the filter costs a third of the time and 1 dB
    "overshoot-pct": "15",
    "partitions": "0",
    "static-thresh": "500",  # skips the blocks of a still background: a quarter of the time, no loss
    "undershoot-pct": "100",
}
H264_OPTIONS = {
    "preset": "ultrafast",
    "x264-params": "no-deblock=0",  # ultrafast turns deblocking off; it costs little, gains 0.5 dB, hides block edges
    "tune": "zerolatency",
}


class SpeechEncoder:
    """Opus for one voice: mono, with in-band error correction against a loss of 10 %."""

    def __init__(self) -> None:
        codec = av.CodecContext.create("libopus", "w")
        assert isinstance(codec, AudioCodecContext)
        codec.bit_rate = OPUS_BITRATE
        codec.format = "s16"
        codec.layout = "mono"
        codec.sample_rate = SOUND_RATE_HZ
        codec.time_base = fractions.Fraction(1, SOUND_RATE_HZ)
        codec.options = dict(OPUS_OPTIONS)
        self.codec = codec
        self._silent = 0  # packets in a row
        self._last: list[bytes] = []

    def payloads(self, index: int, samples: npt.NDArray[np.int16]) -> list[bytes]:
        """Return the payloads of packet ``index`` of the speech, ``int16[960]``.

        In digital silence Opus soon repeats its packet. This method then returns the last packet without calling Opus,
        which saves a tenth of the event loop's work for an idle session.
        """
        self._silent = 0 if samples.any() else self._silent + 1
        if self._silent <= SETTLED_PACKETS:
            self._last, _ = self.encode(speech_frame(index, samples))
        return self._last

    def encode(self, frame: av.AudioFrame) -> tuple[list[bytes], int]:
        """Encode ``int16[960]`` into one packet; return it with the frame's pts."""
        assert frame.samples == PACKET_SOUND
        assert frame.pts is not None
        timestamp = frame.pts
        return [bytes(packet) for packet in self.codec.encode(frame)], timestamp


class PictureEncoder(ABC):
    """Common part of the video encoders: the target bitrate and the rule for reopening the codec.

    Attributes:
        codec: The open codec; ``None`` before the first picture.
        every: Encode one of this many frames, from 1; a subclass scales the bitrate accordingly.
    """

    def __init__(self, **options: str) -> None:
        self.codec: VideoCodecContext | None = None
        self.sent_key_frame = False
        self.every = 1
        self._options = options
        self._target: int | None = None
        self._opened_s = 0.0

    @property
    def target_bitrate(self) -> int:
        """Bitrate to encode at, bit/s; 0 until it is set or the first picture chooses one by its size."""
        return self._target or 0

    @target_bitrate.setter
    def target_bitrate(self, bitrate: int) -> None:
        self._target = bitrate

    def _bitrate(self, frame: av.VideoFrame) -> int:
        if self._target is None:
            self._target = start_bitrate(frame.width * frame.height)
        return self._target

    def _open(self, frame: av.VideoFrame, *, name: str, bit_rate: int, options: dict[str, str]) -> VideoCodecContext:
        codec = av.CodecContext.create(name, "w")
        assert isinstance(codec, VideoCodecContext)
        codec.width = frame.width
        codec.height = frame.height
        codec.bit_rate = bit_rate
        codec.pix_fmt = "yuv420p"
        codec.framerate = fractions.Fraction(FRAME_RATE_HZ)
        codec.time_base = fractions.Fraction(1, FRAME_RATE_HZ)
        codec.gop_size = NO_KEY_FRAMES
        codec.thread_count = 2 if frame.width * frame.height > THREADED_PIXELS else 1
        codec.colorspace = Colorspace.ITU601
        codec.color_range = ColorRange.MPEG
        codec.options = options | self._options
        self._opened_s = time.monotonic()
        return codec

    def encode(self, frame: av.VideoFrame, force_keyframe: bool = False) -> tuple[list[bytes], int]:  # noqa: FBT001, FBT002
        """Encode one picture into RTP payloads; return them with the frame's pts."""
        data, timestamp = self.encode_picture(frame, key=force_keyframe)
        return self._payloads(data), timestamp

    def encode_picture(self, frame: av.VideoFrame, *, key: bool) -> tuple[bytes, int]:
        """Encode one picture; return the bitstream and the frame's pts."""
        assert frame.pts is not None
        codec = self._codec_for(frame, self._bitrate(frame))
        timestamp = frame.pts  # read now: the codec rescales the frame's pts to its own time base
        frame.pict_type = PictureType.I if key else PictureType.NONE
        packets = codec.encode(frame)
        self.sent_key_frame = any(packet.is_keyframe for packet in packets)
        return b"".join(bytes(packet) for packet in packets), timestamp

    @abstractmethod
    def _codec_for(self, frame: av.VideoFrame, target: int) -> VideoCodecContext:
        """Return a codec that is open for pictures of this size at ``target`` bit/s."""

    @abstractmethod
    def _payloads(self, data: bytes) -> list[bytes]:
        """Return the RTP payloads of an encoded picture."""

    def _fits(self, frame: av.VideoFrame) -> bool:
        return self.codec is not None and (self.codec.width, self.codec.height) == (frame.width, frame.height)

    def _rate_is_off(self, target: int) -> bool:
        """Return whether a codec with a fixed rate must be reopened.

        The change must be large, and the codec must have been open for a while.
        """
        assert self.codec is not None
        assert self.codec.bit_rate
        change = (target - self.codec.bit_rate) / self.codec.bit_rate
        interval_s = REOPEN_UP_INTERVAL_S if change > 0 else REOPEN_DOWN_INTERVAL_S
        return abs(change) > REOPEN_CHANGE and time.monotonic() - self._opened_s >= interval_s


class LiveVp8Encoder(PictureEncoder):
    """VP8 at a constant bitrate; reopened only for a large and lasting change."""

    def __init__(self, **options: str) -> None:
        super().__init__(**options)
        self._picture_id = random.randrange(PICTURE_IDS)

    def _codec_for(self, frame: av.VideoFrame, target: int) -> VideoCodecContext:
        if self.codec is None or not self._fits(frame) or self._rate_is_off(target):
            rate = str(target)
            self.codec = self._open(
                frame,
                name="libvpx",
                bit_rate=target,
                options={**VP8_OPTIONS, "minrate": rate, "maxrate": rate, "bufsize": rate},
            )
            self.codec.qmin, self.codec.qmax = 2, 56
        return self.codec

    def _payloads(self, data: bytes) -> list[bytes]:
        self._picture_id = (self._picture_id + 1) % PICTURE_IDS
        return vp8_payloads(data, self._picture_id)


class LiveH264Encoder(PictureEncoder):
    """H.264 with a bitrate that follows the target without a key frame, except where a link becomes narrow or wide."""

    _max = 0

    def _codec_for(self, frame: av.VideoFrame, target: int) -> VideoCodecContext:
        bit_rate = target * self.every  # x264 shares it out over 25 frames a second, whatever their times say
        highest = self._highest(bit_rate)
        if self.codec is None or not self._fits(frame) or highest != self._max:
            self._max = highest
            # x264 changes its bitrate while open only below a VBV maximum, and only if it was opened at that maximum.
            level = h264_level(Pictures(frame.width, frame.height, FRAME_RATE_HZ, highest))
            options = {**H264_OPTIONS, "level": str(level), "maxrate": str(highest), "bufsize": str(highest // 4)}
            self.codec = self._open(frame, name="libx264", bit_rate=highest, options=options)
            self.codec.profile = "Baseline"
            self.codec.open()
            self.codec.bit_rate = bit_rate
        elif abs(bit_rate - (self.codec.bit_rate or 0)) > ADJUST_CHANGE * bit_rate:
            self.codec.bit_rate = bit_rate
        return self.codec

    def _highest(self, bit_rate: int) -> int:
        """Return the VBV maximum for a bitrate; between the two limits it stays as it is, against flapping."""
        if bit_rate <= NARROW_BITRATE:
            return NARROW_MAX
        return self._max if self._max and bit_rate < NARROW_MAX else MAX_BITRATE

    def _payloads(self, data: bytes) -> list[bytes]:
        return h264_payloads(data)


def sound_level_dbov(samples: npt.NDArray[Any]) -> int:
    """Return the level of ``int16[n]`` for the RTP header extension (RFC 6465), -127..0.

    aiortc's function loops over the samples in Python on the event loop: 60 us against 4 us here.
    """
    wide = samples.reshape(-1).astype(np.float64)
    power = float(np.dot(wide, wide)) / len(wide) / 32767**2 if len(wide) else 0.0
    return max(-127, min(0, round(10 * math.log10(power)))) if power > 0 else -127


def encode_pool(workers: int) -> ThreadPoolExecutor:
    """Return the bounded thread pool for encoding; the application makes it the event loop's default executor.

    aiortc encodes in the default executor, and asyncio's own one is shared with name look-ups and file access.
    """
    return ThreadPoolExecutor(workers, "lipstream-encode", initializer=step_back)

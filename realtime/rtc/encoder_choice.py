"""Which encoder a call's pictures get: for H.264 a card's where there is one that can be relied on, else ours."""

import functools
import logging
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt
from av.video.codeccontext import VideoCodecContext

from realtime.rtc.encoders import ADJUST_CHANGE, LiveH264Encoder, LiveVp8Encoder, PictureEncoder
from realtime.rtc.outbound import picture_frame
from realtime.timeline import FRAME_RATE_HZ

log = logging.getLogger(__name__)

HARDWARE_H264 = {
    "h264_nvenc": {
        "delay": "0",
        "forced-idr": "1",
        "preset": "p3",
        "profile": "baseline",
        "rc": "cbr",
        "tune": "ull",
        "zerolatency": "1",
    },
    "h264_videotoolbox": {"allow_sw": "0", "profile": "baseline", "realtime": "1"},
}
"""Encoders of cards that take pictures as they lie in memory, by FFmpeg's names, and how they are set for a call."""

_TRIED_SIDE, _TRIED_BITRATES = 512, (1_200_000, 400_000)
_TRIED_PICTURES, _TRIED_KEY, _SETTLED = 50, 30, 15
_LEAST_PSNR_DB, _MOST_OFF = 36.0, 1.8


class HardwareH264Encoder(LiveH264Encoder):
    """H.264 by a card; by the processor, as ever, from the moment at which the card takes no more streams.

    Args:
        name: One of :data:`HARDWARE_H264`.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name: str | None = name

    @property
    def on_card(self) -> bool:
        """Whether the card encodes."""
        return self._name is not None

    def _codec_for(self, frame: av.VideoFrame, target: int) -> VideoCodecContext:
        if self._name is not None:
            try:
                return self._on_card(self._name, frame, target * self.every)
            except (av.FFmpegError, ValueError) as error:
                log.warning("%s cannot be used (%s); x264 goes on", self._name, error)
                self._name = self.codec = None
        return super()._codec_for(frame, target)

    def _on_card(self, name: str, frame: av.VideoFrame, bit_rate: int) -> VideoCodecContext:
        if self.codec is None or not self._fits(frame):
            options = HARDWARE_H264[name] | {"bufsize": str(bit_rate // 4)}
            codec = self._open(frame, name=name, bit_rate=bit_rate, options=options)
            codec.open()
            self.codec = codec
        elif abs(bit_rate - (self.codec.bit_rate or 0)) > ADJUST_CHANGE * bit_rate:
            self.codec.bit_rate = bit_rate
        return self.codec


def picture_codecs() -> tuple[str, ...]:
    """Return the codecs of pictures that this machine encodes, MIME types, the best first.

    H.264 as it is set here costs a quarter less than VP8 (``python -m benchmarks encoders``), and takes a new bitrate
    without a key frame.
    """
    return ("video/h264", "video/vp8") if "libx264" in av.codecs_available else ("video/vp8",)


def picture_encoder(mime_type: str) -> PictureEncoder:
    """Return a new encoder for a negotiated codec of pictures.

    Raises:
        ValueError: If the codec is none of ours; offers are answered with ours alone.
    """
    match mime_type.lower():
        case "video/vp8":
            return LiveVp8Encoder()
        case "video/h264":
            name = hardware_h264()
            return HardwareH264Encoder(name) if name else LiveH264Encoder()
        case other:
            raise ValueError(f"no encoder for {other}")


@functools.cache
def hardware_h264() -> str | None:
    """Return the card's encoder that can be relied on, if there is one; tried once in a process."""
    for name in HARDWARE_H264:
        if name in av.codecs_available and _opens(name):
            encoder = HardwareH264Encoder(name)
            if is_reliable(encoder) and encoder.on_card:
                log.info("pictures are encoded by %s", name)
                return name
    return None


def _opens(name: str) -> bool:
    """Return whether an encoder of a card can be opened: without the card that fails at once."""
    codec = av.CodecContext.create(name, "w")
    assert isinstance(codec, VideoCodecContext)
    codec.width = codec.height = _TRIED_SIDE
    codec.pix_fmt, codec.framerate, codec.time_base = "yuv420p", Fraction(FRAME_RATE_HZ), Fraction(1, FRAME_RATE_HZ)
    try:
        codec.open()
    except (av.FFmpegError, ValueError, OSError):
        return False
    return True


def is_reliable(encoder: PictureEncoder) -> bool:
    """Return whether an encoder does what a call needs of it; drivers and cards differ more than their names do.

    Each picture must come out at once, as a key frame if and only if that was asked for, like what went in, and the
    bitrate must follow a new target without a key frame.
    """
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, VideoCodecContext)
    pictures = _pictures()
    sizes: list[int] = []
    for index in range(_TRIED_PICTURES):
        first = index < _TRIED_PICTURES // 2
        encoder.target_bitrate = _TRIED_BITRATES[0 if first else 1]
        picture = pictures[index % len(pictures)]
        try:
            data, _ = encoder.encode_picture(picture_frame(index, picture), key=index == _TRIED_KEY)
            shown = decoder.decode(av.Packet(data)) if data else []
        except (av.FFmpegError, ValueError):
            return False
        if len(shown) != 1 or encoder.sent_key_frame != (index in (0, _TRIED_KEY)):
            return False
        luma = shown[0].to_ndarray(format="yuv420p")[:_TRIED_SIDE].astype(np.float32)
        blurred = np.square(luma - picture[:_TRIED_SIDE]).mean() > 255**2 / 10 ** (_LEAST_PSNR_DB / 10)
        if blurred and first and index >= _SETTLED:
            return False
        sizes.append(len(data))
    halves = (sizes[_SETTLED : _TRIED_PICTURES // 2], sizes[_TRIED_KEY + 1 :])
    rates = [8 * FRAME_RATE_HZ * float(np.mean(half)) for half in halves]
    return all(rate < _MOST_OFF * target for rate, target in zip(rates, _TRIED_BITRATES, strict=True))


@functools.cache
def _pictures() -> tuple[npt.NDArray[np.uint8], ...]:
    """Return pictures in which something moves, I420."""
    rows, columns = np.mgrid[0:_TRIED_SIDE, 0:_TRIED_SIDE]
    tiles = np.random.default_rng(0).normal(120, 25, (_TRIED_SIDE // 8, _TRIED_SIDE // 8))
    still = np.kron(tiles, np.ones((8, 8)))
    made = []
    for number in range(10):
        luma = still + 35 * np.exp(-((rows - 300) ** 2 + (columns - 200 - 6 * number) ** 2) / 3000)
        colour = np.full((_TRIED_SIDE // 2, _TRIED_SIDE), 128.0)
        made.append(np.concatenate([luma, colour]).round().clip(16, 235).astype(np.uint8))
    return tuple(made)

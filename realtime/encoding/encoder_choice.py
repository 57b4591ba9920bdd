"""Chooses the encoder of a call's pictures: a reliable hardware encoder for H.264 if there is one, else software."""

import functools
import logging
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt
from av.video.codeccontext import VideoCodecContext

from lipstream.realtime.encoding.encoders import LiveH264Encoder, LiveVp8Encoder, PictureEncoder
from lipstream.realtime.encoding.pacing import picture_frame
from lipstream.realtime.timeline import FRAME_RATE_HZ

logger = logging.getLogger(__name__)

HARDWARE_H264 = {
    "h264_nvenc": {
        "delay": "0",
        "forced-idr": "1",
        "preset": "p3",
        "profile": "baseline",
        "rc": "cbr",
        "tune": "ull",
        "zerolatency": "1",
    }
}
"""Hardware encoders that read pictures from main memory, by FFmpeg's names, with their options for a call.
The encoder of Macs is left out: it returns each picture later than it takes it."""

_TRIED_SIDE, _TRIED_BITRATE = 512, 900_000
_TRIED_PICTURES, _TRIED_KEY, _SETTLED = 50, 30, 15
_LEAST_PSNR_DB, _MOST_OFF = 36.0, 1.5


class HardwareH264Encoder(LiveH264Encoder):
    """H.264 on a graphics card, with x264 as its successor once the card fails.

    The encoder is reopened for a large and lasting change of the bitrate.

    Args:
        name: FFmpeg's name of the encoder, one of the keys of :data:`HARDWARE_H264`.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name: str | None = name

    @property
    def on_card(self) -> bool:
        """Whether the card encodes."""
        return self._name is not None

    def encode_picture(self, frame: av.VideoFrame, *, key: bool) -> tuple[bytes, int]:
        """Encode one picture; switch to x264 with the first picture that the card refuses."""
        if self._name is None:
            return super().encode_picture(frame, key=key)
        pts, time_base = frame.pts, frame.time_base
        try:
            return super().encode_picture(frame, key=key)
        except (av.FFmpegError, ValueError) as error:
            logger.warning("%s failed (%s): x264 encodes from now on", self._name, error)
        self._name = self.codec = None
        frame.pts, frame.time_base = pts, time_base  # the failed encoder has written its own values
        return super().encode_picture(frame, key=True)

    def _codec_for(self, frame: av.VideoFrame, target: int) -> VideoCodecContext:
        if self._name is None:
            return super()._codec_for(frame, target)
        bit_rate = target * self.every  # the encoder divides its bitrate by 25 frames a second
        if self.codec is None or not self._fits(frame) or self._rate_is_off(bit_rate):
            options = HARDWARE_H264[self._name] | {"bufsize": str(bit_rate // 4)}
            self.codec = self._open(frame, name=self._name, bit_rate=bit_rate, options=options)
        return self.codec


def picture_codecs() -> tuple[str, ...]:
    """Return the MIME types of the picture codecs that this machine encodes, the best first.

    H.264 with the options used here costs a third less than VP8 (``python -m benchmarks encoders``), and it takes a new
    bitrate without a key frame.
    """
    return ("video/h264", "video/vp8") if "libx264" in av.codecs_available else ("video/vp8",)


def picture_encoder(mime_type: str) -> PictureEncoder:
    """Return a new encoder for a negotiated codec of pictures.

    Raises:
        ValueError: If the codec is neither VP8 nor H.264; answers to offers name these two alone.
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
    """Return FFmpeg's name of a reliable hardware encoder, or ``None``; encoders are tried once per process."""
    for name in HARDWARE_H264:
        if name in av.codecs_available and _opens(name):
            encoder = HardwareH264Encoder(name)
            if is_reliable(encoder) and encoder.on_card:
                return name
    return None


def _opens(name: str) -> bool:
    """Return whether a hardware encoder opens; it fails at once on a machine without the card."""
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
    """Return whether an encoder behaves as a call needs it; drivers and cards with one name differ.

    Each picture must come out at once, be a key frame exactly when requested, resemble the input (``_LEAST_PSNR_DB``),
    and keep to the bitrate (``_MOST_OFF``).
    """
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, VideoCodecContext)
    pictures = moving_pictures()
    encoder.target_bitrate = _TRIED_BITRATE
    sizes: list[int] = []
    for index in range(_TRIED_PICTURES):
        picture = pictures[index % len(pictures)]
        try:
            data, _ = encoder.encode_picture(picture_frame(index, picture), key=index == _TRIED_KEY)
            shown = decoder.decode(av.Packet(data)) if data else []
        except (av.FFmpegError, ValueError):
            return False
        if len(shown) != 1 or encoder.sent_key_frame != (index in (0, _TRIED_KEY)):
            return False
        luma = shown[0].to_ndarray(format="yuv420p")[:_TRIED_SIDE].astype(np.float32)
        error = float(np.square(luma - picture[:_TRIED_SIDE]).mean())
        if _SETTLED <= index < _TRIED_KEY and error > 255**2 / 10 ** (_LEAST_PSNR_DB / 10):
            return False
        sizes.append(len(data))
    return 8 * FRAME_RATE_HZ * float(np.mean(sizes[_SETTLED:_TRIED_KEY])) < _MOST_OFF * _TRIED_BITRATE


@functools.cache
def moving_pictures() -> tuple[npt.NDArray[np.uint8], ...]:
    """Return ten pictures of 512 x 512, I420, with a moving spot on a still background, to try encoders with."""
    rows, columns = np.mgrid[0:_TRIED_SIDE, 0:_TRIED_SIDE]
    tiles = np.random.default_rng(0).normal(120, 25, (_TRIED_SIDE // 8, _TRIED_SIDE // 8))
    still = np.kron(tiles, np.ones((8, 8)))
    made = []
    for number in range(10):
        luma = still + 35 * np.exp(-((rows - 300) ** 2 + (columns - 200 - 6 * number) ** 2) / 3000)
        colour = np.full((_TRIED_SIDE // 2, _TRIED_SIDE), 128.0)
        made.append(np.concatenate([luma, colour]).round().clip(16, 235).astype(np.uint8))
    return tuple(made)

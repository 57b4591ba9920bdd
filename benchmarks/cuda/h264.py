"""The card's H.264 encoder compared with x264: wall time, processor time and picture quality."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import av
import numpy as np

from benchmarks.cuda.options import CannotRunError, Options
from lipstream.realtime.encoding.encoder_choice import (
    HARDWARE_H264,
    HardwareH264Encoder,
    hardware_h264,
    moving_pictures,
)
from lipstream.realtime.encoding.encoders import LiveH264Encoder, PictureEncoder
from lipstream.realtime.encoding.pacing import picture_frame
from lipstream.realtime.timeline import FRAME_RATE_HZ

BITRATES = (300_000, 900_000)
_PICTURES, _PICTURES_SHORT = 250, 30
_SETTLED = 10
_AT_ONCE = 32


def run(options: Options) -> Iterator[dict[str, Any]]:
    """Yield a row for each encoder and bitrate."""
    name = None if options.stand_in else hardware_h264()
    if name is None and not options.stand_in:
        raise CannotRunError(_why_not())
    encoders: dict[str, Callable[[], PictureEncoder]] = {"x264": LiveH264Encoder}
    if name:
        encoders[name] = lambda: HardwareH264Encoder(name)
    else:
        encoders["x264 in the card's place"] = LiveH264Encoder
    count = _PICTURES_SHORT if options.short else _PICTURES
    for label, make in encoders.items():
        for bitrate in BITRATES:
            yield _measure(label, make, bitrate, count) | {
                "at once": _at_once(make, count=2 if options.short else _AT_ONCE)
            }


def _why_not() -> str:
    known = [name for name in HARDWARE_H264 if name in av.codecs_available]
    if not known:
        return "This PyAV knows no encoder of a card."
    return f"{' and '.join(known)} opens no encoder here, or one that cannot be relied on: x264 encodes."


def _measure(label: str, make: Callable[[], PictureEncoder], bitrate: int, count: int) -> dict[str, Any]:
    encoder, decoder = make(), av.CodecContext.create("h264", "r")
    encoder.target_bitrate = bitrate
    took_s, cpu_s, sizes, errors = [], [], [], []
    pictures = moving_pictures()
    for index in range(count):
        picture = pictures[index % len(pictures)]
        frame = picture_frame(index, picture)
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        data, _ = encoder.encode_picture(frame, key=False)
        took_s.append(time.perf_counter() - began_s)
        cpu_s.append(time.process_time() - began_cpu_s)
        sizes.append(len(data))
        for shown in decoder.decode(av.Packet(data)):
            luma = shown.to_ndarray(format="yuv420p")[: shown.height].astype(float)
            errors.append(float(np.square(luma - picture[: shown.height]).mean()))
    settled = slice(_SETTLED, None)
    return {
        "encoder": label,
        "target kbit/s": bitrate // 1000,
        "kbit/s": round(8 * FRAME_RATE_HZ * float(np.mean(sizes[settled])) / 1000),
        "luma PSNR dB": round(10 * float(np.log10(255**2 / max(float(np.mean(errors[settled])), 1e-9))), 1),
        "ms p50": round(1000 * float(np.median(took_s[settled])), 3),
        "ms p99": round(1000 * float(np.percentile(took_s[settled], 99)), 3),
        "CPU ms": round(1000 * float(np.mean(cpu_s[settled])), 3),
    }


def _at_once(make: Callable[[], PictureEncoder], count: int) -> int:
    """Return how many of ``count`` encoders open at the same time and stay on the card."""
    picture = moving_pictures()[0]
    encoders = [make() for _ in range(count)]
    for encoder in encoders:
        encoder.encode_picture(picture_frame(0, picture), key=True)
    return sum(getattr(encoder, "on_card", True) for encoder in encoders)

"""Which encoder, how it is set, is best for a talking head?

The same speaking avatar, painted once, passes each codec and preset at the same bitrates; the output is decoded and
compared with the input. CPU time is that of the encoder alone. *first dB* is the worst picture in the first half second
of a call, including its first key frame. VP9 and AV1, which calls do not use, are measured to see whether they would
pay off.
"""

import asyncio
import math
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.video.codeccontext import VideoCodecContext

from benchmarks.report import Goal, Report, at_least
from benchmarks.signals import speech
from lipstream.avatar_cache.store import AvatarStore, default_root
from lipstream.realtime.encoding.encoders import LiveH264Encoder, LiveVp8Encoder, PictureEncoder
from lipstream.realtime.encoding.pacing import picture_frame
from lipstream.realtime.encoding.rate_control import START_BITRATE
from lipstream.realtime.lipsync.metadata import BUILT_IN_WEIGHTS
from lipstream.realtime.render import render_pictures
from lipstream.realtime.timeline import FRAME_RATE_HZ, SOUND_RATE_HZ
from lipstream.realtime.workers.render_client import RenderWorker
from lipstream.realtime.workers.render_worker import WorkerSettings

QUESTION = "Which encoder, how it is set, is best for a talking head?"
BITRATES = (200_000, 600_000, 900_000)
LEAST_PSNR_DB, LEAST_BITRATE = 36.0, 800_000
_SECONDS = 10
_SETTLE_FRAMES = 25
_FIRST_FRAMES = FRAME_RATE_HZ // 2
LEAST_FIRST_DB = 37.0
_H264, _VP8 = "H.264 ultrafast, deblocked", "VP8 cpu-used -12"

Pictures = Sequence[npt.NDArray[np.uint8]]


class _Other(PictureEncoder):
    """A codec that calls do not use, at a constant bitrate without look-ahead."""

    def __init__(self, name: str, **options: str) -> None:
        super().__init__(**options)
        self._name = name

    def _codec_for(self, frame: av.VideoFrame, target: int) -> VideoCodecContext:
        if self.codec is None:
            rates = {"minrate": str(target), "maxrate": str(target), "bufsize": str(target)}
            self.codec = self._open(frame, name=self._name, bit_rate=target, options=rates)
        return self.codec

    def _payloads(self, data: bytes) -> list[bytes]:
        return [data]

    def pack(self, packet: Any) -> tuple[list[bytes], int]:
        return [bytes(packet)], packet.pts


def _vp9(level: int) -> _Other:
    return _Other("libvpx-vp9", deadline="realtime", **{"cpu-used": str(level), "lag-in-frames": "0"})


def _av1(preset: int) -> _Other:
    return _Other("libsvtav1", preset=str(preset), **{"svtav1-params": "pred-struct=1:lookahead=0:fast-decode=1:lp=1"})


_DECODERS = {"libvpx": "libvpx", "libvpx-vp9": "libvpx-vp9", "libsvtav1": "libdav1d"}

ENCODERS: dict[str, Callable[[], PictureEncoder]] = {
    "H.264 ultrafast": lambda: LiveH264Encoder(**{"x264-params": "no-deblock=1"}),
    _H264: LiveH264Encoder,
    "H.264 superfast": lambda: LiveH264Encoder(preset="superfast"),
    "H.264 veryfast": lambda: LiveH264Encoder(preset="veryfast"),
    "VP8 cpu-used -16": lambda: LiveVp8Encoder(**{"cpu-used": "-16"}),
    _VP8: LiveVp8Encoder,
    "VP8 cpu-used -8": lambda: LiveVp8Encoder(**{"cpu-used": "-8"}),
    "VP9 cpu-used 8": lambda: _vp9(8),
    "VP9 cpu-used 6": lambda: _vp9(6),
    "AV1 (SVT) preset 12": lambda: _av1(12),
}


def run() -> Report:
    """Measure."""
    os.environ.setdefault("SVT_LOG", "0")  # otherwise it prints all its settings
    avatar, pictures = asyncio.run(_speaking())
    height, width = pictures[0].shape[0] * 2 // 3, pictures[0].shape[1]
    conditions = {"avatar": avatar, "size": f"{width}x{height}", "pictures": len(pictures)}
    rows = [_measure(name, make, rate, pictures) for rate in BITRATES for name, make in ENCODERS.items()]
    report = Report(QUESTION, conditions, rows)
    best = {row["encoder"]: row for row in rows if row["target kbit/s"] * 1000 >= LEAST_BITRATE}
    for name in (_H264, _VP8):
        sharp = best[name]["luma PSNR dB"]
        report.goals.append(at_least(f"sharp, {name}", sharp, LEAST_PSNR_DB, "dB"))
        first = next(r for r in rows if r["encoder"] == name and r["target kbit/s"] * 1000 == START_BITRATE)["first dB"]
        report.goals.append(at_least(f"first half second as a call begins, {name}", first, LEAST_FIRST_DB, "dB"))
    share = best[_H264]["CPU ms/frame"] / best[_VP8]["CPU ms/frame"]
    report.goals.append(Goal("H.264 first", "costs less than VP8", round(share, 2), share < 1))
    return report


async def _speaking() -> tuple[str, Pictures]:
    """Return the default avatar's id, and its pictures for some speech."""
    store = AvatarStore(default_root())
    avatar_id = min(manifest.id for manifest in store.list())
    worker = RenderWorker(WorkerSettings(BUILT_IN_WEIGHTS, store.root))
    _, sound = speech()
    sound = np.resize(sound, _SECONDS * SOUND_RATE_HZ)
    try:
        await worker.start()
        return avatar_id, [picture.copy() async for _, picture in render_pictures(sound, worker, store, avatar_id)]
    finally:
        await worker.close()


def _measure(name: str, make: Callable[[], PictureEncoder], bitrate: int, pictures: Pictures) -> dict[str, Any]:
    encoder = make()
    encoder.target_bitrate = bitrate
    decoder: Any = None
    spent_s, sizes, errors = [], [], []
    for index, picture in enumerate(pictures):
        frame = picture_frame(index, picture)
        before_s = time.process_time()  # of the process, as AV1's encoder has threads and nothing else runs
        data, _ = encoder.encode_picture(frame, key=False)
        spent_s.append(time.process_time() - before_s)
        sizes.append(len(data))
        if decoder is None:
            assert encoder.codec is not None
            decoder = av.CodecContext.create(_DECODERS.get(encoder.codec.name, "h264"), "r")
            decoder.thread_count = 1
        for shown in decoder.decode(av.Packet(data)):
            luma = shown.to_ndarray(format="yuv420p")[: shown.height].astype(float)
            errors.append(float(np.square(luma - picture[: shown.height]).mean()))
    settled = slice(_SETTLE_FRAMES, None)
    return {
        "encoder": name,
        "target kbit/s": bitrate // 1000,
        "kbit/s": round(sum(sizes[settled]) * 8 * FRAME_RATE_HZ / len(sizes[settled]) / 1000),
        "luma PSNR dB": round(_psnr_db(float(np.mean(errors[settled]))), 2),
        "first dB": round(_psnr_db(max(errors[:_FIRST_FRAMES])), 2),
        "worst dB": round(_psnr_db(max(errors[settled])), 2),
        "CPU ms/frame": round(1000 * float(np.mean(spent_s[settled])), 2),
    }


def _psnr_db(square_error: float) -> float:
    return 10 * math.log10(255**2 / max(square_error, 1e-9))

"""Writes the stored clip."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter

from lipstream.avatar_cache.photo import Bgr
from lipstream.realtime.timeline import FRAME_RATE_HZ


def write_clip(path: Path, pictures: Iterator[Bgr]) -> None:
    """Write pictures as H.264, 4:2:0, BT.601, limited range; equal pictures give equal bytes."""
    with av.open(str(path), "w", options={"movflags": "+faststart", "fflags": "+bitexact"}) as container:
        # One thread: with more, x264's output would depend on the machine's cores.
        stream = container.add_stream(
            "libx264", rate=FRAME_RATE_HZ, options={"crf": "14", "preset": "veryfast", "threads": "1"}
        )
        stream.pix_fmt, stream.time_base = "yuv420p", Fraction(1, FRAME_RATE_HZ)
        context = stream.codec_context
        context.color_primaries, context.color_trc, context.colorspace, context.color_range = 6, 6, 6, 1
        convert = VideoReformatter()
        for index, picture in enumerate(pictures):
            if not index:
                stream.height, stream.width = picture.shape[:2]
            frame = convert.reformat(
                av.VideoFrame.from_ndarray(picture, format="bgr24"),
                format="yuv420p",
                dst_colorspace=5,
                src_color_range=ColorRange.JPEG,
                dst_color_range=ColorRange.MPEG,
                interpolation=Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.BITEXACT,
                threads=1,
            )
            frame.pts, frame.time_base = index, Fraction(1, FRAME_RATE_HZ)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))

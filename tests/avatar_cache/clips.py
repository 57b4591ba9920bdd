"""Makes clips and photographs of every odd kind, small enough to make in each run."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def write_clip(
    path: Path,
    pictures: Iterable[np.ndarray],
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    rate: int = 25,
    times: list[float] | None = None,
    colour: tuple[int, int, int, int] | None = None,
    frame_format: str = "bgr24",
    options: dict[str, str] | None = None,
) -> Path:
    """Write BGR pictures; ``times`` in seconds makes a variable rate, ``colour`` is primaries, trc, matrix, range."""
    given = options if options is not None else {"crf": "4", "preset": "ultrafast"} if codec == "libx264" else {}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=given)
        assert isinstance(stream, av.VideoStream)
        for index, picture in enumerate(pictures):
            if not index:
                stream.height, stream.width = picture.shape[:2]
                stream.pix_fmt = pix_fmt
                stream.codec_context.time_base = Fraction(1, 1000) if times else Fraction(1, rate)
                if colour:
                    context = stream.codec_context
                    context.color_primaries, context.color_trc, context.colorspace, context.color_range = colour
            frame = av.VideoFrame.from_ndarray(picture, format=frame_format)
            if colour:
                frame = frame.reformat(
                    format=pix_fmt, dst_colorspace={6: 5}.get(colour[2], colour[2]), dst_color_range=colour[3]
                )
                frame.color_trc = colour[1]
            frame.pts = round(times[index] * 1000) if times else index
            frame.time_base = Fraction(1, 1000) if times else Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def set_display_matrix(path: Path, matrix: tuple[int, int, int, int]) -> None:
    """Patch an mp4 file's track header: a, b, c, d of its transformation matrix."""
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 4 + 4 + 4 * 5 + 8 + 8
    a, b, c, d = (int(value * 65536) for value in matrix)
    data[start : start + 36] = b"".join(
        value.to_bytes(4, "big", signed=True) for value in (a, b, 0, c, d, 0, 0, 0, 1 << 30)
    )
    path.write_bytes(data)


def corners(width: int, height: int) -> np.ndarray:
    """Return a picture with red, green, blue and white corners, clockwise from the upper left one; grey between."""
    picture = np.full((height, width, 3), 128, np.uint8)
    h, w = height // 3, width // 3
    picture[:h, :w], picture[:h, -w:] = (0, 0, 230), (0, 230, 0)
    picture[-h:, -w:], picture[-h:, :w] = (230, 0, 0), (230, 230, 230)
    return picture

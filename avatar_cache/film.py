"""Decodes the film of an open file: its pictures, as far as they can be read, at 25 a second."""

from collections.abc import Iterator

import av
from av.stream import Disposition

from lipstream.realtime.timeline import FRAME_RATE_HZ


def decoded(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.VideoFrame | None]:
    """Yield the frames of a stream, and ``None`` where something cannot be decoded."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError:  # nothing more can be found in the file
            yield None
            return
        if packet is None:
            return
        try:
            frames = packet.decode()
        except av.FFmpegError:
            yield None
            continue
        yield from (frame for frame in frames if isinstance(frame, av.VideoFrame))


def film_stream(container: av.container.InputContainer) -> av.VideoStream:
    """Return the first stream of pictures that is no cover and that can be decoded.

    Raises:
        IndexError: If there is none.
    """
    for stream in container.streams.video:
        is_cover = bool(stream.disposition & Disposition.attached_pic)
        if not is_cover and stream.codec_context is not None:  # there is none without a decoder
            return stream
    raise IndexError("no stream of pictures")


def resampled(frames: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
    """Yield for every 40 ms the frame shown at their middle.

    A frame without a time follows the last one after 40 ms.
    """
    step = 1 / FRAME_RATE_HZ
    shown: av.VideoFrame | None = None
    start, now, count = 0.0, -step, 0
    for frame in frames:
        now = now + step if frame.time is None else max(frame.time, now)
        if shown is None:
            start = now
        else:
            while (count + 0.5) * step < now - start:
                yield shown
                count += 1
        shown = frame
    if shown is not None:
        lasts = float((shown.duration or 0) * (shown.time_base or 0)) or step
        while not count or (count + 0.5) * step < now - start + min(lasts, 1.0):
            yield shown
            count += 1

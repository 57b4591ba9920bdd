"""Reads a video or a photograph as upright pictures at 25 frames a second.

A picture is ``uint8[h, w, 3]`` BGR with an even width and a height divisible by 4, scaled down to a longest side. The
matrix, range, transfer, rotation, pixel aspect and frame rate of the file are converted.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.sidedata.sidedata import Type as SideData
from av.video.reformatter import ColorRange, ColorTrc, Interpolation, VideoReformatter

from lipstream.avatar_cache.film import decoded, film_stream, resampled
from lipstream.avatar_cache.hdr import Transfer, to_standard
from lipstream.avatar_cache.photo import Bgr, even, over_grey, photo_size, read_photo
from lipstream.realtime.errors import AvatarError, TooLargeError, UnsupportedTypeError
from lipstream.realtime.timeline import FRAME_RATE_HZ

MOST_RATE_HZ = 250
"""Limit of frames a second; above it, a short file could need hours of work."""
DECODED_PIXELS = 16
"""Multiple of the pixel limit up to which the decoder allocates memory: such pictures are refused with their size."""
MOST_PHOTO_PIXELS = 64_000_000
"""Pixels of a photograph that is decoded to be scaled down, where a limit for clips is lower."""
_HEAD = 1 << 18
"""Bytes in which a photograph's header must state its size."""
_EXACT = Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.BITEXACT
_SAME_SHAPE = 0.02
"""Largest difference of two shapes that are taken for the same: sides are rounded to even numbers."""
_HDR: dict[int, Transfer] = {ColorTrc.ARIB_STD_B67: "hlg", ColorTrc.SMPTE2084: "pq"}


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits for a source.

    Attributes:
        seconds: Longest clip, s.
        pixels: Width times height of the largest picture before scaling, px; default 64 million.
        bytes: Size of the largest file, bytes; default 4 GiB.
        formats: FFmpeg's names of the accepted containers, comma-separated; empty for all.
    """

    seconds: float = 60.0
    pixels: int = 64_000_000
    bytes: int = 4 << 30
    formats: str = ""


@dataclass(slots=True)
class Source:
    """A readable file.

    Attributes:
        side: Longest side of a picture, px; larger ones are scaled down.
        expected_frames: Number of frames by its header.
        size: Width and height that every picture of a clip gets, px; ``None`` for its own.
    """

    path: Path
    limits: Limits
    side: int
    is_photo: bool
    expected_frames: int = 1
    notes: list[str] = field(default_factory=list)
    size: tuple[int, int] | None = None
    _aspect: float = 1.0
    _matrix: npt.NDArray[np.float64] | None = None
    _reformatter: VideoReformatter = field(default_factory=VideoReformatter)

    def pictures(self) -> Iterator[Bgr]:
        """Yield a picture for every 40 ms; a single one for a photograph.

        Raises:
            UnsupportedTypeError: If no picture can be read.
            TooLargeError: If the clip exceeds a limit, whatever its header says.
            AvatarError: If it has another shape than :attr:`size` says.
        """
        self.notes.clear()
        if self.is_photo:
            yield _fit(read_photo(self.path, MOST_PHOTO_PIXELS), self.side)
            return
        count = 0
        for frame in resampled(self._frames()):
            if count >= self.limits.seconds * FRAME_RATE_HZ:
                raise _too_long(self.path.name, count / FRAME_RATE_HZ, self.limits)
            yield self._sized(self._upright(frame))
            count += 1
        if not count:
            raise UnsupportedTypeError(f"no picture can be read from {self.path.name}")

    def _frames(self) -> Iterator[av.VideoFrame]:
        with av.open(str(self.path), options=_options(self.limits)) as container:
            stream = film_stream(container)
            stream.thread_type = "AUTO"
            stream.codec_context.options = _largest(self.limits)
            self._aspect, self._matrix = float(stream.sample_aspect_ratio or 1), None
            announced_s, end_s = float((container.duration or 0) / av.time_base), 0.0
            damaged, begin_s = False, None
            for count, frame in enumerate(decoded(container, stream)):
                if frame is None:
                    damaged = True
                    continue
                at_s = end_s if frame.time is None else frame.time
                begin_s = at_s if begin_s is None else begin_s
                self._check(frame, count, at_s - begin_s)
                end_s = at_s + float((frame.duration or 0) * (frame.time_base or 0))
                damaged = damaged or frame.is_corrupt
                yield frame
            used_s = end_s - (begin_s or 0.0)
            if damaged or used_s < 0.9 * announced_s - 0.2:
                self.notes.append(f"the file is damaged or cut short: {used_s:.1f} s of it were used")

    def _check(self, frame: av.VideoFrame, count: int, lasted_s: float) -> None:
        """Raise TooLargeError if a frame exceeds a limit; the header may have been wrong."""
        if frame.width * frame.height > self.limits.pixels:
            raise _too_big(self.path.name, frame.width, frame.height, self.limits)
        if lasted_s > self.limits.seconds:
            raise _too_long(self.path.name, lasted_s, self.limits)
        if frame.time is not None and count > MOST_RATE_HZ * (1 + max(0.0, lasted_s)):
            raise _too_fast(self.path.name)

    def _sized(self, picture: Bgr) -> Bgr:
        height, width = picture.shape[:2]
        if self.size in (None, (width, height)):
            return picture
        assert self.size is not None
        if abs(width * self.size[1] / (height * self.size[0]) - 1) > _SAME_SHAPE:
            shape = f"{width}x{height}, and the avatar {self.size[0]}x{self.size[1]}"
            raise AvatarError(f"{self.path.name} is {shape}: film all clips with one setting of the camera")
        shrinks = width >= self.size[0]
        resized = cv2.resize(picture, self.size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
        return np.asarray(resized, np.uint8)

    def _upright(self, frame: av.VideoFrame) -> Bgr:
        """Return a decoded frame as an upright BGR picture."""
        width, height = round(frame.width * self._aspect), frame.height
        scale = min(1.0, self.side / max(width, height))
        transfer = _HDR.get(int(frame.color_trc))
        has_alpha = any(component.is_alpha for component in frame.format.components)
        converted = self._reformatter.reformat(
            frame,
            max(2, round(width * scale)),
            max(4, round(height * scale)),
            "rgb48le" if transfer else "bgra" if has_alpha else "bgr24",
            src_colorspace=_colorspace(frame),
            src_color_range=_range(frame),
            dst_color_range=ColorRange.JPEG,
            interpolation=_EXACT,
            threads=1,
        ).to_ndarray()
        if transfer:
            picture = to_standard(np.asarray(converted, np.uint16), transfer)
        else:
            picture = over_grey(np.asarray(converted, np.uint8))
        if self._matrix is None:  # once: a frame whose side data was read is only freed by the garbage collector
            self._matrix = _display_matrix(frame)
        return even(_turn(picture, self._matrix))


def open_source(path: Path, limits: Limits, *, side: int) -> Source:
    """Return a source after a check of its header.

    Raises:
        UnsupportedTypeError: If the file is no video or photograph.
        TooLargeError: If the file exceeds a limit; the message names the limit.
    """
    head = _first_bytes(path, limits)
    if photo := photo_size(head):
        most = max(limits.pixels, min(DECODED_PIXELS * limits.pixels, MOST_PHOTO_PIXELS))
        if photo[0] * photo[1] > most:
            raise _too_big(path.name, *photo, limits, most)
        return Source(path, limits, side, is_photo=True)
    try:
        with av.open(str(path), options=_options(limits)) as container:
            stream = film_stream(container)
            context, frames = stream.codec_context, stream.frames
            seconds = float((container.duration or 0) / av.time_base)
            name = container.format.name
            is_photo = name.endswith(("image2", "_pipe")) or (name == "gif" and _is_still(container))
            width, height = context.width, context.height
    except (av.FFmpegError, IndexError, ValueError, OSError) as error:
        if head[4:8] == b"ftyp" and b"moov" not in head:
            raise UnsupportedTypeError(
                f"{path.name} is damaged or cut short: the index of its pictures is missing"
            ) from error
        raise UnsupportedTypeError(f"{path.name} is not a video or photograph that can be read") from error
    if not width or not height:
        raise UnsupportedTypeError(f"{path.name} is damaged: its picture has no size")
    if width * height > limits.pixels:
        raise _too_big(path.name, width, height, limits)
    if not is_photo and seconds > limits.seconds + 1 / FRAME_RATE_HZ:
        raise _too_long(path.name, seconds, limits)
    if frames > MOST_RATE_HZ * (1 + seconds):
        raise _too_fast(path.name)
    return Source(path, limits, side, is_photo, max(1, round(seconds * FRAME_RATE_HZ)))


def _is_still(container: av.container.InputContainer) -> bool:
    return len(list(islice(container.decode(video=0), 2))) == 1


def _first_bytes(path: Path, limits: Limits) -> bytes:
    """Return the first bytes of a file within the size limit."""
    if path.exists() and not path.is_file():
        raise UnsupportedTypeError(f"{path.name} is not a file")
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise UnsupportedTypeError(f"cannot read {path.name}: {error.strerror}") from error
    if not size:
        raise UnsupportedTypeError(f"{path.name} is empty")
    if size > limits.bytes:
        raise TooLargeError(f"{path.name} has {size:,} bytes; at most {limits.bytes:,} are taken")
    return head


def _options(limits: Limits) -> dict[str, str]:
    """Return FFmpeg's options, which keep a container from opening another file or a network address."""
    options = {"protocol_whitelist": "file"} | _largest(limits)
    return options | ({"format_whitelist": limits.formats} if limits.formats else {})


def _largest(limits: Limits) -> dict[str, str]:
    return {"max_pixels": str(DECODED_PIXELS * limits.pixels)}


def _too_big(name: str, width: int, height: int, limits: Limits, most: int = 0) -> TooLargeError:
    return TooLargeError(f"{name} is {width}x{height}; at most {most or limits.pixels:,} pixels are taken")


def _too_long(name: str, seconds: float, limits: Limits) -> TooLargeError:
    return TooLargeError(f"{name} lasts {seconds:.1f} s or more; at most {limits.seconds:g} s are taken")


def _too_fast(name: str) -> TooLargeError:
    return TooLargeError(f"{name} has more than {MOST_RATE_HZ} pictures a second")


def _colorspace(frame: av.VideoFrame) -> int:
    """Return swscale's number of the frame's matrix; without one, the usual matrix for the frame's height."""
    known = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}
    return known.get(int(frame.colorspace), 1 if frame.height >= 720 else 5)


def _range(frame: av.VideoFrame) -> ColorRange:
    full = int(frame.color_range) == ColorRange.JPEG or frame.format.name.startswith("yuvj")
    return ColorRange.JPEG if full or frame.format.is_rgb else ColorRange.MPEG


def _display_matrix(frame: av.VideoFrame) -> npt.NDArray[np.float64]:
    """Return the mapping of columns and rows, ``float64[2, 2]``; the identity without side data."""
    known: Any = frame.side_data  # its stub allows only strings as keys
    data = known.get(SideData.DISPLAYMATRIX)
    if data is None:
        return np.eye(2)
    a, b, _, c, d, *_ = np.frombuffer(bytes(data), np.int32) / 65536
    return np.array([[a, c], [b, d]])


def _turn(picture: Bgr, matrix: npt.NDArray[np.float64]) -> Bgr:
    """Apply a display matrix: quarter turns and flips."""
    signs = np.sign(np.where(np.abs(matrix) < 0.5, 0, matrix))
    if signs[0, 0] == 0 and signs[0, 1]:  # rows become columns
        picture = picture.transpose(1, 0, 2)
        signs = signs[:, ::-1]
    rows, columns = (int(signs[i, i]) or 1 for i in (1, 0))
    return np.ascontiguousarray(picture[::rows, ::columns])


def _fit(picture: Bgr, side: int) -> Bgr:
    height, width = picture.shape[:2]
    scale = min(1.0, side / max(width, height))
    if scale < 1:
        size = max(2, round(width * scale)), max(4, round(height * scale))
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    return even(picture)

"""Reads the sound of any file that FFmpeg reads, in blocks, and what there is of a damaged one.

A file is read once to measure it, and again each time its blocks are asked for, so that memory does not grow with its
length.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from lipstream.realtime.errors import BadRequestError
from lipstream.realtime.timeline import SOUND_RATE_HZ

BLOCK_SOUND = SOUND_RATE_HZ
"""Length of a block, 48 kHz samples; the last one is shorter."""
_CANCELS = 0.1
"""Share of the louder channel's energy below which the sum of both counts as cancelled."""
_LEAST_LOST_S, _LEAST_LOST_SHARE = 0.3, 0.01
_EXACT_FORMATS, _LEAST_EXACT_S = ("wav", "flac", "aiff", "w64", "caf", "au"), 0.02
"""FFmpeg's names of the containers that state their exact length; others estimate it."""
_LEAST_GAP_S = 0.05
"""Shorter gaps between the times of frames are rounding."""
_OGG_PAGE, _OGG_HEADER_BYTES, _OGG_LONGEST_PAGE, _OGG_END = b"OggS", 27, 65_307, 4
"""RFC 3533, section 6."""

Sound = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Recording:
    """Sound of known length that can be read again and again.

    Attributes:
        samples: Length, 48 kHz.
        digest: Hexadecimal digits that depend on the sound alone.
        blocks: Returns the sound from its beginning, ``float32[48000]`` mono, the last block shorter.
        notes: What was lost or is odd, a sentence each, for people.
    """

    samples: int
    digest: str
    blocks: Callable[[], Iterator[Sound]]
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, sound: Sound) -> "Recording":
        """Return a recording of ``float32[n]``, 48 kHz mono."""

        def blocks() -> Iterator[Sound]:
            for start in range(0, sound.size, BLOCK_SOUND):
                yield sound[start : start + BLOCK_SOUND]

        return cls(sound.size, hashlib.sha256(sound.tobytes()).hexdigest(), blocks)


@dataclass(slots=True)
class _Reading:
    """One pass over a file; it counts what cannot be decoded."""

    path: Path
    announced_s: float = 0.0
    read_s: float = 0.0
    lost_s: float = 0.0
    gaps_s: float = 0.0
    peak: float = 0.0
    is_exact: bool = False
    has_no_end: bool = False
    formats: set[tuple[str, str, int]] = field(default_factory=set)

    def parts(self) -> Iterator[Sound]:
        """Yield the sound as ``float32[2, n]``, 48 kHz."""
        with av.open(str(self.path)) as container:
            stream = container.streams.audio[0]
            self.announced_s = float((container.duration or 0) / av.time_base)
            self.is_exact = container.format.name in _EXACT_FORMATS
            self.has_no_end = container.format.name == "ogg" and _is_ogg_cut(self.path)
            resampler: av.AudioResampler | None = None
            chosen: tuple[str, str, int] | None = None
            for frame in self._frames(container, stream):
                form = frame.format.name, frame.layout.name, frame.sample_rate
                if form != chosen:
                    yield from self._stereo(resampler, None)
                    layout = "mono" if frame.layout.nb_channels == 1 else "stereo"
                    resampler = av.AudioResampler(format="fltp", layout=layout, rate=SOUND_RATE_HZ)
                    chosen = form
                    self.formats.add(form)
                yield from self._stereo(resampler, frame)
            yield from self._stereo(resampler, None)

    def _frames(self, container: av.container.InputContainer, stream: av.AudioStream) -> Iterator[av.AudioFrame]:
        packets, end_s = container.demux(stream), 0.0
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError:  # nothing more can be found in the file
                return
            if packet is None:
                return
            try:
                frames = packet.decode()
            except av.FFmpegError:
                self.lost_s += float((packet.duration or 0) * (packet.time_base or 0))
                continue
            for frame in frames:
                if isinstance(frame, av.AudioFrame):
                    if frame.time is not None:
                        self.gaps_s += frame.time - end_s if end_s and frame.time - end_s > _LEAST_GAP_S else 0.0
                        end_s = frame.time + frame.samples / frame.sample_rate
                    yield frame

    def _stereo(self, resampler: av.AudioResampler | None, frame: av.AudioFrame | None) -> Iterator[Sound]:
        for part in resampler.resample(frame) if resampler else ():
            sound = np.nan_to_num(part.to_ndarray(), posinf=1.0, neginf=-1.0).astype(np.float32)
            self.peak = max(self.peak, float(np.abs(sound).max(initial=0)))
            self.read_s += sound.shape[1] / SOUND_RATE_HZ
            yield np.broadcast_to(sound, (2, sound.shape[1]))

    def notes(self) -> list[str]:
        """Return what was lost, after the whole file was read."""
        lost_s = max(self.lost_s, self.gaps_s, self.announced_s - self.read_s)
        notes = []
        least_s = _LEAST_EXACT_S if self.is_exact else max(_LEAST_LOST_S, _LEAST_LOST_SHARE * self.announced_s)
        if lost_s > least_s or self.lost_s > 0 or self.gaps_s > 0:
            whole_s = max(self.announced_s, self.read_s + self.lost_s)
            notes.append(
                f"the file is damaged or cut short: {lost_s:.1f} s of {whole_s:.1f} s cannot be read and are left out"
            )
        elif self.has_no_end:
            notes.append(f"the file is cut short: it ends after {self.read_s:.1f} s without the mark of its end")
        if len(self.formats) > 1:
            notes.append(f"the file changes its format {len(self.formats) - 1} times or more, as joined files do")
        return notes


def open_sound(path: Path) -> Recording:
    """Return the sound of a file, mono at 48 kHz.

    Both channels of stereo are mixed, unless they cancel each other; then the louder one is taken. More channels are
    mixed to these two by FFmpeg's rules, and made softer if their sum is louder than full scale.

    Raises:
        BadRequestError: If the file cannot be read or holds no sound.
    """
    reading, digest, samples = _Reading(path), hashlib.sha256(), 0
    energy = np.zeros(3)  # left, right, both mixed
    try:
        for part in reading.parts():
            samples += part.shape[1]
            digest.update(part[0].tobytes())
            digest.update(part[1].tobytes())
            energy += np.square((*part, part.mean(axis=0)), dtype=np.float64).sum(axis=1)
    except IndexError as error:
        raise BadRequestError(f"{path} holds no sound") from error
    except (av.FFmpegError, OSError) as error:
        raise BadRequestError(_unreadable(path, error)) from error
    if not samples:
        raise BadRequestError(f"{path} holds no sound that can be read")
    notes = reading.notes()
    weights = np.full(2, 0.5 / max(1.0, reading.peak), np.float32)
    if energy[2] < _CANCELS * energy[:2].max():
        louder = int(np.argmax(energy[:2]))
        weights = 2 * weights * np.eye(2, dtype=np.float32)[louder]
        notes.append(f"the two channels cancel each other: the {('left', 'right')[louder]} one is used alone")
    if energy.max() == 0:
        notes.append("the sound is silent from its beginning to its end")
    return Recording(samples, digest.hexdigest(), lambda: _blocks(path, weights), tuple(notes))


def _is_ogg_cut(path: Path) -> bool:
    """Return whether the last page of an Ogg file is not whole, or does not end its stream."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _OGG_LONGEST_PAGE))
        tail = file.read()
    at = tail.rfind(_OGG_PAGE)
    page = tail[at:] if at >= 0 else b""
    if len(page) < _OGG_HEADER_BYTES:
        return True
    segments = page[_OGG_HEADER_BYTES : _OGG_HEADER_BYTES + page[_OGG_HEADER_BYTES - 1]]
    return not page[5] & _OGG_END or len(page) < _OGG_HEADER_BYTES + len(segments) + sum(segments)


def _unreadable(path: Path, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return f"cannot read sound from {path}: there is no such file"
    if path.is_file() and not path.stat().st_size:
        return f"cannot read sound from {path}: the file is empty"
    if isinstance(error, av.FFmpegError):
        return f"cannot read sound from {path}: it is damaged, or no file with sound"
    return f"cannot read sound from {path}: {getattr(error, 'strerror', None) or error}"


def _blocks(path: Path, weights: Sound) -> Iterator[Sound]:
    """Yield the mono sound in blocks of one second."""
    waiting: list[Sound] = []
    size = 0
    for part in _Reading(path).parts():
        waiting.append(np.clip(weights @ part, -1.0, 1.0))
        size += part.shape[1]
        while size >= BLOCK_SOUND:
            sound = np.concatenate(waiting)
            yield sound[:BLOCK_SOUND]
            waiting, size = [sound[BLOCK_SOUND:]], size - BLOCK_SOUND
    if size:
        yield np.concatenate(waiting)

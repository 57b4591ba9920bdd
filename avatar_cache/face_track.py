"""Follows one face through a clip, and smooths its box without lag. No pixels are kept."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from lipstream.avatar_cache.face_detector import DetectedFace, FaceDetector
from lipstream.avatar_cache.face_geometry import chin_mm, estimate_pose, face_box
from lipstream.avatar_cache.photo import Bgr
from lipstream.realtime.errors import AvatarError
from lipstream.realtime.picture.mouth_painter import Box

Windows = npt.NDArray[np.float64]

_FOLLOWED_FRAMES = 5
"""Frames for which a lost face is looked for at its last place."""
_SEARCH_EVERY = 25
"""Frames between searches of the whole picture, each as slow as following through hundreds of frames. Two more follow
soon after a loss."""
_PROFILE_DEGREES = 50.0
_GAP_FRAMES = 8
"""Longest gap that is interpolated: a missed detection, or a hand that passes."""
_CENTRE_FRAMES, _SIZE_FRAMES = 2.0, 12.0
"""Standard deviations, in frames, of the filters for a box's centre and for its size."""
_ONE_SIZE = 0.05
"""A size that varies by less than this is made constant over the clip."""


@dataclass(slots=True)
class FaceTrack:
    """One face in every picture of a clip.

    Attributes:
        faces: The face in each picture; ``None`` if it was not found or is in profile.
    """

    faces: list[DetectedFace | None] = field(default_factory=list)
    seen: list[DetectedFace] = field(default_factory=list)


class FaceTracker:
    """Follows a chosen face from picture to picture.

    Args:
        choice: Number of the face to follow, from 1, the largest first.
    """

    def __init__(self, detector: FaceDetector, choice: int = 1) -> None:
        self._detector, self._choice = detector, choice
        self.track = FaceTrack()
        self._last: DetectedFace | None = None
        self._lost = 0

    def push(self, picture: Bgr) -> DetectedFace | None:
        """Take the next picture; return the face in it, or ``None``."""
        face = None
        if self._last is not None and self._lost < _FOLLOWED_FRAMES:
            face = self._detector.follow(picture, self._last)
        if face is None and (self._lost % _SEARCH_EVERY == 0 or self._lost in (5, 10)):
            face = self._search(picture)
        self._lost = 0 if face else self._lost + 1
        self._last = face or self._last
        in_profile = face is not None and abs(estimate_pose(face.points).yaw_degrees) > _PROFILE_DEGREES
        self.track.faces.append(None if in_profile else face)
        return face

    def _search(self, picture: Bgr) -> DetectedFace | None:
        found = self._detector.find(picture)
        if self._last is None:
            if len(found) < self._choice:
                return None
            self.track.seen = found
            return found[self._choice - 1]
        last = self._last
        near = [face for face in found if np.hypot(*(face.centre - last.centre)) < 1.5 * last.side]
        return min(near, key=lambda face: float(np.hypot(*(face.centre - last.centre))), default=None)


BY_HAND = ", or give its place with --box"
"""End of a message for those who have a command line; an upload has no such option."""


def longest_run(faces: list[DetectedFace | None]) -> tuple[int, int]:
    """Return the longest range of frames with a face, half-open; short gaps are part of it.

    Raises:
        AvatarError: If no frame has a face.
    """
    best, start, last = (0, 0), 0, -1
    for index in (i for i, face in enumerate(faces) if face):
        if last < 0 or index - last > _GAP_FRAMES + 1:
            start = index
        last = index
        if last + 1 - start > best[1] - best[0]:
            best = start, last + 1
    if best == (0, 0):
        raise AvatarError(
            "no face was found: show one from the front, larger, with nothing before it, such as a mask, a hand, a "
            f"microphone or sunglasses{BY_HAND}"
        )
    return best


def face_windows(faces: list[DetectedFace | None]) -> Windows:
    """Return the face box of every picture, ``float64[N, 3]``: centre x, y and half the side; gaps are interpolated."""
    known = [(i, face, estimate_pose(face.points)) for i, face in enumerate(faces) if face]
    # The 20th percentile stands for a closed mouth.
    chin = float(np.percentile([chin_mm(face.points, pose) for _, face, pose in known], 20))
    windows = np.array([face_box(face.points, pose, chin) for _, face, pose in known])
    return bridge(np.array([i for i, _, _ in known]), windows, len(faces))


def bridge(at: npt.NDArray[np.int_], values: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.float64]:
    """Return ``values``, known at the frames ``at``, linearly interpolated for all ``count`` frames."""
    flat = values.reshape(len(values), -1)
    columns = [np.interp(np.arange(count), at, column) for column in flat.T]
    return np.stack(columns, axis=1).reshape(count, *values.shape[1:])


def smooth(windows: Windows) -> Windows:
    """Return the windows without jitter; the filter is symmetric in time and therefore has no lag.

    Args:
        windows: ``float64[N, 2 + k]``: centre x and y, then the sizes, px.
    """
    place = _blur(windows[:, :2], _CENTRE_FRAMES)
    size = _blur(windows[:, 2:], _SIZE_FRAMES)
    middle = np.median(size, axis=0)
    if np.abs(size / middle - 1).max() < _ONE_SIZE:
        size[:] = middle
    return np.concatenate([place, size], axis=1)


def _blur(values: Windows, sigma: float) -> Windows:
    if len(values) == 1:
        return values.copy()
    reach = min(int(3 * sigma), len(values) - 1)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    # Mirrored through the end points, so that a steady motion stays steady up to the end.
    before = 2 * values[:1] - values[reach:0:-1]
    after = 2 * values[-1:] - values[-2 : -reach - 2 : -1]
    padded = np.concatenate([before, values, after])
    columns = [np.convolve(column, kernel / kernel.sum(), "valid") for column in padded.T]
    return np.stack(columns, axis=1)


def to_boxes(windows: Windows, width: int, height: int) -> tuple[Box, ...]:
    """Return even boxes inside the picture: a box that would leave it is moved, and shrunk only if it is too large."""
    return tuple(_even_box(x, y, half, width, height) for x, y, half in windows.tolist())


def _even_box(x: float, y: float, half: float, width: int, height: int) -> Box:
    side = max(min(2 * round(half), width // 2 * 2, height // 2 * 2), 2)
    left = min(max(2 * round((x - side / 2) / 2), 0), (width - side) // 2 * 2)
    top = min(max(2 * round((y - side / 2) / 2), 0), (height - side) // 2 * 2)
    return Box(int(left), int(top), int(side), int(side))


def thumbnail(picture: Bgr) -> npt.NDArray[np.float32]:
    """Return a picture as a small vector, ``float32[32 * 18 * 3]``, for comparisons."""
    small = cv2.resize(picture, (32, 18), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32).reshape(-1)


def spans(present: list[bool]) -> Iterator[tuple[int, int]]:
    """Yield the half-open ranges of frames in which ``present`` is false."""
    edges = np.flatnonzero(np.diff(np.concatenate([[True], present, [True]]).astype(int)))
    yield from zip(edges[0::2].tolist(), edges[1::2].tolist(), strict=True)

"""All clips of an avatar one after the other, as they are stored: what motions are worked out from."""

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from lipstream.avatar_cache.avatar import Avatar, file_sha256
from lipstream.avatar_cache.detectors import create_detector
from lipstream.avatar_cache.face_detector import DetectedFace
from lipstream.avatar_cache.face_track import FaceTracker, bridge, thumbnail
from lipstream.avatar_cache.manifest import Manifest, StoredClip
from lipstream.avatar_cache.motion_graph import IDLE, ClipRange
from lipstream.avatar_cache.motion_steps import Looks
from lipstream.avatar_cache.mouth_cover import covered_frames, lip_doubt, mouth_patch
from lipstream.avatar_cache.photo import Bgr
from lipstream.avatar_cache.prepare import decode_clip
from lipstream.realtime.picture.i420 import i420_to_bgr
from lipstream.realtime.picture.mouth_painter import Box

Rectangle = tuple[int, int, int, int]


@dataclasses.dataclass(frozen=True, slots=True)
class ClipPart:
    """One clip of an avatar, with its part of the manifest.

    Attributes:
        path: Video file that holds its pictures.
        boxes: Face box of each of its frames, px.
        detector_boxes: Face detector's rectangle in each of them; empty if not known.
    """

    clip: StoredClip
    path: Path
    boxes: tuple[Box, ...]
    detector_boxes: tuple[Rectangle, ...]


def parts_of(avatar: Avatar) -> list[ClipPart]:
    """Return the clips of a stored avatar, without the generated frames between them."""
    manifest = avatar.manifest
    clips = manifest.clips or (
        StoredClip(IDLE, manifest.frames, manifest.loop, manifest.source_sha256, manifest.clip_sha256),
    )
    parts, first = [], 0
    for clip, path in zip(clips, manifest.files(avatar.clip), strict=True):
        own = slice(first, first + clip.frames)
        parts.append(ClipPart(clip, path, manifest.boxes[own], manifest.detector_boxes[own]))
        first += clip.frames
    return [part for part in parts if part.clip.name]


def part_of_file(name: str, path: Path, manifest: Manifest) -> ClipPart:
    """Return the clip of an avatar of one clip, under a name of its own."""
    clip = StoredClip(name, manifest.frames, manifest.loop, manifest.source_sha256, file_sha256(path))
    return ClipPart(clip, path, manifest.boxes, manifest.detector_boxes)


def joined(manifest: Manifest, parts: Sequence[ClipPart]) -> Manifest:
    """Return a manifest with these clips, and without steps between them."""
    found = tuple(box for part in parts for box in part.detector_boxes)
    boxes = tuple(box for part in parts for box in part.boxes)
    return dataclasses.replace(
        manifest,
        boxes=boxes,
        detector_boxes=found if len(found) == len(boxes) else (),
        clips=tuple(part.clip for part in parts),
        steps={},
    )


class ClipRow:
    """The frames of all clips in one file, mapped into memory, since they may be larger than the memory is.

    A context manager that removes its file.

    Args:
        manifest: Lists the clips, whose files lie in ``folder``.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.manifest = manifest
        self.ranges = {clip.name: clip for clip in manifest.ranges}
        width, height = manifest.size
        self._path = folder / "row.part"
        self._frames = np.lib.format.open_memmap(
            self._path, mode="w+", dtype=np.uint8, shape=(manifest.frames, height * 3 // 2, width)
        )
        for index, frame in enumerate(decode_clip(folder / manifest.clips[0].file, manifest)):
            self._frames[index] = frame

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        del self._frames
        with contextlib.suppress(OSError):  # the folder is removed as a whole, too
            self._path.unlink()

    def picture(self, frame: int) -> Bgr:
        """Return a frame of the row, ``uint8[h, w, 3]``."""
        return i420_to_bgr(np.asarray(self._frames[frame]))

    def survey(self, detector: str | None, told: Callable[[float], None]) -> tuple[Looks, npt.NDArray[np.bool_]]:
        """Return what is compared of all frames, and in which of them the mouth is covered, ``bool[N]``.

        Args:
            detector: Name of the face detector; ``None`` if the face was given by hand, so there are no landmarks.
            told: Called with 0..1.
        """
        pictures, poses = [], []
        doubts: list[float | None] = []
        patches: list[npt.NDArray[np.float32] | None] = []
        found = create_detector(detector) if detector else None
        tracker = FaceTracker(found) if found else None
        for clip in self.ranges.values():
            faces: list[DetectedFace | None] = []
            if found and tracker and tracker.push(self.picture(clip.first)) is None:  # it is where no clip had it yet
                tracker = FaceTracker(found)
            side = _side(self.manifest.boxes, clip)
            for frame in range(clip.first, clip.first + clip.levels * clip.frames):
                picture = self.picture(frame)
                pictures.append(thumbnail(picture))
                faces.append(face := tracker.push(picture) if tracker else None)
                doubts.append(lip_doubt(face) if face else None)
                patches.append(mouth_patch(picture, face, side) if face else None)
                told((frame + 1) / self.manifest.frames)
            poses.append(_poses(faces, side))
        known = poses if all(pose is not None for pose in poses) else [np.zeros((len(pictures), 0), np.float32)]
        looks = Looks(np.stack(pictures), np.concatenate([pose for pose in known if pose is not None]))
        none = np.zeros(len(pictures), np.bool_)
        return looks, covered_frames(doubts, patches) if detector else none


def _side(boxes: Sequence[Box], clip: ClipRange) -> float:
    return float(np.median([box.width for box in boxes[clip.first : clip.first + clip.frames]]))


def _poses(faces: Sequence[DetectedFace | None], side: float) -> npt.NDArray[np.float32] | None:
    """Return the landmarks of each frame, ``float32[N, 136]``, in shares of the face's side; ``None`` without any.

    Where the face was not found, its place is interpolated.
    """
    known = [(index, face.points) for index, face in enumerate(faces) if face]
    if not known:
        return None
    at, points = np.array([index for index, _ in known]), np.array([points for _, points in known], np.float64)
    placed = bridge(at, points.reshape(len(points), -1) / side, len(faces))
    return placed.astype(np.float32)

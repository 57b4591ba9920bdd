"""Finds the face detector's boxes in the clip of a stored avatar, and changes how its face is cropped."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from lipstream.avatar_cache.detector_box import Rectangle, box_by_hand, follow_box, to_rectangles
from lipstream.avatar_cache.detectors import create_detector
from lipstream.avatar_cache.face_detector import FaceDetector
from lipstream.avatar_cache.face_track import FaceTracker
from lipstream.avatar_cache.manifest import BoxSmoothing, Manifest
from lipstream.avatar_cache.photo import Bgr
from lipstream.avatar_cache.prepare import decode_clip
from lipstream.realtime.errors import AvatarError
from lipstream.realtime.picture.i420 import i420_to_bgr

Progress = Callable[[float], None]


@dataclasses.dataclass(frozen=True, slots=True)
class CropChange:
    """What is changed; ``None`` keeps it.

    Attributes:
        detector: Name of the detector that finds the boxes again. Without one, the built-in detector finds them if the
            avatar has none, or has one by hand and ``rectangle`` is ``None``.
        rectangle: Detector's box set by hand: left, top, right, bottom, px of the stored picture.
        smoothing: Smoothing of the boxes, as in the manifest.
    """

    detector: str | None = None
    rectangle: Rectangle | None = None
    smoothing: BoxSmoothing | None = None


def change_crop(manifest: Manifest, clip: Path, change: CropChange, progress: Progress | None = None) -> Manifest:
    """Return the manifest of a stored avatar with other boxes of the detector.

    Args:
        progress: Called with 0..1.

    Raises:
        AvatarError: If the clip has no face, or the rectangle leaves too little of the picture.
        SettingsError: If the detector is unknown or not installed.
    """
    boxes, by_hand = manifest.detector_boxes, manifest.box_by_hand
    if change.rectangle:
        boxes, by_hand = (box_by_hand(change.rectangle, manifest.size),) * manifest.frames, True
    elif change.detector or not boxes or by_hand:
        detector = create_detector(change.detector or "built-in")
        boxes, by_hand = detect_boxes(manifest, clip, detector, progress), False
    return dataclasses.replace(
        manifest,
        detector_boxes=boxes,
        box_by_hand=by_hand,
        box_smoothing=change.smoothing or manifest.box_smoothing,
    )


def detect_boxes(
    manifest: Manifest, clip: Path, detector: FaceDetector, progress: Progress | None = None
) -> tuple[Rectangle, ...]:
    """Return the detector's rectangle in every frame of a stored clip, of the face that the avatar shows.

    Raises:
        AvatarError: If the clip cannot be read or has no face.
    """
    tracker: FaceTracker | None = None
    for index, frame in enumerate(decode_clip(clip, manifest)):
        picture = i420_to_bgr(frame)
        tracker = tracker or FaceTracker(detector, _choice(detector, picture, manifest))
        tracker.push(picture)
        if progress:
            progress((index + 1) / manifest.frames)
    boxes = to_rectangles(follow_box(tracker.track.faces)) if tracker else ()
    if not boxes:
        raise AvatarError(f"no face was found in the clip of {manifest.id!r}: give its box by hand")
    return boxes


def write_manifest(manifest: Manifest, path: Path) -> None:
    """Replace the manifest in a file; a crash leaves the old one."""
    scratch = path.with_suffix(".part")
    scratch.write_text(manifest.to_json())
    scratch.replace(path)


def _choice(detector: FaceDetector, picture: Bgr, manifest: Manifest) -> int:
    """Return the number of the face nearest to the avatar's own, from 1, the largest first."""
    x, y = manifest.boxes[0].x + manifest.boxes[0].width / 2, manifest.boxes[0].y + manifest.boxes[0].height / 2
    away = [abs(face.centre[0] - x) + abs(face.centre[1] - y) for face in detector.find(picture)]
    return away.index(min(away)) + 1 if away else 1

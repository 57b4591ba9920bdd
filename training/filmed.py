"""A clip of a speaking person, cropped as a network wants it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lipstream.avatar_cache.crop_geometry import crop_face
from lipstream.avatar_cache.detector_box import cropped_boxes, follow_box, to_rectangles
from lipstream.avatar_cache.detectors import create_detector
from lipstream.avatar_cache.face_detector import DetectedFace
from lipstream.avatar_cache.face_geometry import RIGID, estimate_pose, lip_gap_mm
from lipstream.avatar_cache.face_track import FaceTracker, face_windows, longest_run, smooth, to_boxes
from lipstream.avatar_cache.media_reader import Limits, open_source
from lipstream.realtime.errors import AvatarError
from lipstream.realtime.lipsync.metadata import WeightsMetadata
from lipstream.realtime.picture.i420 import bgr_to_i420
from lipstream.realtime.picture.mouth_painter import Box
from lipstream.realtime.timeline import SAMPLES_PER_FRAME
from training.heads import Floats
from training.voices import read_audio

Images = NDArray[np.uint8]

_SIDE = 1280
_LONGEST_S = 600.0
_FEWEST_FRAMES = 100
_NEAR_POSES = 12


@dataclass(frozen=True)
class Filmed:
    """A clip of a speaking person.

    Attributes:
        crops: Crops, ``uint8[T, S, S, 3]``, BGR.
        points: Landmarks in each crop, ``float32[T, 68, 2]``, px.
        wide: Width of each crop's box as a share of its height, ``float32[T]``; 1 for squares.
        poses: Yaw, pitch and roll, degrees, ``float32[T, 3]``.
        gaps_mm: Gap between the lips, ``float32[T]``.
        samples: Sound from the first frame on, ``float32[n]`` at 16 kHz.
    """

    crops: Images
    points: Floats
    wide: Floats
    poses: Floats
    gaps_mm: Floats
    samples: Floats


def read_clip(path: Path, metadata: WeightsMetadata) -> Filmed:
    """Find the face in every frame of a clip and crop it, as for an avatar of these weights.

    Raises:
        AvatarError: If the clip has no sound or shows no face for long enough.
    """
    source = open_source(path, Limits(seconds=_LONGEST_S), side=_SIDE)
    tracker, size = FaceTracker(create_detector("built-in")), (0, 0)
    for picture in source.pictures():
        size = picture.shape[1], picture.shape[0]
        tracker.push(picture)
    faces = tracker.track.faces
    first, last = longest_run(faces)
    if last - first < _FEWEST_FRAMES:
        raise AvatarError(
            f"{path.name} shows a face for {(last - first) / 25:.1f} s; {_FEWEST_FRAMES // 25} are needed"
        )
    try:
        samples = read_audio(path)
    except (IndexError, ValueError) as error:
        raise AvatarError(f"{path.name} has no sound") from error
    boxes = _boxes(faces[first:last], size, metadata)
    crops, points, poses, gaps = [], [], [], []
    known = next(face for face in faces[first:last] if face)
    for number, picture in enumerate(source.pictures()):
        if not first <= number < last:
            continue
        box, known = boxes[number - first], faces[number] or known
        crops.append(_crop(picture, box, metadata))
        points.append((known.points - (box.x, box.y)) * metadata.size / (box.width, box.height))
        pose = estimate_pose(known.points)
        poses.append((pose.yaw_degrees, pose.pitch_degrees, pose.roll_degrees))
        gaps.append(lip_gap_mm(known.points, pose))
    return Filmed(
        np.stack(crops).astype(np.uint8),
        np.array(points, np.float32),
        np.array([box.width / box.height for box in boxes], np.float32),
        np.array(poses, np.float32),
        np.array(gaps, np.float32),
        cut_sound(samples, SAMPLES_PER_FRAME * first, SAMPLES_PER_FRAME * last),
    )


def _boxes(faces: list[DetectedFace | None], size: tuple[int, int], metadata: WeightsMetadata) -> tuple[Box, ...]:
    if metadata.crop == "detector":
        return cropped_boxes(to_rectangles(follow_box(faces)), metadata.pads, size)
    return to_boxes(smooth(face_windows(faces)), *size)


def _crop(picture: Images, box: Box, metadata: WeightsMetadata) -> Images:
    return crop_face(bgr_to_i420(picture), box, metadata.size, metadata.crop)


def cut_sound(samples: Floats, first: int, last: int) -> Floats:
    """Return the samples ``first..last``, padded with silence."""
    return np.pad(samples, (max(0, -first), max(0, last - len(samples))))[max(0, first) : last + max(0, -first)]


def rested(filmed: Filmed, frame: int, among: int) -> Images:
    """Return a frame's reference: the crop of nearly its pose with the mouth most at rest, aligned with the frame.

    Args:
        frame: Index of the frame, from 0.
        among: Only frames before this index are candidates.
    """
    away = np.abs(filmed.poses[:among] - filmed.poses[frame]).sum(axis=1)
    near = np.argsort(away)[:_NEAR_POSES]
    chosen = int(near[filmed.gaps_mm[near].argmin()])
    side = filmed.crops.shape[1]
    # Heads turn and move in the picture, not in a crop that is squeezed.
    stretched = [np.diag((filmed.wide[at], 1, 1)) for at in (chosen, frame)]
    places = [filmed.points[at][RIGID] * (filmed.wide[at], 1) for at in (chosen, frame)]
    to_frame, _ = cv2.estimateAffinePartial2D(*places)
    moved = np.eye(3) if to_frame is None else np.vstack([to_frame, (0, 0, 1)])
    squeezed = (np.linalg.inv(stretched[1]) @ moved @ stretched[0])[:2]
    laid = cv2.warpAffine(filmed.crops[chosen], squeezed, (side, side), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(laid, np.uint8)

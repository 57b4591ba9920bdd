"""Faces of a few strokes, drawn with their 68 points: for tests of the whole way without rendered heads."""

from pathlib import Path

import cv2
import numpy as np

from lipstream.avatar_cache.crop_geometry import crop_face
from lipstream.avatar_cache.detector_box import cropped_boxes, detector_box, to_rectangles
from lipstream.avatar_cache.face_detector import DetectedFace
from lipstream.avatar_cache.face_geometry import MEAN_FACE, jaw_outline
from lipstream.avatar_cache.face_track import face_windows, smooth, to_boxes
from lipstream.avatar_cache.manifest import Manifest
from lipstream.avatar_cache.store import AvatarStore
from lipstream.realtime.lipsync.metadata import NO_PADS
from lipstream.realtime.picture.i420 import bgr_to_i420
from tests.avatar_cache.clips import write_clip
from training.pairs import CROP
from training.visemes import MOUTH_ACTIONS

WIDTH, HEIGHT, FRAMES = 240, 256, 8
JAW = MOUTH_ACTIONS.index("jawOpen")
_OPEN_MM = 22.0
_FINE = 4  # bits of a pixel's fraction that OpenCV draws with
_LOWER_LIP, _JAW_LINE = [55, 56, 57, 58, 59, 65, 66, 67], slice(4, 13)
_SKIN, _BEHIND = (110, 140, 200), (150, 140, 130)


class ToyFace:
    """A face seen from the front, whose jaw opens; a `training.place.Model`.

    Args:
        rng: Source of its looks.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._wide, self._long = rng.uniform(0.92, 1.08, 2)
        self._skin = np.array(_SKIN) * rng.uniform(0.9, 1.1)
        self._lip = self._skin * (0.55, 0.5, 0.85)
        self._px_per_mm = rng.uniform(0.95, 1.15)
        self._sway = rng.uniform(2, 5)

    def points(self, frame: int, jaw: float) -> np.ndarray:
        flat = MEAN_FACE[:, [0, 2]].copy()
        flat[_LOWER_LIP, 1] -= _OPEN_MM * jaw
        flat[_JAW_LINE, 1] -= 0.7 * _OPEN_MM * jaw
        flat *= (self._wide, -self._long)
        place = (WIDTH / 2 + self._sway * np.sin(2 * np.pi * frame / FRAMES), HEIGHT * 0.52)
        return (flat * self._px_per_mm + place).astype(np.float32)

    def draw(self, points: np.ndarray) -> np.ndarray:
        """Return the picture with these points, ``uint8[HEIGHT, WIDTH, 3]``."""
        picture = np.empty((HEIGHT, WIDTH, 3), np.uint8)
        picture[:] = _BEHIND

        def fill(outline: np.ndarray, colour: object) -> None:
            fine = (outline * 2**_FINE).round().astype(np.int32)
            cv2.fillPoly(picture, [fine], np.asarray(colour, float).tolist(), cv2.LINE_AA, _FINE)

        brow_top = points[17:27, 1].min()
        crown = points[[0, 16]].mean(axis=0) - (0, 0.75 * (points[8, 1] - brow_top))
        forehead = points[16] + (crown - points[16]) * (0.35, 0.9), crown, points[0] + (crown - points[0]) * (0.35, 0.9)
        fill(np.vstack([points[:17], *forehead]), self._skin)
        for brow in (points[17:22], points[22:27]):
            fill(np.vstack([brow, brow[::-1] + (0, 4)]), self._skin * 0.35)
        for eye in (points[36:42], points[42:48]):
            fill(eye, (235, 235, 235))
            cv2.circle(picture, tuple(eye.mean(axis=0).round().astype(int)), 3, (40, 30, 20), -1, cv2.LINE_AA)
        fill(points[[27, 31, 33, 35]], self._skin * 0.85)
        fill(points[48:60], self._lip)
        fill(points[60:68], (25, 20, 45))
        return picture

    def truth(self, frame: int, mouth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        points = self.points(frame, float(np.clip(mouth[JAW], 0, 1)))
        return self.draw(points), points

    def build(self, store: AvatarStore, avatar_id: str) -> None:
        if (store.root / avatar_id).exists():
            return
        source = store.root / avatar_id
        source.mkdir(parents=True)
        points = [self.points(frame, 0.0) for frame in range(FRAMES)]
        write_clip(source / "clip.mp4", [self.draw(one) for one in points])
        faces: list[DetectedFace | None] = [DetectedFace(one, np.zeros(68, np.float32), 1.0) for one in points]
        boxes = to_boxes(smooth(face_windows(faces)), WIDTH, HEIGHT)
        shares = [(one - (b.x, b.y)) / (b.width, b.height) for one, b in zip(points, boxes, strict=True)]
        manifest = Manifest(
            avatar_id, avatar_id, "seamless", (WIDTH, HEIGHT), boxes, "CC0-1.0", "",
            outline=jaw_outline(np.array(shares, np.float32)),
            detector_boxes=to_rectangles(np.array([detector_box(one) for one in points])),
        )  # fmt: skip
        (source / "avatar.json").write_text(manifest.to_json())
        store.build(source, avatar_id)


def write_faces(folder: Path, scenes: int, mouths: int, rng: np.random.Generator) -> None:
    """Write a shard as `training.dataset.build_faces` does, in a detector's crop: the first mouth of a scene rests."""
    images, jaws = [], np.zeros((scenes, mouths, len(MOUTH_ACTIONS)), np.float32)
    jaws[:, 1:, JAW] = rng.uniform(0, 1, (scenes, mouths - 1))
    for scene in range(scenes):
        face, frame = ToyFace(rng), int(rng.integers(FRAMES))
        box = detector_box(face.points(frame, 0.0)) + rng.normal(0, 1, 4)
        (place,) = cropped_boxes(to_rectangles(box[None]), NO_PADS, (WIDTH, HEIGHT))
        pictures = [face.truth(frame, mouth)[0] for mouth in jaws[scene]]
        images.append(np.stack([crop_face(bgr_to_i420(one), place, CROP, "detector") for one in pictures]))
    identity = np.full(scenes, 1000)
    np.savez(folder / "detector-faces-0000.npz", images=np.stack(images), mouths=jaws, identity=identity)

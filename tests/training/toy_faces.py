"""Faces of a few strokes, drawn with their 68 points, and a stand-in for a network that has learned to draw them.

They serve tests of the whole way where there are no rendered heads and no minutes for a fit.
"""

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from lipstream.avatar_cache.crop_geometry import crop_face
from lipstream.avatar_cache.detector_box import cropped_boxes, detector_box, to_rectangles
from lipstream.avatar_cache.face_detector import DetectedFace
from lipstream.avatar_cache.face_geometry import MEAN_FACE, jaw_outline
from lipstream.avatar_cache.face_track import face_windows, smooth, to_boxes
from lipstream.avatar_cache.manifest import Manifest
from lipstream.avatar_cache.store import AvatarStore
from lipstream.realtime.lipsync.metadata import NO_PADS
from lipstream.realtime.lipsync.predictor import FaceFeatures
from lipstream.realtime.lipsync.weights import load_weights
from lipstream.realtime.picture.i420 import bgr_to_i420
from lipstream.realtime.workers.render_worker import WorkerSettings
from tests.avatar_cache.clips import write_clip
from training.codes import code_to_mouth
from training.pairs import CROP
from training.visemes import MOUTH_ACTIONS

Images = NDArray[np.uint8]
Floats = NDArray[np.float32]

WIDTH, HEIGHT, FRAMES = 240, 256, 8
JAW = MOUTH_ACTIONS.index("jawOpen")
_OPEN_MM = 14.0
_FINE = 4  # bits of a pixel's fraction that OpenCV draws with
_LOWER_LIP, _JAW_LINE = [55, 56, 57, 58, 59, 65, 66, 67], slice(4, 13)
_SKIN, _BEHIND = np.array((110.0, 140.0, 200.0)), (150, 140, 130)
_LIP, _INSIDE = _SKIN * (0.55, 0.5, 0.85), np.array((25.0, 20.0, 45.0))


def _fill(picture: Images, outline: Floats, colour: NDArray[np.float64]) -> None:
    fine = (outline * 2**_FINE).round().astype(np.int32)
    cv2.fillPoly(picture, [fine], colour.tolist(), cv2.LINE_AA, _FINE)


def _draw_mouth(picture: Images, points: Floats) -> None:
    _fill(picture, points[48:60], _LIP)
    _fill(picture, points[60:68], _INSIDE)


def _flat(jaw: float) -> Floats:
    """Return the points of the average face with its jaw opened, mm, x right, y down."""
    flat = MEAN_FACE[:, [0, 2]] * (1, -1)
    flat[_LOWER_LIP, 1] += _OPEN_MM * jaw
    flat[_JAW_LINE, 1] += 0.7 * _OPEN_MM * jaw
    return flat.astype(np.float32)


class ToyFace:
    """A face seen from the front, whose jaw opens; a `training.place.Model`.

    Args:
        rng: Source of its looks.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._wide, self._long = rng.uniform(0.92, 1.08, 2)
        self._skin = _SKIN * rng.uniform(0.9, 1.1)
        self._px_per_mm = rng.uniform(0.95, 1.15)
        self._sway = rng.uniform(0.4, 1.2)

    def points(self, frame: int, jaw: float) -> Floats:
        """Return the 68 points in a frame of the clip, px."""
        place = (WIDTH / 2 + self._sway * np.sin(2 * np.pi * frame / FRAMES), HEIGHT * 0.52)
        points: Floats = (_flat(jaw) * self._px_per_mm * (self._wide, self._long) + place).astype(np.float32)
        return points

    def draw(self, points: Floats) -> Images:
        """Return the picture with these points, ``uint8[HEIGHT, WIDTH, 3]``."""
        picture = np.empty((HEIGHT, WIDTH, 3), np.uint8)
        picture[:] = _BEHIND
        brow_top = points[17:27, 1].min()
        crown = points[[0, 16]].mean(axis=0) - (0, 0.75 * (points[8, 1] - brow_top))
        sides = [ear + (crown - ear) * (0.35, 0.9) for ear in (points[16], points[0])]
        _fill(picture, np.vstack([points[:17], sides[0], crown, sides[1]]), self._skin)
        for brow in (points[17:22], points[22:27]):
            _fill(picture, np.vstack([brow, np.add(brow[::-1], (0, 4))]), self._skin * 0.35)
        for eye in (points[36:42], points[42:48]):
            _fill(picture, eye, np.full(3, 235.0))
            x, y = eye.mean(axis=0).round().astype(int).tolist()
            cv2.circle(picture, (x, y), 3, (40, 30, 20), -1, cv2.LINE_AA)
        _fill(picture, points[[27, 31, 33, 35]], self._skin * 0.85)
        _draw_mouth(picture, points)
        return picture

    def truth(self, frame: int, mouth: Floats) -> tuple[Images, Floats]:
        """Return the frame with another mouth, and its points; see `training.place.Model`."""
        points = self.points(frame, float(np.clip(mouth[JAW], 0, 1)))
        return self.draw(points), points

    def build(self, store: AvatarStore, avatar_id: str) -> None:
        """Store the avatar, with the boxes that its landmarks give."""
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


class Painter:
    """A ``MouthPredictor`` that draws toy mouths where faces have them in a detector's crop, whatever the crop shows.

    So does a network that has learned its place by heart. The sound is heard by the weights' own audio encoder.
    """

    def __init__(self, settings: WorkerSettings) -> None:
        self._network, self.metadata = load_weights(settings.weights)
        self.device = settings.device

    def encode_faces(self, crops: Images) -> FaceFeatures:
        return FaceFeatures(tuple(np.zeros((len(crops), 1, 1, 1), np.float16) for _ in range(7)), crops)

    def predict(self, mel: Floats, features: FaceFeatures, frames: NDArray[np.int64]) -> Images:
        with torch.no_grad():
            codes = self._network.audio_encoder(torch.from_numpy(np.ascontiguousarray(mel))[:, None])[:, :, 0, 0]
        left, top, right, bottom = detector_box(_flat(0.0))
        region, drawn = self.metadata.decoded_region, []
        for crop, jaw in zip(features.crops[frames], code_to_mouth(codes)[:, JAW].tolist(), strict=True):
            face = np.array(crop)
            face[CROP // 2 :] = np.median(face[: CROP // 2], axis=(0, 1))
            place = (_flat(min(max(jaw, 0.0), 1.0)) - (left, top)) * CROP / (right - left, bottom - top)
            _draw_mouth(face, place.astype(np.float32))
            drawn.append(face[region.top : region.bottom, region.left : region.right])
        return np.stack(drawn)

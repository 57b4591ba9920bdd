"""The boxes of published weights: where they lie, and that every avatar has them."""

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest

from lipstream.avatar_cache.clip_builder import BuildOptions
from lipstream.avatar_cache.crop_geometry import crop_face, crop_geometry
from lipstream.avatar_cache.detector_box import box_of_square, cropped_boxes, detector_box, follow_box, to_rectangles
from lipstream.avatar_cache.face_detector import BuiltInDetector, DetectedFace
from lipstream.avatar_cache.manifest import Manifest
from lipstream.avatar_cache.prepare import decode_clip
from lipstream.avatar_cache.store import AvatarStore
from lipstream.realtime.errors import AvatarError, SettingsError
from lipstream.realtime.lipsync.metadata import BUILT_IN_WEIGHTS, NO_PADS, Pads, WeightsMetadata, published_metadata
from lipstream.realtime.lipsync.weights import load_weights
from lipstream.realtime.picture.i420 import i420_to_bgr
from lipstream.realtime.picture.mouth_painter import Box
from tests.avatar_cache.clips import write_clip

PORTRAIT = Path(__file__).parent / "astronaut.jpg"
MTCNN = np.array([181.2, 62.7, 268.5, 173.1])
"""What MTCNN (facenet-pytorch 2.6.0) gives for the portrait."""


@pytest.fixture(scope="module")
def detector() -> BuiltInDetector:
    return BuiltInDetector()


def _portrait() -> np.ndarray:
    return np.asarray(cv2.imread(str(PORTRAIT)), np.uint8)


def _published() -> WeightsMetadata:
    return published_metadata(path=Path("wav2lip.pth"), sha256="a" * 64, size=96)


def test_a_portrait_s_box_is_a_detector_s(detector: BuiltInDetector) -> None:
    (face,) = detector.find(_portrait())
    height = MTCNN[3] - MTCNN[1]
    assert np.abs(detector_box(face.points) - MTCNN).max() < 0.07 * height
    mouth = face.points[48:60, 1].mean()
    top, bottom = MTCNN[1], MTCNN[3] + 10
    assert (mouth - top) / (bottom - top) == pytest.approx(0.68, abs=0.03), "where published networks draw it"


def test_a_face_that_is_mirrored_or_larger_has_the_same_box(detector: BuiltInDetector) -> None:
    (face,) = detector.find(_portrait())
    left, top, right, bottom = detector_box(face.points)
    np.testing.assert_allclose(
        detector_box(3 * face.points + 7), 3 * np.array([left, top, right, bottom]) + 7, rtol=1e-5
    )
    mirrored = face.points * np.array([-1, 1], np.float32)
    np.testing.assert_allclose(detector_box(mirrored), [-right, top, -left, bottom], rtol=1e-5)


@pytest.mark.parametrize("avatar_id", ["ada", "ben"])
def test_squares_tell_nearly_the_same_box(detector: BuiltInDetector, tmp_path: Path, avatar_id: str) -> None:
    avatar = AvatarStore(tmp_path).load(avatar_id)
    assert not avatar.manifest.detector_boxes
    first = i420_to_bgr(next(decode_clip(avatar.clip, avatar.manifest)))
    (face,) = detector.find(first)
    from_points, from_square = detector_box(face.points), box_of_square(avatar.manifest.boxes[0])
    assert np.abs(from_points - from_square).max() < 0.08 * (from_points[3] - from_points[1])


def test_a_detector_s_own_box_is_taken_and_gaps_are_bridged() -> None:
    own = [DetectedFace(np.zeros((68, 2), np.float32), np.zeros(68, np.float32), 1.0, box) for box in
           (np.array([10.9, -3.0, 60.0, 70.0]), np.array([20.9, 7.0, 70.0, 80.0]))]  # fmt: skip
    boxes = to_rectangles(follow_box([own[0], None, own[1]]))
    assert boxes == ((10, 0, 60, 70), (15, 2, 65, 75), (20, 7, 70, 80))
    assert to_rectangles(follow_box([None, None])) == ()


def test_means_are_cut_off_in_place_and_the_end_shares_a_window() -> None:
    found = tuple((40 + step, 30, 100 + step, 120) for step in (0, 1, 3, 3, 4, 9))
    boxes = cropped_boxes(found, NO_PADS, (300, 300))
    # 42.2, 44; from the third frame on the last five, some of them averaged already: 44.6, 44.8, 45, 45.2.
    assert [box.x for box in boxes] == [42, 44, 44, 44, 45, 45]
    assert {box.width for box in boxes} == {60}


def test_boxes_stay_in_the_picture_and_too_little_of_a_face_is_refused() -> None:
    (box,) = cropped_boxes(((-5, 20, 70, 95),), Pads(30, 10, 0, 0), (64, 100))
    assert box == Box(0, 0, 64, 100)
    with pytest.raises(AvatarError, match="less than 16 px of the face"):
        cropped_boxes(((0, 20, 70, 95),), Pads(0, -70, 0, 0), (64, 100))


def test_every_kind_of_build_keeps_what_both_crops_need(tmp_path: Path) -> None:
    store = AvatarStore(tmp_path)
    still = store.build(PORTRAIT, "still", options=BuildOptions(still=True)).manifest
    assert len(still.detector_boxes) == 1
    assert Manifest.read(tmp_path / "avatars" / "still" / "avatar.json") == still
    living = store.build(PORTRAIT, "living").manifest
    assert len(living.detector_boxes) == living.frames
    moved = [living.detector_boxes[at][0] - living.boxes[at].x for at in range(living.frames)]
    assert max(moved) - min(moved) <= 3, "both follow the head"
    clip = write_clip(tmp_path / "grey.mp4", (np.full((128, 128, 3), 90, np.uint8) for _ in range(6)))
    by_hand = store.build(clip, "hand", options=BuildOptions(box=Box(32, 32, 64, 64))).manifest
    assert by_hand.detector_boxes == ()
    assert len(crop_geometry(by_hand, _published()).boxes) == by_hand.frames


def test_geometry_belongs_to_the_weights(tmp_path: Path) -> None:
    manifest = AvatarStore(tmp_path).build(PORTRAIT, "still", options=BuildOptions(still=True)).manifest
    _, ours = load_weights(BUILT_IN_WEIGHTS)
    usual, published = crop_geometry(manifest, ours), crop_geometry(manifest, _published())
    assert (usual.boxes, usual.outline) == (manifest.boxes, manifest.outline)
    assert ours.fingerprint == ours.sha256[:16], "what was prepared for our own weights keeps its name"
    corners = [
        np.array([box.x, box.y]) + np.array(geometry.outline) * (box.width, box.height)
        for geometry, box in ((usual, usual.boxes[0]), (published, published.boxes[0]))
    ]
    np.testing.assert_allclose(corners[0], corners[1], atol=0.2, err_msg="the outline stays where it is in the picture")
    with pytest.raises(SettingsError, match="--pads is for weights with a detector's crop"):
        ours.with_pads(Pads(0, 20, 0, 0))


def test_our_own_crops_are_cut_as_ever(tmp_path: Path) -> None:
    avatar = AvatarStore(tmp_path).load("ada")
    for frame, box in zip(decode_clip(avatar.clip, avatar.manifest), avatar.manifest.boxes[:5], strict=False):
        face = i420_to_bgr(frame, top=box.y, left=box.x, height=box.height, width=box.width)
        wanted = cv2.resize(face, (96, 96), interpolation=cv2.INTER_AREA)
        np.testing.assert_array_equal(crop_face(frame, box, 96), wanted)


def test_a_wrong_number_of_boxes_is_named(tmp_path: Path) -> None:
    manifest = AvatarStore(tmp_path).load("ada").manifest
    path = tmp_path / "avatar.json"
    path.write_text(dataclasses.replace(manifest, detector_boxes=((1, 2, 30, 40),)).to_json())
    with pytest.raises(AvatarError, match="1 detector boxes for 200 frames"):
        Manifest.read(path)

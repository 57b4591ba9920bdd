"""The boxes of published weights: where they lie, and that every avatar has them."""

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest

from lipstream.avatar_cache.__main__ import main
from lipstream.avatar_cache.built_in_detector import BuiltInDetector
from lipstream.avatar_cache.clip_builder import BuildOptions
from lipstream.avatar_cache.crop_geometry import crop_face, crop_geometry
from lipstream.avatar_cache.detector_box import (
    box_of_square,
    cropped_boxes,
    detector_box,
    follow_box,
    square_of_box,
    to_rectangles,
)
from lipstream.avatar_cache.face_detector import DetectedFace
from lipstream.avatar_cache.face_geometry import MIRROR
from lipstream.avatar_cache.forehead import bare_forehead
from lipstream.avatar_cache.manifest import Manifest
from lipstream.avatar_cache.prepare import decode_clip
from lipstream.avatar_cache.store import AvatarStore
from lipstream.realtime.errors import AvatarError, SettingsError
from lipstream.realtime.lipsync.metadata import BUILT_IN_WEIGHTS, NO_PADS, Pads, WeightsMetadata
from lipstream.realtime.lipsync.stated_metadata import published_metadata
from lipstream.realtime.lipsync.weights import load_weights
from lipstream.realtime.picture.i420 import i420_to_bgr
from lipstream.realtime.picture.mouth_painter import Box
from tests.avatar_cache.clips import write_clip

PORTRAIT = Path(__file__).parent / "astronaut.jpg"
MTCNN = np.array([181.0, 63.4, 268.4, 173.7])
"""Median of six boxes of MTCNN (facenet-pytorch 2.6.0) for the portrait: at three sizes, as it is and mirrored."""
MTCNN_FIRST_FRAME = {
    "ada": (172.4, 106.3, 342.6, 355.6),
    "ada-green": (170.3, 104.4, 345.1, 355.4),
    "ben": (155.8, 86.2, 352.5, 362.7),
    "ines": (171.6, 95.8, 341.6, 340.6),
    "kenji": (160.7, 84.3, 352.2, 358.7),
    "amara": (163.5, 84.5, 345.8, 337.5),
    "viktor": (155.8, 89.7, 354.8, 366.3),
    "mira": (173.4, 104.9, 336.4, 359.4),
}


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
    (box,) = follow_box([face])
    assert np.abs(box - MTCNN).max() < 0.03 * height
    assert np.corrcoef(_cut(_portrait(), box), _cut(_portrait(), MTCNN))[0, 1] > 0.9
    mouth = face.points[48:60, 1].mean()
    top, bottom = MTCNN[1], MTCNN[3] + 10
    assert (mouth - top) / (bottom - top) == pytest.approx(0.68, abs=0.03), "where published networks draw it"


def test_a_face_that_is_mirrored_or_larger_has_the_same_box(detector: BuiltInDetector) -> None:
    (face,) = detector.find(_portrait())
    left, top, right, bottom = detector_box(face.points)
    np.testing.assert_allclose(
        detector_box(3 * face.points + 7), 3 * np.array([left, top, right, bottom]) + 7, rtol=1e-5
    )
    mirrored = face.points[MIRROR] * np.array([-1, 1], np.float32)
    np.testing.assert_allclose(detector_box(mirrored), [-right, top, -left, bottom], rtol=1e-5)


def _cut(picture: np.ndarray, box: Iterable[float]) -> np.ndarray:
    left, top, right, bottom = (round(edge) for edge in box)
    crop = cv2.resize(picture[top : bottom + 10, left:right], (96, 96), interpolation=cv2.INTER_LINEAR)
    return np.asarray(crop).ravel()


# Crops whose boxes differ by 2 %, as a detector's own do, correlate by about 0.9; those of a drawn face by less.
@pytest.mark.parametrize("avatar_id", MTCNN_FIRST_FRAME)
def test_a_built_in_avatar_s_crops_are_a_detector_s(tmp_path: Path, avatar_id: str) -> None:
    avatar = AvatarStore(tmp_path).load(avatar_id)
    first = i420_to_bgr(next(decode_clip(avatar.clip, avatar.manifest)))
    ours, theirs = _cut(first, avatar.manifest.detector_boxes[0]), _cut(first, MTCNN_FIRST_FRAME[avatar_id])
    assert np.corrcoef(ours, theirs)[0, 1] > (0.8 if avatar_id == "mira" else 0.9)


@pytest.mark.parametrize("avatar_id", ["ada", "ben"])
def test_squares_and_stored_boxes_tell_nearly_the_same(
    detector: BuiltInDetector, tmp_path: Path, avatar_id: str
) -> None:
    avatar = AvatarStore(tmp_path).load(avatar_id)
    first = i420_to_bgr(next(decode_clip(avatar.clip, avatar.manifest)))
    (face,) = detector.find(first)
    from_points, from_square = detector_box(face.points), box_of_square(avatar.manifest.boxes[0])
    height = from_points[3] - from_points[1]
    assert np.abs(from_points - from_square).max() < 0.08 * height
    assert np.abs(from_points - avatar.manifest.detector_boxes[0]).max() < 0.02 * height, "stored as `build` stores it"


def _with_forehead(picture: np.ndarray, points: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Return a picture with the upper forehead painted over."""
    eyes, chin = points[36:48].mean(axis=0), points[6:11].mean(axis=0)
    middle = np.rint(eyes - 0.7 * (chin - eyes)).astype(int)
    half = (round(0.5 * (chin - eyes)[1]), round(0.4 * (chin - eyes)[1]))
    painted = cv2.ellipse(picture.copy(), middle.tolist(), half, 0, 0, 360, colour, -1)
    return np.asarray(cv2.GaussianBlur(painted, (0, 0), 1))


def test_a_fringe_lowers_the_box_as_a_detector_s(detector: BuiltInDetector, tmp_path: Path) -> None:
    avatar = AvatarStore(tmp_path).load("ada")
    first = i420_to_bgr(next(decode_clip(avatar.clip, avatar.manifest)))
    (bare,) = detector.find(first)
    hidden = bare_forehead(_with_forehead(first, bare.points, (30, 40, 60)), bare.points)
    assert hidden < 0.2 < 0.4 < bare_forehead(first, bare.points)
    with_fringe = dataclasses.replace(bare, forehead=hidden)
    without = detector_box(bare.points)
    np.testing.assert_array_equal(follow_box([bare])[0], without)
    moved = (follow_box([with_fringe])[0] - without) / (without[3] - without[1])
    assert moved[1] > 0.03
    np.testing.assert_array_equal(moved[[0, 2, 3]], 0)


def test_the_fringe_of_most_frames_counts(detector: BuiltInDetector) -> None:
    (face,) = detector.find(_portrait())
    odd = dataclasses.replace(face, forehead=0.7)
    boxes = follow_box([face, odd, face])
    np.testing.assert_array_equal(boxes[1], boxes[0])


@pytest.mark.parametrize(("turn", "scale"), [(0, 0.5), (0, 2.0), (18, 1.0), (-18, 1.3)])
def test_a_forehead_is_the_same_however_large_and_tilted(turn: float, scale: float, detector: BuiltInDetector) -> None:
    picture = _portrait()
    (face,) = detector.find(picture)
    smooth = _with_forehead(picture, face.points, (140, 170, 215))
    for shown, least, most in ((picture, 0.0, 0.2), (smooth, 0.4, 0.75)):
        matrix = cv2.getRotationMatrix2D((225, 130), turn, scale)
        moved = np.asarray(cv2.warpAffine(shown, matrix, (512, 512), flags=cv2.INTER_AREA))
        found = bare_forehead(moved, (face.points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32))
        assert least <= found <= most


def test_points_beyond_the_picture_are_no_fault() -> None:
    rng = np.random.default_rng(0)
    for scale, shift in ((1, 900.0), (300, -40.0), (0, 5.0), (1e5, 0.0)):
        points = (scale * rng.normal(size=(68, 2)) + shift).astype(np.float32)
        assert 0 <= bare_forehead(np.zeros((9, 9, 3), np.uint8), points) <= 0.75


def test_the_square_of_a_box_has_that_box() -> None:
    x, y, half = square_of_box((100, 40, 264, 266))
    box = box_of_square(Box(round(x - half), round(y - half), round(2 * half), round(2 * half)))
    np.testing.assert_allclose(box, (100, 40, 264, 266), atol=2)


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


@pytest.mark.parametrize(("count", "mean"), [(1, 20), (3, 30), (4, 35)])
def test_a_short_clip_has_the_mean_of_all_its_frames(count: int, mean: int) -> None:
    found = tuple((20 + 10 * step, 30, 120 + 10 * step, 150) for step in range(count))
    boxes = cropped_boxes(found, NO_PADS, (300, 300))
    assert boxes[0] == Box(mean, 30, 100, 120)


def test_smoothing_is_chosen() -> None:
    rng = np.random.default_rng(3)
    drift = np.arange(60) // 3
    found = tuple(
        (40 + at + int(dx), 30 + int(dy), 140 + at + int(dx), 150 + int(dy))
        for at, (dx, dy) in zip(drift.tolist(), rng.integers(-4, 5, (60, 2)), strict=True)
    )
    raw, published, steady = (
        cropped_boxes(found, Pads(0, 10, 0, 0), (400, 300), smoothing) for smoothing in ("none", "published", "steady")
    )
    assert raw == tuple(Box(left, top, 100, 130) for left, top, _, _ in found)

    def jitter(boxes: tuple[Box, ...]) -> float:
        return float(np.abs(np.diff([box.x for box in boxes], n=2)).mean())

    assert jitter(steady) < jitter(published) < jitter(raw)
    assert {(box.width, box.height) for box in steady} <= {(w, h) for w in (99, 100, 101) for h in (129, 130, 131)}
    assert abs(np.mean([box.x for box in steady]) - np.mean([box.x for box in raw])) < 0.6, "without lag"
    one = cropped_boxes(found[:1], NO_PADS, (400, 300), "steady")
    assert one == (Box(found[0][0], found[0][1], 100, 120),)


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


def test_a_box_by_hand_is_the_published_script_s(tmp_path: Path) -> None:
    """``--box 20 200 30 90``: cropped as it is, in every frame, clipped at the edge, without pads or means."""
    store = AvatarStore(tmp_path)
    clip = write_clip(tmp_path / "grey.mp4", (np.full((128, 128, 3), 90, np.uint8) for _ in range(6)))
    command = ("--store", str(tmp_path), "build", str(clip), "--id", "hand", "--no-prepare", "--consent", "mine")
    assert main([*command, "--box", "20,200,30,90"]) == 0
    manifest = store.load("hand").manifest
    assert set(manifest.detector_boxes) == {(30, 20, 90, 128)}
    published = dataclasses.replace(_published(), pads=Pads(0, 10, 3, 3))
    assert set(crop_geometry(manifest, published).boxes) == {Box(30, 20, 60, 108)}
    square = manifest.boxes[0]
    assert 30 < square.x + square.width / 2 < 90
    assert main([*command, "--box", "20,24,30,90"]) == 1, "too little of a face"
    for text in ("20,24,x,90", "20,20,-60", "20,20,0", "inf,20,60", "20,20,1e300"):
        assert main([*command, f"--box={text}"]) == 1, text
    assert store.load("hand").manifest == manifest, "a refused build loses nothing"


def test_the_crop_of_a_stored_avatar_is_changed_without_a_new_build(tmp_path: Path) -> None:
    store = AvatarStore(tmp_path)
    built = store.build(PORTRAIT, "one", options=BuildOptions(still=True, box_smoothing="none")).manifest
    assert built.box_smoothing == "none"
    command = ("--store", str(tmp_path), "crop", "one")
    assert main([*command, "--box", "60,180,180,270", "--box-smoothing", "steady"]) == 0
    by_hand = store.load("one").manifest
    assert (by_hand.detector_boxes, by_hand.box_by_hand) == (((180, 60, 270, 180),), True)
    assert by_hand.box_smoothing == "steady"
    assert main(["crop", "one", "--store", str(tmp_path)]) == 0, "found again"
    again = store.load("one").manifest
    assert not again.box_by_hand
    np.testing.assert_allclose(again.detector_boxes, built.detector_boxes, atol=6, err_msg="the clip is compressed")
    assert main([*command, "--box", "1,2,3"]) == 1
    assert store.load("one").manifest == again
    assert main(["--store", str(tmp_path), "crop", "ada"]) == 1, "built in"


def test_the_preflight_says_that_a_face_is_cut_off(tmp_path: Path) -> None:
    store = AvatarStore(tmp_path)

    def verdicts(picture: np.ndarray) -> dict[str, str]:
        cv2.imwrite(str(tmp_path / "face.png"), picture)
        store.build(tmp_path / "face.png", "face", options=BuildOptions(still=True))
        return {line["name"]: line["verdict"] for line in json.loads(store.report("face") or "")["lines"]}

    whole = verdicts(_portrait())
    assert (whole["at the edge"], whole["mouth's place"]) == ("good", "good")
    assert verdicts(_portrait()[88:])["at the edge"] == "poor"


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


def test_a_manifest_of_a_stranger_is_kept_within_bounds(tmp_path: Path) -> None:
    manifest = AvatarStore(tmp_path).load("ada").manifest
    path = tmp_path / "avatar.json"
    path.write_text(dataclasses.replace(manifest, detector_boxes=((1, 2, 10**30, 40),) * manifest.frames).to_json())
    with pytest.raises(AvatarError, match="a detector box reaches beyond"):
        Manifest.read(path)
    path.write_text(dataclasses.replace(manifest, name="\x1b[2JAda\n", licence="x" * 10**5).to_json())
    read = Manifest.read(path)
    assert (read.name, len(read.licence)) == ("\N{REPLACEMENT CHARACTER}[2JAda\N{REPLACEMENT CHARACTER}", 200)

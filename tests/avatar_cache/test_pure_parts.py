"""Arithmetic of faces, tracks, loops and idle motion: no files, no networks."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipstream.avatar_cache.blend_quality import measure_blend
from lipstream.avatar_cache.eye_fitting import fit_eye
from lipstream.avatar_cache.eyelids import Eyelid
from lipstream.avatar_cache.face_detector import DetectedFace
from lipstream.avatar_cache.face_geometry import (
    MEAN_FACE,
    MIRROR,
    chin_mm,
    estimate_pose,
    face_box,
    jaw_outline,
    lip_gap_mm,
)
from lipstream.avatar_cache.face_track import FaceTracker, face_windows, longest_run, smooth, spans, to_boxes
from lipstream.avatar_cache.idle_motion import LOOP_FRAMES, LivingPhoto, moments
from lipstream.avatar_cache.loop_finder import SHORTEST_FRAMES, find_cut
from lipstream.avatar_cache.preflight import PreflightReport, examine, grade, look_at
from lipstream.realtime.errors import AvatarError
from lipstream.realtime.lipsync.metadata import Region
from lipstream.realtime.picture.mouth_painter import Box, feather_mask


def turned_face(yaw: float, pitch: float, roll: float, scale: float = 1.5) -> np.ndarray:
    """Project the average face: yaw to its left, pitch up, roll clockwise in the picture; centred on (200, 150)."""
    y, p, r = np.radians([yaw, pitch, roll])
    turn = np.array([[np.cos(y), -np.sin(y), 0], [np.sin(y), np.cos(y), 0], [0, 0, 1]])
    nod = np.array([[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]])
    tilt = np.array([[np.cos(r), 0, np.sin(r)], [0, 1, 0], [-np.sin(r), 0, np.cos(r)]])
    points = MEAN_FACE @ (tilt @ turn @ nod).T
    return np.stack([200 + scale * points[:, 0], 150 - scale * points[:, 2]], axis=1).astype(np.float32)


def face(points: np.ndarray, score: float = 1.0) -> DetectedFace:
    return DetectedFace(points, np.full(68, 0.01, np.float32), score)


def test_the_average_face_is_symmetric() -> None:
    np.testing.assert_array_equal(MIRROR[MIRROR], np.arange(68))
    np.testing.assert_allclose(MEAN_FACE[MIRROR] * (-1, 1, 1), MEAN_FACE, atol=1e-4)


@given(st.floats(-40, 40), st.floats(-25, 25), st.floats(-30, 30), st.floats(0.3, 5))
def test_pose_is_what_the_face_was_turned_by(yaw: float, pitch: float, roll: float, scale: float) -> None:
    pose = estimate_pose(turned_face(yaw, pitch, roll, scale))
    assert pose.scale == pytest.approx(scale, rel=0.02)
    found = pose.yaw_degrees, pose.pitch_degrees, pose.roll_degrees
    assert found == pytest.approx((yaw, pitch, roll), abs=1)


def test_the_box_runs_from_the_brows_to_under_the_chin() -> None:
    points = turned_face(0, 0, 0)
    pose = estimate_pose(points)
    assert lip_gap_mm(points, pose) < 3
    x, y, half = face_box(points, pose, chin_mm(points, pose))
    assert x == pytest.approx(200, abs=1)
    assert points[17:27, 1].min() - 0.2 * half < y - half < points[17:27, 1].min()
    assert points[8, 1] + 0.02 * half < y + half < points[8, 1] + 0.5 * half
    assert points[48:68, 1].min() > y


def test_boxes_follow_without_lag_and_without_jitter() -> None:
    frames = np.arange(100)
    true = np.stack([200 + 0.8 * frames, 150 + 10 * np.sin(frames / 15), np.full(100, 60.0)], axis=1)
    jitter = np.random.default_rng(1).normal(0, 1.5, true.shape)
    found = smooth(true + jitter)
    assert np.abs(found - true)[5:-5].max() < 2.0
    assert np.abs(np.diff(found[:, :2] - true[:, :2], axis=0)).mean() < 0.3 * np.abs(np.diff(jitter, axis=0)).mean()
    assert len(set(found[:, 2])) == 1
    np.testing.assert_allclose(smooth(true[:1]), true[:1])


@given(
    st.lists(st.tuples(st.floats(-50, 700), st.floats(-50, 500), st.floats(1, 400)), min_size=1, max_size=20),
    st.integers(20, 320),
    st.integers(10, 120),
)
def test_boxes_are_even_and_inside(
    windows: list[tuple[float, float, float]], half_width: int, quarter_height: int
) -> None:
    width, height = 2 * half_width, 4 * quarter_height
    for box in to_boxes(np.array(windows), width, height):
        assert not any(edge % 2 for edge in (box.x, box.y, box.width, box.height))
        assert min(box.x, box.y) >= 0
        assert box.width == box.height >= 2
        assert box.x + box.width <= width
        assert box.y + box.height <= height


def test_the_longest_run_bridges_short_gaps_only() -> None:
    here = face(turned_face(0, 0, 0))
    faces = [None] * 5 + [here] * 20 + [None] * 3 + [here] * 10 + [None] * 30 + [here] * 25
    assert longest_run(faces) == (5, 38)
    assert list(spans([f is not None for f in faces[5:38]])) == [(20, 23)]
    assert face_windows(faces[5:38]).shape == (33, 3)
    with pytest.raises(AvatarError, match="no face"):
        longest_run([None] * 4)


class ScriptedDetector:
    """Sees what it is told, and counts searches."""

    def __init__(self, script: list[list[DetectedFace]]) -> None:
        self.script, self.at, self.searches = script, -1, 0

    def find(self, _: np.ndarray) -> list[DetectedFace]:
        self.searches += 1
        return sorted(self.script[self.at], key=lambda f: -f.side)

    def follow(self, _: np.ndarray, before: DetectedFace) -> DetectedFace | None:
        near = [f for f in self.script[self.at] if np.hypot(*(f.centre - before.centre)) < 40]
        return near[0] if near else None


def test_one_face_is_followed_lost_and_found_again() -> None:
    large = face(turned_face(0, 0, 0, 1.5))
    small = face(turned_face(0, 0, 0, 0.8) + np.array((300, 0)))
    aside = face(turned_face(65, 0, 0, 0.8) + np.array((300, 0)))
    script = [[large, small]] * 10 + [[large]] * 12 + [[large, small]] * 20 + [[large, aside]] * 4
    detector = ScriptedDetector(script)
    tracker = FaceTracker(detector, choice=2)
    for detector.at in range(len(script)):
        tracker.push(np.zeros((8, 8, 3), np.uint8))
    found = tracker.track.faces
    assert len(tracker.track.seen) == 2
    assert all(f is small for f in found[:10])
    assert found[10:22] == [None] * 12
    assert found.index(small, 22) < 37
    assert found[-4:] == [None] * 4
    assert detector.searches < 7


def test_a_loop_is_cut_where_it_repeats() -> None:
    phase = 2 * np.pi * np.arange(170) / 75
    looks = np.stack([np.sin(phase), np.cos(phase), np.sin(2 * phase)], axis=1).astype(np.float32)
    cut = find_cut(looks)
    assert cut.loop == "seamless"
    assert (cut.end - cut.start) % 75 in (0, 1, 74)
    assert cut.jump == pytest.approx(1, abs=0.4)
    cut = find_cut(looks[:150])
    assert (cut.start, cut.end, cut.loop) == (0, 150, "seamless")
    assert cut.jump == pytest.approx(1, abs=0.4)
    assert find_cut(looks, loop="pingpong").loop == "pingpong"
    line = np.arange(170, dtype=np.float32)[:, None]
    assert find_cut(line).loop == "pingpong"
    assert find_cut(line, loop="seamless").loop == "seamless"
    assert find_cut(looks[:SHORTEST_FRAMES]).end == SHORTEST_FRAMES


def test_idle_motion_is_small_and_has_no_seam() -> None:
    curve = moments()
    values = np.array([[getattr(m, key) for key in ("turn", "nod", "tilt", "drift", "breath", "gaze")] for m in curve])
    steps = np.abs(np.diff(np.concatenate([values, values[:1]]), axis=0))
    assert steps[-1].max() <= steps[:-1].max() + 1e-9
    assert np.abs(values).max() <= 1 + 1e-9
    assert curve[0].shut == curve[-1].shut == 0
    assert max(m.shut for m in curve) == 1


def test_a_photograph_lives_but_its_corners_stay() -> None:
    points = turned_face(0, 0, 0, 1.0)
    picture = np.random.default_rng(2).integers(0, 255, (30, 50, 3), dtype=np.uint8).repeat(10, 0).repeat(10, 1)
    eye = tuple(slice(int(v) - 2, int(v) + 3) for v in points[36:42].mean(axis=0)[::-1])
    picture[eye] = 0
    photo = LivingPhoto(picture, (200.0, 150.0), 150.0, points)
    pictures = list(photo.pictures())
    assert len(pictures) == len(list(photo.middles())) == LOOP_FRAMES
    assert all((p[:8, :8] == picture[:8, :8]).all() for p in pictures)
    shut = max(range(LOOP_FRAMES), key=lambda i: moments()[i].shut)
    assert pictures[0][eye].mean() < 60
    assert pictures[shut][eye].mean() > pictures[0][eye].mean()
    moved = np.array(list(photo.middles())) - (200, 150)
    assert 1 < np.abs(moved).max() < 12


def test_a_report_has_verdicts_advice_and_json() -> None:
    assert [grade(v, 160, 80) for v in (200, 100, 10)] == ["good", "fair", "poor"]
    assert [grade(v, 1.2, 2.0) for v in (1, 1.5, 3)] == ["good", "fair", "poor"]
    grey = np.full((100, 100, 3), 20, np.uint8)
    faces: list[DetectedFace | None] = [face(turned_face(30, 0, 0))] * 10
    report = examine((Box(0, 0, 64, 64),) * 10, faces, [look_at(grey, 50, 50, 40)], jump=3.0, size=(100, 100))
    verdicts = {line.name: line.verdict for line in report.lines}
    assert verdicts["face"] == verdicts["sharpness"] == verdicts["loop jump"] == "poor"
    assert verdicts["turned aside"] != "good"
    assert verdicts["mouth open"] == "good"
    report.notes.append("two faces")
    assert PreflightReport.from_json(report.to_json()) == report
    assert "-> film closer" in report.to_text()
    assert report.to_text().endswith("note  two faces")


def test_the_mask_keeps_to_lips_and_jaw() -> None:
    points = turned_face(0, 0, 0)
    pose = estimate_pose(points)
    x, y, half = face_box(points, pose, chin_mm(points, pose))
    shares = ((points - (x - half, y - half)) / (2 * half))[None]
    outline = jaw_outline(shares.astype(np.float32))
    region = Region(48, 96, 0, 96)
    whole, kept = feather_mask(region), feather_mask(region, 96, outline)
    assert (kept <= whole).all()
    for point in shares[0, 48:68]:
        column, row = (int(v * 96) for v in point)
        assert kept[row - 48, column] > 0.5 * whole[row - 48, column]
    assert kept[-6:, :16].max() == 0
    assert kept[-6:, -16:].max() == 0
    assert kept[20:, :6].max() == 0


def test_an_edge_is_seen_and_a_soft_one_is_not() -> None:
    rows, columns = np.mgrid[:120, :120]
    before = np.random.default_rng(3).normal(120, 6, (120, 120))
    mask = np.hypot(rows - 60, columns - 60) < 40
    hard = np.where(mask, before + 40, before)
    soft = before + 40 * np.clip((40 - np.hypot(rows - 60, columns - 60)) / 20, 0, 1)
    blurred = np.where(mask, cv2.GaussianBlur(before, (0, 0), 1.5), before)
    flat = before.clip(0, 255).astype(np.uint8)
    assert measure_blend(flat, flat, mask).seam == 1
    assert measure_blend(flat, hard.astype(np.uint8), mask).seam > 3
    assert measure_blend(flat, soft.astype(np.uint8), mask).seam < 1.2
    quality = measure_blend(flat, blurred.astype(np.uint8), mask)
    assert quality.sharpness < 0.5 * quality.sharpness_before


def drawn_eye(skin: tuple[int, int, int], scale: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a picture of an eye with a shaded skin, and its true outline."""
    height, width = 120 * scale, 160 * scale
    shade = np.linspace(0.85, 1.1, width)[None, :, None]
    picture = np.clip(np.full((height, width, 3), skin) * shade, 0, 255).astype(np.uint8)
    u = np.linspace(-1, 1, 41)
    x, top, low = 80 + 24 * u, 60 - 10 * (1 - u * u), 60 + 7 * (1 - u * u)
    rims = [np.rint(np.stack((x, y), axis=1) * scale).astype(np.int32) for y in (top, low)]
    eye = np.zeros((height, width), np.uint8)
    cv2.fillPoly(eye, [np.concatenate((rims[0], rims[1][::-1]))], 1)
    picture[eye > 0] = 235
    iris = np.zeros_like(eye)
    cv2.circle(iris, (80 * scale, 58 * scale), 8 * scale, 1, -1)
    picture[(iris & eye) > 0] = (40, 60, 80)
    cv2.polylines(picture, [rims[0]], isClosed=False, color=(20, 20, 30), thickness=2 * scale)
    return picture, scale * np.array([(56, 60), (71, 51), (89, 51), (104, 60), (89, 66), (71, 66)], np.float32)


SKINS = ((150, 180, 225), (80, 120, 175), (45, 60, 95))


@pytest.mark.parametrize("skin", SKINS)
@pytest.mark.parametrize("shift", [(0, 0), (5, 9), (-6, -10)])
def test_an_eye_is_found_beside_its_landmarks(skin: tuple[int, int, int], shift: tuple[int, int]) -> None:
    picture, outline = drawn_eye(skin, 1)
    shape = fit_eye(picture, outline + np.array(shift, np.float32))
    top, low = shape.rims(np.array([70.0, 80.0, 90.0]))
    np.testing.assert_allclose(top, (52, 50, 52), atol=3)
    np.testing.assert_allclose(low, (66, 67, 66), atol=3)
    assert (shape.x - shape.half, shape.x + shape.half) == pytest.approx((56, 104), abs=5)


@pytest.mark.parametrize("skin", SKINS)
@pytest.mark.parametrize("scale", [1, 4])
def test_a_shut_lid_leaves_nothing_of_the_eye(skin: tuple[int, int, int], scale: int) -> None:
    picture, outline = drawn_eye(skin, scale)
    lid = Eyelid(picture, fit_eye(picture, outline))
    shut, half, ajar = picture.copy(), picture.copy(), picture.copy()
    lid.shut(ajar, 0.0)
    np.testing.assert_array_equal(ajar, picture)
    lid.shut(half, 0.5)
    lid.shut(shut, 1.0)
    rows, columns = lid.window
    aside = np.ones(picture.shape[:2], np.bool_)
    aside[rows, columns] = False
    np.testing.assert_array_equal(shut[aside], picture[aside])
    white = [int(((p.min(axis=-1) > 228) & (np.ptp(p, axis=-1) < 8)).sum()) for p in (picture, half, shut)]
    assert white[0] > 150 * scale * scale
    assert 0 < white[1] < 0.8 * white[0]
    assert white[2] == 0
    middle = shut[round(57 * scale), round(80 * scale)].astype(int)
    assert np.abs(middle - skin).max() < 0.2 * max(skin), "skin is over the iris"
    line = shut[round(60 * scale) : round(70 * scale), round(80 * scale)].astype(int).min(axis=0)
    assert (line < 0.75 * middle).all(), "and lashes below it"


def test_a_shut_eye_may_be_photographed() -> None:
    picture, outline = drawn_eye(SKINS[0], 2)
    given = np.full_like(picture, (10, 200, 10))
    lid = Eyelid(picture, fit_eye(picture, outline), given)
    shut = picture.copy()
    lid.shut(shut, 1.0)
    np.testing.assert_allclose(shut[116, 160], (10, 200, 10), atol=2)
    assert (shut[:20] == picture[:20]).all()

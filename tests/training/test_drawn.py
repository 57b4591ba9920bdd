"""The drawn avatar: coverage is exact, the drawing is the same at every size, and lids cover the eyes."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from lipstream.avatar_cache.stills import EYES_WINDOW, LIDS, StillFacts, Stills, window_slices
from training.drawn.canvas import Canvas, Gradient
from training.drawn.curves import beside, closed_curve, ellipse, joined, mirrored, moved, open_curve, stroke
from training.drawn.mira import TALL, draw_mira, draw_stills, draw_wall
from training.pathtraced.clips import keep_drawing

BOX = np.array([[2.0, 3.0], [7.5, 3.0], [7.5, 6.25], [2.0, 6.25]])


def test_a_shape_covers_pixels_by_their_shares() -> None:
    canvas = Canvas((10, 10), 40)
    canvas.paint(canvas.cover(BOX), (255, 0, 0))
    picture = canvas.picture()
    area = (picture[..., 3] / 255).sum() / 16
    assert area == pytest.approx(5.5 * 3.25, rel=0.1)  # OpenCV's smooth edge lies a part of a pixel farther out
    assert picture[16, 16].tolist() == [0, 0, 255, 255], "blue first"
    assert picture[0, 0, 3] == 0
    half = Canvas((10, 10), 10)
    half.paint(half.cover(BOX), (255, 255, 255))
    assert 20 < half.picture()[4, 7, 3] < 240, "an edge within a pixel covers a part of it"


def test_shapes_may_leave_the_picture() -> None:
    canvas = Canvas((10, 10), 20)
    for place in ((-4.0, -4.0), (6.0, 6.0), (40.0, 0.0), (-40.0, 5.0), (0.0, 60.0)):
        canvas.paint(canvas.cover(BOX + place, soft=0.4), (255, 255, 255))
    alpha = canvas.picture()[..., 3]
    assert alpha[0, 0] > 200
    assert alpha[-1, -1] > 200
    assert alpha[10, 10] == 0


def test_a_cover_is_clipped_by_another_and_shade_keeps_the_outline() -> None:
    canvas = Canvas((10, 10), 40)
    whole = canvas.cover(BOX)
    canvas.paint(whole, (200, 100, 50))
    canvas.paint(canvas.cover(moved(BOX, 3, 0)).within(whole), Gradient((0, 0, 0), (0, 0, 255), (5, 0), (7, 0)))
    before = canvas.picture()
    assert before[14, 32, 3] == 0, "clipped"
    canvas.tint(canvas.cover(moved(BOX, -3, 0)), (0.5, 0.5, 3.0))
    canvas.glaze(canvas.cover(moved(BOX, 0, 2)), (255, 255, 255), 0.5)
    after = canvas.picture()
    np.testing.assert_array_equal(after[..., 3], before[..., 3])
    assert after[14, 10, 2] == pytest.approx(100, abs=1), "shaded"
    assert after[14, 10, 0] == pytest.approx(150, abs=1)
    assert after[14, 29, 0] > 200 > after[14, 21, 0], "the gradient"


def test_curves_go_through_their_points_and_strokes_are_as_wide_as_told() -> None:
    points = ((0.0, 0.0), (4.0, 3.0), (10.0, 0.0))
    curve = open_curve(points)
    for point in points:
        assert np.hypot(*(curve - point).T).min() < 1e-9
    ring = closed_curve(ellipse(5, 5, 3, 2)[::9])
    np.testing.assert_allclose(np.hypot((ring[:, 0] - 5) / 3, (ring[:, 1] - 5) / 2), 1, atol=0.01)
    np.testing.assert_allclose(mirrored(mirrored(curve, 5), 5), curve)
    assert len(joined(points, points[::-1])) == 2 * len(curve)
    line = np.stack([np.linspace(0, 10, 11), np.zeros(11)], axis=1)
    np.testing.assert_allclose(beside(line, 2.0)[:, 1], 2.0)
    below, above = stroke(line, (1.0, 3.0, 1.0)).reshape(2, 11, 2)
    np.testing.assert_allclose(below[:, 1] - above[::-1, 1], np.interp(np.arange(11), (0, 5, 10), (1, 3, 1)))


def test_mira_is_the_same_at_every_size() -> None:
    small, large = draw_mira(96), draw_mira(192)
    assert small.shape == (round(96 * TALL), 96, 4)
    shrunk = cv2.resize(large, small.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(shrunk.astype(int) - small).mean() < 3.5
    np.testing.assert_array_equal(draw_mira(96), small)
    assert draw_wall(96).shape == (96, 96, 3)
    assert (small[..., 3] == 0).any()
    assert ((small[..., 3] > 20) & (small[..., 3] < 235)).any(), "edges are smooth"


def test_shut_lids_cover_the_eyes_and_change_nothing_else() -> None:
    side = 192
    rows, columns = window_slices(EYES_WINDOW, side)

    def teal(picture: np.ndarray) -> int:
        blue, _, red = (picture[rows, columns, i].astype(int) for i in range(3))
        face = slice(round(0.2 * red.shape[1]), round(0.8 * red.shape[1]))  # without the blue hair at the sides
        return int((blue - red > 40)[:, face].sum())

    states = [draw_mira(side, shut, tall=1.0) for shut in (0.0, *LIDS)]
    seen = [teal(state) for state in states]
    assert seen == sorted(seen, reverse=True)
    assert seen[0] > 2 * seen[-1]
    outside = np.ones((side, side), bool)
    outside[rows, columns] = False
    for state in states[1:]:
        np.testing.assert_array_equal(state[outside], states[0][outside])


def test_her_stills_are_kept_with_the_face_that_the_detector_finds(tmp_path: Path) -> None:
    keep_drawing(tmp_path, size_px=256)
    folder = tmp_path / "mira" / "stills"
    facts = StillFacts.load(folder)
    assert facts.drawn
    assert facts.size == (256, round(256 * TALL))
    assert facts.eye_row == pytest.approx(0.415, abs=0.02)
    assert facts.centre[0] == pytest.approx(0.5, abs=0.02)
    mouth = facts.points[48:68].mean(axis=0)
    assert mouth == pytest.approx((0.5, 0.605), abs=0.02)
    read, drawn = Stills.load(folder), draw_stills(256)
    assert np.abs(read.open.astype(int) - drawn.open).mean() < 4
    keep_drawing(tmp_path, size_px=64)
    assert StillFacts.load(folder).size == facts.size, "she is not drawn again"

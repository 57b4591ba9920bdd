"""Measures of a mesh: the opening of the lips, the colours of skin and teeth."""

import numpy as np
import pytest

from lipstream.realtime.picture.mouth_painter import Box
from training.photograph import opening, skin_colour, teeth_colour, through_crop


def _mesh(gap: float) -> np.ndarray:
    """A face of 100 px from brow to chin, its inner lips a diamond of ``gap`` by 20 px about (60, 80)."""
    points = np.full((468, 2), 60, np.float32)
    points[10], points[152] = (60, 10), (60, 110)
    points[13], points[14] = (60, 80 - gap / 2), (60, 80 + gap / 2)
    inner = [78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95]
    for number, point in enumerate(inner):
        turn = 2 * np.pi * number / len(inner)
        points[point] = (60 - 10 * np.cos(turn), 80 - gap / 2 * np.sin(turn))
    for point, place in ((200, (60, 100)), (199, (60, 104)), (205, (30, 70)), (425, (90, 70))):
        points[point] = place
    return points


@pytest.mark.parametrize("turn", [0.0, 0.4])
def test_the_opening_is_a_share_of_the_face_whichever_way_it_leans(turn: float) -> None:
    c, s = np.cos(turn), np.sin(turn)
    assert opening(_mesh(12) @ np.array([[c, s], [-s, c]], np.float32)) == pytest.approx(0.12, abs=1e-3)


def test_skin_and_teeth_are_told_apart() -> None:
    picture = np.full((120, 120, 3), (60, 90, 140), np.uint8)
    picture[72:88, 50:70] = (20, 20, 40)
    picture[72:80, 50:70] = (200, 210, 220)
    points = _mesh(16)
    assert skin_colour(picture, points).tolist() == [60, 90, 140]
    assert teeth_colour(picture, points).tolist() == [200, 210, 220]


def test_shut_lips_show_no_teeth() -> None:
    assert np.isfinite(teeth_colour(np.zeros((120, 120, 3), np.uint8), _mesh(0))).all()


def test_a_face_loses_its_finest_parts_on_the_way_through_a_crop() -> None:
    picture = np.full((300, 300, 3), 90, np.uint8)
    picture[30:270:2, 30:270] = 200
    box = Box(40, 40, 192, 192)
    through = through_crop(picture, box)
    inside = through[48:224, 48:224].astype(int)
    assert np.ptp(inside) < 12, "lines of one pixel are gone at half the size"
    assert inside.mean() == pytest.approx(145, abs=2)
    outside = np.ones(picture.shape[:2], bool)
    outside[40:232, 40:232] = False
    assert np.array_equal(through[outside], picture[outside])

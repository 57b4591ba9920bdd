"""Boxes compared with a detector's: that six looks are brought back to one picture, and what the figures say."""

import cv2
import numpy as np
import pytest

from lipstream.avatar_cache.face_detector import DetectedFace
from lipstream.realtime.errors import SettingsError
from training.box_check import Edges, Images, compare, looks

BOX = (61, 40, 121, 120)


def _picture() -> Images:
    """A textured patch in front of black, without symmetry."""
    rng = np.random.default_rng(1)
    patch = cv2.resize(rng.integers(60, 255, (8, 6, 3), np.uint8), (60, 80), interpolation=cv2.INTER_CUBIC)
    picture = np.zeros((180, 200, 3), np.uint8)
    picture[BOX[1] : BOX[3], BOX[0] : BOX[2]] = np.maximum(patch, 60)
    return picture


def _find(picture: Images) -> Edges | None:
    rows, columns = np.nonzero(picture.max(axis=2) > 30)
    if not len(rows):
        return None
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], np.float64)


class _Ours:
    """Finds what `_find` finds, moved down."""

    def __init__(self, down: float) -> None:
        self._down = down

    def find(self, picture: Images) -> list[DetectedFace]:
        box = _find(picture)
        if box is None:
            return []
        points = np.zeros((68, 2), np.float32)
        return [DetectedFace(points, np.zeros(68, np.float32), 1.0, box=np.add(box, (0, self._down, 0, self._down)))]

    def follow(self, picture: Images, before: DetectedFace) -> DetectedFace | None:
        return before


def test_every_look_is_brought_back_to_the_picture() -> None:
    found = looks(_find, _picture())
    assert found.shape == (6, 4)
    np.testing.assert_allclose(found, np.tile(BOX, (6, 1)), atol=1.5)
    assert looks(_find, np.zeros((40, 40, 3), np.uint8)).shape == (0, 4)


def test_figures_say_how_far_boxes_are_apart() -> None:
    empty = np.zeros((64, 64, 3), np.uint8)
    near, far = (compare([empty, _picture()], _Ours(down), _find) for down in (0, 8))
    assert near["pictures"] == 1
    assert max(near[edge] for edge in ("left", "top", "right", "bottom")) < 1.5
    assert near["correlation"] > 0.9
    assert near["share"] == 1
    assert near["itself"] > 0.9
    assert far["top"] == pytest.approx(10, abs=1.5), "8 px of 80"
    assert far["left"] < 1.5
    assert far["correlation"] < 0.8
    assert far["share"] == 0
    with pytest.raises(SettingsError, match="no face was found"):
        compare([empty], _Ours(0), _find)

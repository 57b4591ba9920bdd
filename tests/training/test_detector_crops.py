"""Crops for training are cut where a server cuts them."""

import cv2
import numpy as np

from tests.training.toy_faces import HEIGHT, WIDTH, ToyFace
from training.detector_crops import VIEW_PX, box_of


def test_a_fringe_lowers_the_box() -> None:
    face = ToyFace(np.random.default_rng(2))
    points = face.points(0, 0.0)
    view = np.asarray(cv2.resize(face.draw(points), (VIEW_PX, VIEW_PX), interpolation=cv2.INTER_AREA), np.uint8)
    shares = (points / (WIDTH, HEIGHT)).astype(np.float32)
    skin = view[int(shares[29, 1] * VIEW_PX), int(shares[29, 0] * VIEW_PX)]
    brows = int(shares[17:27, 1].min() * VIEW_PX)
    bare, covered = view.copy(), view.copy()
    bare[:brows], covered[:brows] = skin, (20, 20, 20)
    below = box_of(bare, shares) - box_of(covered, shares)
    assert below[1] < -4, "px of a view of 160: the box of a bare forehead begins higher"
    assert below[0] == below[2] == below[3] == 0


def test_edges_differ_from_picture_to_picture_as_a_detector_s() -> None:
    face = ToyFace(np.random.default_rng(2))
    points = face.points(0, 0.0)
    view = np.asarray(cv2.resize(face.draw(points), (VIEW_PX, VIEW_PX), interpolation=cv2.INTER_AREA), np.uint8)
    shares, rng = (points / (WIDTH, HEIGHT)).astype(np.float32), np.random.default_rng(3)
    mean = box_of(view, shares)
    away = np.array([box_of(view, shares, rng) - mean for _ in range(200)]) / (mean[2:] - mean[:2])[[0, 1, 0, 1]]
    np.testing.assert_allclose(away.std(axis=0), 0.015, atol=0.003)

from pathlib import Path

import numpy as np
import torch

from lipstream.avatar_cache.face_geometry import MIRROR
from lipstream.avatar_cache.landmark_network import LandmarkNetwork
from training.landmark_crops import CROP, CropMaker
from training.landmarks import build_network, export_landmarks, loss_of, to_input


def test_the_exported_network_tells_what_the_trained_one_does(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = build_network()
    crops = np.random.default_rng(1).integers(0, 255, (8, CROP, CROP, 3), dtype=np.uint8)
    network.train()
    for _ in range(3):
        network(to_input(crops))  # batch norm gets statistics worth folding in
    export_landmarks(network, tmp_path / "landmarks.safetensors")
    assert network.training
    with torch.inference_mode():
        output = network.eval()(to_input(crops)).numpy()
    points, doubt, scores = LandmarkNetwork(tmp_path / "landmarks.safetensors")(crops)
    np.testing.assert_allclose(points, (output[:, :136].reshape(8, 68, 2) + 1) * CROP / 2, atol=0.05)
    np.testing.assert_allclose(doubt, np.exp(output[:, 136:204].clip(-5, 1)) * CROP / 2, rtol=0.02)
    np.testing.assert_allclose(scores, 1 / (1 + np.exp(-output[:, -1])), atol=0.005)


def _maker() -> CropMaker:
    image = np.zeros((4, 100, 100, 4), np.uint8)
    image[:, 30:70, 30:70] = (40, 80, 160, 255)
    points = np.random.default_rng(2).uniform(0.3, 0.7, (4, 68, 2)).astype(np.float32)
    return CropMaker(image, points, [np.full((90, 120, 3), 30, np.uint8)])


def test_crops_are_drawn_with_and_without_faces() -> None:
    maker, rng = _maker(), np.random.default_rng(3)
    crops, points, faces = zip(*(maker.draw(rng) for _ in range(60)), strict=True)
    assert {crop.shape for crop in crops} == {(CROP, CROP, 3)}
    assert 0.4 < np.mean(faces) < 0.85
    inside = [np.abs(p).max() for p, face in zip(points, faces, strict=True) if face]
    assert np.median(inside) < 1


def test_the_loss_falls_where_points_and_doubts_are_right() -> None:
    truth = torch.zeros(2, 136)
    faces = torch.tensor([1.0, 0.0])
    right, wrong = torch.zeros(2, 205), torch.zeros(2, 205)
    right[:, 136:204] = -4
    right[:, -1] = torch.tensor([8.0, -8.0])
    wrong[:, :136] = 0.5
    assert loss_of(right, truth, faces)[0] < loss_of(wrong, truth, faces)[0]
    assert float(loss_of(wrong, truth, faces)[1]) == 0.5
    np.testing.assert_array_equal(np.sort(MIRROR), np.arange(68))

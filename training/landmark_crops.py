"""Camera-like crops of faces: rendered heads before photographs and noise, behind glasses and hands."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lipstream.avatar_cache.face_geometry import MIRROR

CROP = 64
"""Side of a crop, px."""
_PHOTOGRAPHS = (
    "brick", "camera", "cell", "chelsea", "clock", "coins", "grass", "gravel", "hubble_deep_field",
    "immunohistochemistry", "moon", "page", "rocket", "stereo_motorcycle", "text",
)  # fmt: skip
"""scikit-image's pictures without a person: public domain or CC0."""

Picture = NDArray[np.uint8]
Floats = NDArray[np.float32]


class CropMaker:
    """Turns rendered heads into camera-like crops.

    Args:
        images: ``uint8[N, S, S, 4]``, BGR and coverage.
        points: ``float32[N, 68, 2]``, 0..1.
        backgrounds: Pictures without people.
    """

    def __init__(self, images: Picture, points: Floats, backgrounds: list[Picture]) -> None:
        self._images, self._points, self._backgrounds = images, points * images.shape[1], backgrounds

    def draw(self, rng: np.random.Generator) -> tuple[Picture, Floats, float]:
        """Return a crop ``uint8[64, 64, 3]``, its points ``float32[68, 2]`` (-1..1) and whether it shows a face."""
        index = int(rng.integers(len(self._images)))
        image, points = self._images[index], self._points[index]
        if rng.random() < 0.5:
            image, points = image[:, ::-1], image.shape[1] - points * (1, -1) - (0, image.shape[1])
            points = np.abs(points[MIRROR])
        low, high = points.min(axis=0), points.max(axis=0)
        side, kind = float((high - low).max()), rng.random()
        away = np.array(rng.normal(0, 0.05, 2))
        if kind < 0.5:  # a followed face
            zoom, turn = rng.normal(1.4, 0.1), rng.normal(0, 7)
        elif kind < 0.82:  # a face found by a coarse search
            zoom, turn, away = rng.uniform(0.95, 2.6), rng.normal(0, 15), rng.uniform(-0.3, 0.3, 2)
        elif kind < 0.91:  # a part of a face, or a face far off
            zoom, turn, away = rng.uniform(0.25, 0.5), 0.0, rng.uniform(-0.5, 0.5, 2)
        else:
            zoom, turn, away = rng.uniform(0.8, 2.0), 0.0, rng.choice((-1, 1), 2) * rng.uniform(0.8, 1.3, 2)
        centre = (low + high) / 2 + away * side * max(zoom / 1.4, 1.0)
        matrix = cv2.getRotationMatrix2D(tuple(centre.tolist()), float(turn), CROP / (side * float(zoom)))
        matrix[:, 2] += CROP / 2 - centre
        warped = cv2.warpAffine(np.ascontiguousarray(image), matrix, (CROP, CROP), flags=cv2.INTER_AREA)
        crop_points = (points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
        cover = warped[..., 3:] / np.float32(255)
        is_face = float(kind < 0.82)
        if rng.random() < 0.2:
            cover, is_face = np.zeros_like(cover), 0.0
        crop = warped[..., :3] * (cover > 0) + self._background(rng) * (1 - cover)
        crop = np.clip(crop, 0, 255).astype(np.uint8)
        if rng.random() < 0.2:
            _wear_glasses(crop, crop_points, rng)
        if rng.random() < 0.2:
            self._hide(crop, rng)
        return _film(crop, rng), crop_points / (CROP / 2) - 1, is_face

    def _background(self, rng: np.random.Generator) -> Floats:
        if rng.random() < 0.75:
            photograph = self._backgrounds[rng.integers(len(self._backgrounds))]
            side = int(rng.uniform(0.08, 1.0) * min(photograph.shape[:2]))
            top, left = (int(rng.integers(0, edge - side + 1)) for edge in photograph.shape[:2])
            part = cv2.resize(
                photograph[top : top + side, left : left + side], (CROP, CROP), interpolation=cv2.INTER_AREA
            )
            part = part[:: rng.choice((-1, 1)), :: rng.choice((-1, 1))]
            tint = rng.uniform(0.6, 1.2) * rng.normal(1, 0.12, 3)
            return np.asarray(part * tint + rng.normal(0, 15), np.float32)
        noise = np.zeros((CROP, CROP, 3), np.float32)
        for cells in (2, 5, 12, 32):
            grid = rng.normal(0, rng.uniform(0, 45), (cells, cells, int(rng.choice((1, 3))))).astype(np.float32)
            grown = cv2.resize(grid, (CROP, CROP), interpolation=int(rng.choice((cv2.INTER_CUBIC, cv2.INTER_NEAREST))))
            noise += grown.reshape(CROP, CROP, -1)
        return noise + rng.uniform(0, 255, 3).astype(np.float32)

    def _hide(self, crop: Picture, rng: np.random.Generator) -> None:
        """Cover a part with a hand, a cup or a microphone, drawn as a plain shape."""
        mask = np.zeros((CROP, CROP), np.uint8)
        centre = tuple(int(v) for v in rng.integers(0, CROP, 2))
        axes = tuple(int(v) for v in rng.integers(CROP // 18, CROP // 4, 2))
        cv2.ellipse(mask, centre, axes, float(rng.uniform(0, 180)), 0, 360, 255, -1)
        colour = self._background(rng) if rng.random() < 0.5 else crop[rng.integers(CROP), rng.integers(CROP)] * 0.9
        crop[:] = np.where(mask[..., None] > 0, np.clip(colour, 0, 255).astype(np.uint8), crop)


def _wear_glasses(crop: Picture, points: Floats, rng: np.random.Generator) -> None:
    left, right = points[36:42].mean(axis=0), points[42:48].mean(axis=0)
    apart = float(np.linalg.norm(right - left))
    axes = (int(apart * rng.uniform(0.3, 0.46)), int(apart * rng.uniform(0.22, 0.42)))
    angle = float(np.degrees(np.arctan2(*(right - left)[::-1])))
    colour = tuple(int(v) for v in rng.uniform(0, 120, 3))
    tinted, shaded = crop.copy(), rng.random() < 0.2
    thickness = max(1, round(apart * float(rng.uniform(0.02, 0.09))))
    for eye in (left, right):
        centre = tuple(int(v) for v in eye + np.array((0, 0.05 * apart)))
        if shaded:
            cv2.ellipse(tinted, centre, axes, angle, 0, 360, colour, -1)
        cv2.ellipse(tinted, centre, axes, angle, 0, 360, colour, thickness, cv2.LINE_AA)
    middle = (left + right) / 2
    half = (right - left) / 2 * max(1 - axes[0] / (apart / 2), 0.05)
    ends = [tuple(int(v) for v in middle + sign * half) for sign in (-1, 1)]
    cv2.line(tinted, ends[0], ends[1], colour, thickness, cv2.LINE_AA)
    share = float(rng.uniform(0.5, 1.0))
    crop[:] = cv2.addWeighted(tinted, share, crop, 1 - share, 0)


def _film(crop: Picture, rng: np.random.Generator) -> Picture:
    """Return the crop as recorded by a random camera: light, colours, blur, noise, compression."""
    image = crop.astype(np.float32) / 255
    if rng.random() < 0.5:
        shade = cv2.resize(
            rng.uniform(0.35, 1.3, (3, 3)).astype(np.float32), (CROP, CROP), interpolation=cv2.INTER_CUBIC
        )
        image = image * shade[..., None]
    image = np.clip(image, 0, None) ** rng.uniform(0.6, 1.6) * rng.normal(1, 0.1, 3) * rng.uniform(0.7, 1.3)
    grey = image.mean(axis=2, keepdims=True)
    image = grey + (image - grey) * (0.0 if rng.random() < 0.1 else rng.uniform(0.5, 1.5))
    image = (image - 0.5) * rng.uniform(0.6, 1.3) + 0.5 + rng.normal(0, 0.05)
    if rng.random() < 0.3:
        image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.3, 1.3)))
    if rng.random() < 0.25:
        small = cv2.resize(image, (int(rng.integers(CROP // 3, CROP)),) * 2, interpolation=cv2.INTER_AREA)
        image = cv2.resize(small, (CROP, CROP), interpolation=cv2.INTER_LINEAR)
    image = image + rng.normal(0, rng.uniform(0, 0.06) * (rng.random() < 0.5), image.shape)
    done: Picture = np.clip(image * 255, 0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        _, coded = cv2.imencode(".jpg", done, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 95))])
        return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)
    return done


def load_backgrounds() -> list[Picture]:
    """Return scikit-image's photographs without people, BGR."""
    from skimage import data  # noqa: PLC0415 (needed only by this step)

    found = []
    for name in _PHOTOGRAPHS:
        value: Any = getattr(data, name)()
        picture = np.asarray(value[0] if isinstance(value, tuple) else value)
        picture = np.dstack([picture] * 3) if picture.ndim == 2 else picture[..., 2::-1]
        found.append(np.ascontiguousarray(picture, np.uint8))
    return found

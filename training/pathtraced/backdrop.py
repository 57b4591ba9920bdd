"""Blurred rooms behind the people, drawn from rectangles and discs and thrown out of focus."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from training.pathtraced.people import Colour, Room

Picture = NDArray[np.float32]
_SIDE = 1024
_BLUR_PX = 30


def draw_room(room: Room, seed: int) -> Picture:
    """Return a room out of focus, linear light, red first: ``float32[1024, 1024, 3]``.

    Args:
        seed: Seed of books, leaves and lamps.
    """
    rng = np.random.default_rng(seed)
    canvas = _Canvas()
    {"study": _study, "evening": _evening, "office": _office, "kitchen": _kitchen}[room](canvas, rng)
    disc = np.zeros((2 * _BLUR_PX + 1,) * 2, np.float32)
    cv2.circle(disc, (_BLUR_PX, _BLUR_PX), _BLUR_PX, 1.0, -1)
    blurred = cv2.filter2D(canvas.picture, -1, disc / disc.sum(), borderType=cv2.BORDER_REFLECT)
    return np.asarray(cv2.GaussianBlur(blurred, (0, 0), 5), np.float32)


class _Canvas:
    def __init__(self) -> None:
        self.picture: Picture = np.zeros((_SIDE, _SIDE, 3), np.float32)

    def fill(self, top: Colour, bottom: Colour) -> None:
        t = np.linspace(0, 1, _SIDE, dtype=np.float32)[:, None, None]
        self.picture[:] = (1 - t) * np.asarray(top, np.float32) + t * np.asarray(bottom, np.float32)

    def rectangle(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        """Fill a rectangle; places are shares of the side."""
        rows, columns = (slice(max(round(a * _SIDE), 0), round(b * _SIDE)) for a, b in ((top, bottom), (left, right)))
        self.picture[rows, columns] = colour

    def leaves(self, x: float, y: float, spread: float, rng: np.random.Generator) -> None:
        for _ in range(70):
            centre = (int(rng.normal(x, spread) * _SIDE), int(rng.normal(y, 1.6 * spread) * _SIDE))
            axes = (int(rng.integers(12, 40)), int(rng.integers(4, 12)))
            colour = (np.array((0.045, 0.13, 0.045)) * rng.uniform(0.5, 2.2)).tolist()
            cv2.ellipse(self.picture, centre, axes, float(rng.uniform(0, 180)), 0, 360, colour, -1)

    def books(self, left: float, right: float, shelf: float, rng: np.random.Generator) -> None:
        x = left + 0.01
        while x < right - 0.01:
            width, height = rng.uniform(0.010, 0.030), rng.uniform(0.09, 0.19)
            if rng.random() < 0.85:
                colour = rng.uniform(0.05, 0.42) * (0.7 + 0.45 * rng.random(3))
                self.rectangle(x, shelf - height, min(x + width, right), shelf, tuple(colour.tolist()))
            x += width + rng.uniform(0, 0.006)


def _study(canvas: _Canvas, rng: np.random.Generator) -> None:
    """A window on the left, shelves of books on the right."""
    canvas.fill((0.34, 0.325, 0.30), (0.25, 0.24, 0.225))
    canvas.rectangle(0.0, 0.0, 0.20, 0.78, (1.55, 1.65, 1.75))
    canvas.rectangle(0.095, 0.0, 0.108, 0.78, (0.5, 0.5, 0.5))
    canvas.rectangle(0.0, 0.36, 0.20, 0.375, (0.5, 0.5, 0.5))
    canvas.rectangle(0.20, 0.0, 0.29, 1.0, (0.50, 0.47, 0.43))
    for shelf in (0.19, 0.47, 0.77):
        canvas.rectangle(0.72, shelf - 0.025, 1.0, shelf, (0.20, 0.13, 0.08))
        canvas.books(0.72, 1.0, shelf - 0.025, rng)
    canvas.leaves(0.34, 0.82, 0.035, rng)


def _evening(canvas: _Canvas, rng: np.random.Generator) -> None:
    """A dusky wall, a curtain and a lamp."""
    canvas.fill((0.20, 0.215, 0.235), (0.13, 0.14, 0.155))
    for left in np.arange(0.62, 1.0, 0.035):
        shade = rng.uniform(0.7, 1.2)
        canvas.rectangle(float(left), 0.0, float(left) + 0.03, 1.0, (0.21 * shade, 0.175 * shade, 0.145 * shade))
    canvas.rectangle(0.08, 0.30, 0.24, 0.46, (1.9, 1.35, 0.80))
    canvas.rectangle(0.15, 0.46, 0.17, 0.70, (0.10, 0.07, 0.05))
    canvas.rectangle(0.0, 0.70, 0.34, 0.73, (0.16, 0.10, 0.06))
    canvas.rectangle(0.0, 0.73, 0.34, 1.0, (0.085, 0.06, 0.045))


def _office(canvas: _Canvas, rng: np.random.Generator) -> None:
    """A bright wall with pictures, a plant, a low cupboard."""
    canvas.fill((0.46, 0.475, 0.48), (0.34, 0.345, 0.345))
    canvas.rectangle(0.06, 0.12, 0.25, 0.40, (0.16, 0.15, 0.14))
    canvas.rectangle(0.075, 0.135, 0.235, 0.385, (0.42, 0.46, 0.47))
    canvas.rectangle(0.10, 0.24, 0.21, 0.385, (0.20, 0.29, 0.34))
    canvas.rectangle(0.78, 0.0, 1.0, 0.66, (1.25, 1.32, 1.38))
    canvas.rectangle(0.885, 0.0, 0.897, 0.66, (0.42, 0.42, 0.42))
    canvas.rectangle(0.0, 0.72, 0.40, 1.0, (0.27, 0.20, 0.14))
    canvas.leaves(0.20, 0.60, 0.035, rng)


def _kitchen(canvas: _Canvas, rng: np.random.Generator) -> None:
    """Pale cupboards, a shelf with crockery, a window on the right."""
    canvas.fill((0.42, 0.40, 0.37), (0.33, 0.315, 0.29))
    canvas.rectangle(0.0, 0.0, 0.30, 0.34, (0.30, 0.335, 0.32))
    canvas.rectangle(0.145, 0.0, 0.155, 0.34, (0.19, 0.21, 0.20))
    canvas.rectangle(0.0, 0.55, 0.34, 0.575, (0.22, 0.15, 0.095))
    for left in (0.03, 0.11, 0.20, 0.27):
        shade = float(rng.uniform(0.5, 1.1))
        canvas.rectangle(
            left, 0.55 - 0.07 * shade - 0.03, left + 0.05, 0.55, (0.55 * shade, 0.48 * shade, 0.40 * shade)
        )
    canvas.rectangle(0.80, 0.04, 1.0, 0.62, (1.45, 1.40, 1.25))
    canvas.rectangle(0.0, 0.86, 1.0, 1.0, (0.25, 0.19, 0.14))
    canvas.leaves(0.78, 0.74, 0.03, rng)

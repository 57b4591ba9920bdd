"""The eyes: eyeball with iris and veins, cornea, and the pink corner beside the nose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.pathtraced.mesh import Floats, Ints, grid_quads, smoothstep, unit
from training.pathtraced.people import Colour

RADIUS_M, IRIS_M = 0.0160, 0.0062
"""Radius of eyeball and iris in the mesh's scale, in which an eyeball is a third too large."""
_PUPIL = 0.30
_WHITE = (0.52, 0.485, 0.45)
_VEINS = 46


@dataclass(frozen=True)
class Shape:
    """A mesh with painted vertices.

    Attributes:
        vertices: ``float64[V, 3]`` metres.
        quads: ``int32[F, 4]``.
        colour: Linear red, green, blue, ``float64[V, 3]``.
    """

    vertices: Floats
    quads: Ints
    colour: Floats


def build_eyeball(iris: Colour, rng: np.random.Generator) -> Shape:
    """Return an eyeball about the origin that looks along +z: pupil, iris, and a white with veins."""
    limbus = np.arcsin(IRIS_M / RADIUS_M)
    segments = 256
    theta = np.linspace(0, 2 * np.pi, segments, endpoint=False)[None]
    r = np.concatenate([np.linspace(0.0, _PUPIL, 6), np.linspace(_PUPIL + 0.01, 1.0, 60)])[:, None]
    flat = RADIUS_M * np.cos(limbus) - 0.0011
    z = flat - 0.0007 * (1 - r) + 0.0002 * np.sin(np.clip((r - 0.35) / 0.25, 0, 1) * np.pi)
    z = np.where(r < _PUPIL + 0.01, flat - 0.0030, z) + 0 * theta
    front = np.stack([r * IRIS_M * np.cos(theta), r * IRIS_M * np.sin(theta), z], axis=-1)

    angle = np.concatenate([np.linspace(limbus, limbus + 0.25, 10), np.linspace(limbus + 0.28, np.pi, 60)])[:, None]
    back = RADIUS_M * np.stack(
        [np.sin(angle) * np.cos(theta), np.sin(angle) * np.sin(theta), np.cos(angle) + 0 * theta], axis=-1
    )
    colour = np.concatenate([_iris_colour(iris, r, theta, rng), _white_colour(angle, theta, limbus, rng)])
    vertices = np.concatenate([front, back])
    return Shape(
        vertices.reshape(-1, 3), grid_quads(len(vertices), segments, wrap=True), colour.reshape(-1, 3).clip(0, 1)
    )


def build_cornea() -> Shape:
    """Return the clear cap that bulges before the iris and ends under the white."""
    theta = np.linspace(0, 2 * np.pi, 64, endpoint=False)[None]
    angle = np.linspace(0.0, np.arcsin(IRIS_M / RADIUS_M) + 0.07, 30)[:, None]
    t = angle / angle[-1]
    r = RADIUS_M + 0.00004 + 0.00085 * (1 - t**2) ** 1.5 - 0.00006 * t**8
    vertices = np.stack(
        [r * np.sin(angle) * np.cos(theta), r * np.sin(angle) * np.sin(theta), r * np.cos(angle) + 0 * theta], axis=-1
    ).reshape(-1, 3)
    return Shape(vertices, grid_quads(30, 64, wrap=True), np.ones_like(vertices))


def build_caruncle() -> Shape:
    """Return the small pink body in the inner corner of the eye, about the origin, along x."""
    theta, phi = np.linspace(0, 2 * np.pi, 24, endpoint=False)[None], np.linspace(0, np.pi, 14)[:, None]
    lumps = 1 + 0.10 * np.sin(3 * theta + 2 * phi) * np.sin(phi)
    ball = np.stack([np.cos(phi) + 0 * theta, np.sin(phi) * np.cos(theta), np.sin(phi) * np.sin(theta)], axis=-1)
    vertices = (lumps[..., None] * ball * (0.0026, 0.0018, 0.0019)).reshape(-1, 3)
    return Shape(vertices, grid_quads(14, 24, wrap=True), np.tile((0.46, 0.17, 0.15), (len(vertices), 1)))


def look_along(direction: Floats) -> Floats:
    """Return the rotation, ``float64[3, 3]``, whose z axis is `direction` and whose y axis is nearly up."""
    z = unit(np.asarray(direction, np.float64))
    x = unit(np.cross((0.0, 0.0, 1.0), z))
    return np.stack([x, np.cross(z, x), z], axis=1)


def _waves(theta: Floats, counts: range, rng: np.random.Generator, falloff: float) -> Floats:
    """Return a random periodic curve of these numbers of waves, at most 1 in size."""
    total = np.zeros_like(theta)
    for count in counts:
        total += rng.normal() / count**falloff * np.cos(count * theta + rng.uniform(0, 2 * np.pi))
    return np.asarray(total / np.abs(total).max())


def _iris_colour(iris: Colour, r: Floats, theta: Floats, rng: np.random.Generator) -> Floats:
    thick, fine = _waves(theta, range(20, 90), rng, 0.3), _waves(theta, range(60, 128), rng, 0.2)
    broad = _waves(theta, range(3, 14), rng, 0.5)
    fibres = 0.5 + 0.5 * (thick * np.cos(r * 5) + fine * np.sin(r * 6 + 0.5) + 0.5 * broad)
    ring = np.interp(r, (0.30, 0.36, 0.50, 0.60, 0.86, 0.94, 1.0), (0.35, 0.9, 1.5, 1.05, 0.95, 0.55, 0.22))
    warm = smoothstep(0.62, 0.40, r + 0.04 * broad)[..., None]
    colour = 1.55 * np.asarray(iris) * (0.45 + 1.1 * fibres[..., None]) * ring[..., None]
    colour *= 1 + warm * (np.array((1.35, 1.05, 0.75)) - 1)
    colour[np.broadcast_to(r < _PUPIL + 0.005, fibres.shape)] = 0.002
    return colour


def _white_colour(angle: Floats, theta: Floats, limbus: float, rng: np.random.Generator) -> Floats:
    colour = np.ones((len(angle), theta.shape[1], 1)) * np.asarray(_WHITE)
    outer = smoothstep(limbus + 0.15, 1.25, angle) * (0.35 + 0.65 * np.abs(np.cos(theta)) ** 1.5)
    colour *= 1 + outer[..., None] * (np.array((0.96, 0.78, 0.72)) - 1)
    for _ in range(_VEINS):  # a vein wanders from a corner towards the iris
        at, around = rng.uniform(0.85, 1.3), rng.choice((0, np.pi)) + rng.normal(0, 0.55)
        drift, strength = rng.normal(0, 0.02), rng.uniform(0.10, 0.38)
        while at > limbus + rng.uniform(0.06, 0.3):
            at -= 0.012
            drift = 0.9 * drift + rng.normal(0, 0.012)
            around += drift
            row, column = np.abs(angle[:, 0] - at).argmin(), int(around / (2 * np.pi) * theta.shape[1])
            colour[row, column % theta.shape[1]] *= 1 - strength * np.array((0.12, 0.75, 0.72))
            strength *= 0.985
    dark = smoothstep(limbus + 0.10, limbus - 0.01, angle)[..., None]
    return np.asarray(colour * (1 + dark * (np.array((0.28, 0.27, 0.28)) - 1)))

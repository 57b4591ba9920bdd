"""Clothes and glasses: a knitted top with a rolled collar, and a pair of spectacles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.sparse import coo_matrix

from training.pathtraced.eyes import Shape
from training.pathtraced.mesh import Floats, Ints, Surface, grid_quads, smoothstep, unit
from training.pathtraced.people import Clothes

_LIFT_M = 0.008
_SMOOTHING = 60
_TEMPLE = ((0, 0, 0.003), (0.003, 0.010, 0.004), (-0.010, -0.030, 0.002), (-0.012, 0.004, 0), (-0.014, 0.018, -0.022))
"""Points of the left temple: two from the hinge, three from the top of the ear, metres."""


@dataclass(frozen=True)
class Top:
    """A top on a body at rest.

    Attributes:
        body: Vertices and quads of the cloth; `colour` is unused.
        outside: Metres outside the neckline at each vertex, ``float64[V]``; the cloth ends at 0.
        collar: The rolled rim; its colour holds the place along the rim, around it, and 0.
    """

    body: Shape
    outside: Floats
    collar: Shape


def dress(surface: Surface, canonical: Floats, placed: Floats, normals: Floats, clothes: Clothes) -> Top:
    """Return a top over the shoulders: the skin's own quads, lifted and smoothed so that the cloth does not cling."""
    outside = neckline_distance(canonical, clothes.neckline)
    chin = -0.100 + 0.25 * np.maximum(canonical[:, 1] + 0.02, 0)
    corner = surface.quads
    keep = ((canonical[:, 2] - chin)[corner].max(axis=1) < 0) & (outside[corner].max(axis=1) > -0.004)
    used, flat = np.unique(corner[keep], return_inverse=True)
    quads = flat.reshape(-1, 4).astype(np.int32)
    vertices = placed[used] + normals[used] * _LIFT_M
    out = outside[used]
    vertices = _drape(vertices, quads, smoothstep(0.004, 0.030, out))
    return Top(Shape(vertices, quads, np.zeros_like(vertices)), out, _collar(vertices, normals[used], out))


def neckline_distance(canonical: Floats, neckline: float) -> Floats:
    """Return metres outside the neckline, ``float64[V]``, negative within."""
    ahead = canonical[:, 1] - 0.028
    depth = np.where(ahead < 0, 0.066 + 0.045 * neckline, 0.058)
    return np.asarray((np.hypot(canonical[:, 0] / (0.070 + 0.02 * neckline), ahead / depth) - 1) * 0.07)


def _drape(vertices: Floats, quads: Ints, free: Floats) -> Floats:
    """Smooth the free vertices, outward only: cloth spans hollows and rests on what stands out."""
    pairs = np.concatenate([quads[:, [i, (i + 1) % 4]] for i in range(4)])
    count = len(vertices)
    near = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), (count, count)).tocsr()
    near = near + near.T
    near = near.multiply(1 / np.maximum(np.asarray(near.sum(axis=1)), 1)).tocsr()
    out = vertices.copy()
    for _ in range(_SMOOTHING):
        out += 0.5 * free[:, None] * (near @ out - out)
    return out


def _collar(vertices: Floats, normals: Floats, outside: Floats) -> Shape:
    """Return a tube along the neckline."""
    rim = np.abs(outside - 0.002) < 0.0035
    points, away = vertices[rim], normals[rim]
    middle = points.mean(axis=0)
    angle = np.arctan2(points[:, 0] - middle[0], -(points[:, 1] - middle[1]))
    bins = np.linspace(-np.pi, np.pi, 73)[:-1]
    where = [np.abs((angle - a + np.pi) % (2 * np.pi) - np.pi) < 0.12 for a in bins]
    line = np.stack([points[w].mean(axis=0) for w in where])
    out = unit(np.stack([away[w].mean(axis=0) for w in where]))
    wrap = np.arange(len(bins) + 1)
    fine = np.linspace(0, len(bins), 720, endpoint=False)
    line = CubicSpline(wrap, np.concatenate([line, line[:1]]), bc_type="periodic")(fine)
    out = unit(CubicSpline(wrap, np.concatenate([out, out[:1]]), bc_type="periodic")(fine))
    along = unit(np.roll(line, -1, axis=0) - np.roll(line, 1, axis=0))
    across = unit(np.cross(along, out))
    theta = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    tube = (
        line[:, None]
        + 0.0085 * np.cos(theta)[None, :, None] * across[:, None]
        + 0.0036 * np.sin(theta)[None, :, None] * out[:, None]
    )
    place = np.stack(
        np.broadcast_arrays(fine[:, None] / len(bins), theta[None] / (2 * np.pi), np.zeros((1, 1))), axis=-1
    )
    closed = np.concatenate([tube, tube[:1]])
    colour = np.concatenate([place, place[:1] + np.array((1, 0, 0))])
    return Shape(closed.reshape(-1, 3), grid_quads(len(closed), 20, wrap=True), colour.reshape(-1, 3))


@dataclass(frozen=True)
class Glasses:
    """A pair of spectacles: frame and lenses."""

    frame: Shape
    lenses: Shape


def build_glasses(eyes: Floats, ears: Floats, bridge: Floats) -> Glasses:
    """Return spectacles that sit before the eyes.

    Args:
        eyes: Centres of the right and left eyeball, ``float64[2, 3]``.
        ears: Tops of the right and left ear, ``float64[2, 3]``.
        bridge: Ridge of the nose between the eyes, ``float64[3]``.
    """
    theta = np.linspace(0, 2 * np.pi, 120, endpoint=False)
    frames, lenses = [], []
    front = bridge[1] - 0.004
    for side, eye, ear in zip((-1.0, 1.0), eyes, ears, strict=True):
        centre = np.array((eye[0] + side * 0.0015, front, eye[2] - 0.003))
        c, s = np.cos(theta), np.sin(theta)
        x = 0.0255 * np.sign(c) * np.abs(c) ** 0.72
        z = 0.0205 * np.sign(s) * np.abs(s) ** 0.80
        rim = centre + np.stack([x, 3.2 * (x * side + 0.012) ** 2, z + 0.06 * x * side], axis=1)
        frames.append(_tube(rim, 0.00125, closed=True))
        rings = np.linspace(0.0, 1.0, 12)[:, None, None]
        disc = centre + rings * (rim - centre)[None]
        disc[..., 1] -= 0.0016 * (1 - rings[..., 0] ** 2)
        lenses.append((disc.reshape(-1, 3), grid_quads(12, len(theta), wrap=True)))
        hinge = rim[np.argmax(rim[:, 0] * side)]
        away = np.array(_TEMPLE) * (side, 1, 1)
        temple = np.stack([hinge + away[0], hinge + away[1], *(ear + away[2:])])
        frames.append(_tube(CubicSpline(np.arange(5), temple)(np.linspace(0, 4, 60)), 0.00135, closed=False))
    left, right = (
        ring[np.argmin(np.abs(ring[:, 0]))] + np.array((0, 0, 0.003)) for ring in (frames[0][0], frames[2][0])
    )
    middle = (left + right) / 2 + np.array((0, -0.001, 0.0015))
    arch = CubicSpline((0, 1, 2), np.stack([left, middle, right]))(np.linspace(0, 2, 24))
    frames.append(_tube(arch, 0.00125, closed=False))
    return Glasses(_join(frames), _join(lenses))


def _tube(line: Floats, radius: float, *, closed: bool) -> tuple[Floats, Ints]:
    """Return vertices and quads of a round tube along a line, ``float64[N, 3]``."""
    if closed:
        line = np.concatenate([line, line[:1]])
        along = np.gradient(np.concatenate([line[-2:-1], line, line[1:2]]), axis=0)[1:-1]
    else:
        along = np.gradient(line, axis=0)
    along = unit(along)
    across = unit(np.cross(along, (0.3, 1.0, 0.2)))
    other = np.cross(along, across)
    theta = np.linspace(0, 2 * np.pi, 14, endpoint=False)[None, :, None]
    tube = line[:, None] + radius * (np.cos(theta) * across[:, None] + 1.25 * np.sin(theta) * other[:, None])
    return tube.reshape(-1, 3), grid_quads(len(line), 14, wrap=True)


def _join(parts: list[tuple[Floats, Ints]]) -> Shape:
    sizes = np.cumsum([0] + [len(vertices) for vertices, _ in parts[:-1]])
    vertices = np.concatenate([vertices for vertices, _ in parts])
    quads = np.concatenate([quads + first for (_, quads), first in zip(parts, sizes, strict=True)])
    return Shape(vertices, quads.astype(np.int32), np.zeros_like(vertices))

"""Strands: lashes, brows, beards, and the roots from which they grow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components, dijkstra

from training.pathtraced.mesh import LASH, Floats, Ints, QuadHeads, Surface, smoothstep, unit
from training.pathtraced.paint import EYE_CENTRE
from training.pathtraced.people import Beard, Brows, HairColour

_LASH_ROWS = 5  # rows of vertices of MakeHuman's lash strips, from root to tip
_GREY_MELANIN = 0.02


@dataclass(frozen=True)
class Strands:
    """Curves of one kind of hair.

    Attributes:
        points: ``float64[N, P, 3]`` metres.
        radius: ``float64[N, P]`` metres.
        melanin: Pigment of each strand, 0..1, ``float64[N]``.
    """

    points: Floats
    radius: Floats
    melanin: Floats


def pigments(colour: HairColour, count: int, rng: np.random.Generator) -> Floats:
    """Return a pigment for each strand, ``float64[count]``: a share is grey, the others vary a little."""
    usual = np.clip(colour.melanin * (1 + 0.07 * rng.normal(size=count)), 0, 1)
    return np.where(rng.random(count) < colour.grey, _GREY_MELANIN + 0.04 * rng.random(count), usual)


class Roots:
    """Random points on a surface that follow it as it moves.

    Args:
        density: Relative density of points at the surface's vertices, ``float64[V]``.
    """

    def __init__(
        self, surface: Surface, canonical: Floats, density: Floats, count: int, rng: np.random.Generator
    ) -> None:
        corner = canonical[surface.quads]
        area = np.linalg.norm(np.cross(corner[:, 2] - corner[:, 0], corner[:, 3] - corner[:, 1]), axis=1)
        weight = area * density[surface.quads].mean(axis=1)
        face = rng.choice(len(weight), count, p=weight / weight.sum())
        s, t = rng.uniform(size=(2, count))
        self._corner: Ints = surface.quads[face]
        self._share = np.stack([(1 - s) * (1 - t), s * (1 - t), s * t, (1 - s) * t], axis=1)[..., None]

    def at(self, values: Floats) -> Floats:
        """Return values of the vertices, ``float64[V, K]``, at the points: ``float64[N, K]``."""
        return np.asarray((values[self._corner] * self._share).sum(axis=1))


def brow_density(canonical: Floats, brows: Brows) -> Floats:
    """Return the density of the eyebrows' hairs, 0..1, ``float64[V]``."""
    along = (np.abs(canonical[:, 0]) - 0.0115) / 0.044
    rise = 0.0085 * np.sin(np.clip(along * 0.72, 0, 1) * np.pi) - 0.006 * along * along
    middle = 0.0585 + brows.height_m + brows.arch * rise
    half = brows.thickness * np.interp(along, (0, 0.25, 0.7, 1.05), (0.0042, 0.0044, 0.0030, 0.0011))
    across = np.abs(canonical[:, 2] - middle) / half
    ends = smoothstep(-0.10, 0.30, along) * smoothstep(1.06, 0.90, along)
    return smoothstep(1.25, 0.45, across) * ends * (canonical[:, 1] < -0.05)


def grow_brows(
    roots: Roots, canonical: Floats, placed: Floats, normals: Floats, brows: Brows, rng: np.random.Generator
) -> Strands:
    """Return eyebrows: hairs that rise near the nose, lie outward along the arch, and fall at its end.

    Args:
        canonical, placed, normals: The skin's vertices, ``float64[V, 3]`` each.
    """
    place, start, normal = roots.at(canonical), roots.at(placed), unit(roots.at(normals))
    along = np.clip((np.abs(place[:, 0]) - 0.0125) / 0.043, 0, 1)[:, None]
    side = np.sign(place[:, :1])
    out = np.concatenate([side, 0.25 + 0 * side, 0 * side], axis=1)
    lean = np.interp(along, (0, 0.15, 0.4, 1), (0.25, 0.75, 1.0, 1.0))
    rise = np.interp(along, (0, 0.15, 0.5, 0.75, 1), (1.0, 0.85, 0.45, 0.0, -0.35))
    towards = unit(lean * out + rise * np.array((0, 0, 1.0)) + rng.normal(0, 0.16, place.shape))
    towards = unit(towards - (towards * normal).sum(1, keepdims=True) * normal * 0.9 + 0.20 * normal)
    length = 0.0085 * rng.uniform(0.55, 1.05, (len(place), 1))
    length *= np.interp(along, (0, 0.2, 0.8, 1), (0.75, 1, 0.9, 0.6))
    t = np.linspace(0, 1, 6)
    points = np.stack([start + length * (towards * a - normal * 0.12 * a * a + out * 0.12 * a * a) for a in t], axis=1)
    radius = np.tile(0.000062 * (1 - 0.8 * t**1.5), (len(place), 1)) * rng.uniform(0.7, 1.1, (len(place), 1))
    return Strands(points, radius, pigments(brows.colour, len(place), rng))


def grow_beard(
    roots: Roots, canonical: Floats, placed: Floats, normals: Floats, beard: Beard, rng: np.random.Generator
) -> Strands:
    """Return a beard: hairs that leave the skin, turn down, and wave the more the longer they are."""
    place, start, normal = roots.at(canonical), roots.at(placed), unit(roots.at(normals))
    count = len(place)
    down = np.stack([0.35 * np.sign(place[:, 0]) * smoothstep(0.0, 0.02, np.abs(place[:, 0])),
                     np.full(count, -0.15), np.full(count, -1.0)], axis=1)  # fmt: skip
    towards = unit(0.55 * normal + 0.9 * down + rng.normal(0, 0.30, place.shape))
    length = beard.length_m * rng.uniform(0.5, 1.15, (count, 1))
    # Moustache and cheeks are shorter than the chin.
    length *= np.interp(place[:, 2], (-0.075, -0.045, -0.020, 0.0), (1.0, 0.85, 0.55, 0.35))[:, None]
    t = np.linspace(0, 1, 8)
    steps = []
    for a in t:
        bend = length * (towards * a + (down - 0.25 * normal) * 0.35 * a * a)
        steps.append(start + bend)
    points = np.stack(steps, axis=1)
    wave = unit(np.cross(towards, rng.normal(size=place.shape)))
    phase = rng.uniform(0, 2 * np.pi, (count, 1)) + rng.uniform(4, 9, (count, 1)) * t
    points += (0.09 * length * smoothstep(0.2, 1.0, t) * np.sin(phase))[..., None] * wave[:, None]
    radius = np.tile(0.000058 * (1 - 0.6 * t**2), (count, 1))
    return Strands(points, radius, pigments(beard.colour, count, rng))


def lash_lines(heads: QuadHeads, side: int, *, upper: bool) -> Ints:
    """Return the vertices of one lash strip of the mesh, root row first, ordered along the lid: ``int32[5, n]``.

    Args:
        side: 1 the head's left, -1 its right.
    """
    strips = heads.quads[(heads.parts[heads.quads] == LASH).all(axis=1)]
    place = heads.canonical
    ends = np.concatenate([strips[:, [i, (i + 1) % 4]] for i in range(4)])
    graph = coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), (len(place),) * 2).tocsr()
    _, strip_of = connected_components(graph, directed=False)
    own = next(
        vertices
        for number in np.unique(strip_of[strips])
        for vertices in [np.flatnonzero(strip_of == number)]
        if np.sign(place[vertices, 0].mean()) == side and (place[vertices, 2].mean() > 0.0385) == upper
    )
    links = graph[own][:, own]
    links = ((links + links.T) > 0).astype(float)
    apart = dijkstra(links, unweighted=True, directed=False)
    length = len(own) // _LASH_ROWS
    corners = np.flatnonzero(np.asarray(links.sum(axis=1)).ravel() == 2)
    eye = np.array((side * EYE_CENTRE[0], *EYE_CENTRE[1:]))
    corners = corners[np.argsort(np.linalg.norm(place[own[corners]] - eye, axis=1))]
    # The root row runs between the two corners that are nearest to the eye and a row's length apart.
    first = corners[0]
    last = next(corner for corner in corners[1:] if apart[first, corner] == length - 1)
    row_of = apart[np.flatnonzero(apart[first] + apart[last] == length - 1)].min(axis=0)
    rows = [np.flatnonzero(row_of == number) for number in range(_LASH_ROWS)]
    return np.stack([own[row[np.argsort(apart[first, row])]] for row in rows]).astype(np.int32)


def grow_lashes(lines: list[tuple[Ints, bool]], vertices: Floats, rng: np.random.Generator) -> Strands:
    """Return the lashes on posed vertices of the whole mesh.

    Args:
        lines: Each strip's vertices, from `lash_lines`, and whether it is an upper lid's.
        vertices: ``float64[V, 3]``.
    """
    t = np.linspace(0, 1, 7)
    points, radius = [], []
    for strip, upper in lines:
        row = vertices[strip]
        count = 110 if upper else 50
        along = np.sort(rng.uniform(0.06, 0.97, count)) * (row.shape[1] - 1)
        fan = rng.normal(0, 0.28, count)
        length = rng.uniform(0.55, 1.0, count) * (0.85 if upper else 0.5) * (_LASH_ROWS - 1)
        strand = np.stack([_between(row, a * length, along + fan * a) for a in t], axis=1)
        points.append(strand + rng.normal(0, 0.00015, (count, 1, 3)))
        radius.append(np.tile((0.00010 if upper else 0.00005) * (1 - 0.85 * t**1.5), (count, 1)))
    total = sum(len(each) for each in points)
    return Strands(np.concatenate(points), np.concatenate(radius), np.full(total, 0.97))


def tear_line(strip: Ints, vertices: Floats) -> Strands:
    """Return the wet line along a lower lid, as one thick strand."""
    row = vertices[strip[0]]
    points = CubicSpline(np.arange(len(row)), row)(np.linspace(0.4, len(row) - 1.4, 40))
    radius = 0.00042 * np.sin(np.pi * np.clip(np.linspace(0, 1, 40), 0.02, 0.98)) ** 0.35
    return Strands((points + np.array((0, 0.0002, 0.0001)))[None], radius[None], np.zeros(1))


def _between(rows: Floats, down: Floats, along: Floats) -> Floats:
    """Return points of a grid, ``float64[R, C, 3]``, at fractional rows and columns, ``float64[N]`` each."""
    i = np.clip(down.astype(int), 0, rows.shape[0] - 2)
    along = np.clip(along, 0, rows.shape[1] - 1.001)
    j = along.astype(int)
    f, g = (down - i)[:, None], (along - j)[:, None]
    return np.asarray(
        (1 - f) * ((1 - g) * rows[i, j] + g * rows[i, j + 1]) + f * ((1 - g) * rows[i + 1, j] + g * rows[i + 1, j + 1])
    )


def select(strands: Strands, keep: NDArray[np.bool_]) -> Strands:
    """Return some of the strands."""
    return Strands(strands.points[keep], strands.radius[keep], strands.melanin[keep])

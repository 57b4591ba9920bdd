"""Teeth and gums of one jaw, in their place on the average face.

The mesh's own rows of teeth are too coarse to be seen: they only tell where a jaw is (see `place_jaw`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from training.pathtraced.eyes import Shape
from training.pathtraced.mesh import Floats, Ints, grid_quads, smoothstep, unit
from training.pathtraced.people import Colour

_GUM = (0.52, 0.185, 0.17)
_LEVELS, _AROUND = 22, 36
"""Rings of a tooth from its edge to its root, and points of a ring."""
_SQUARE = 2.6
"""Exponent of the superellipse that a tooth is cut along."""
_WIDE_MM, _LIFT_MM = 940.0, 1400.0
"""Divisors of the tables' widths and lifts: the mesh's jaws are a little wider than a usual mouth."""


@dataclass(frozen=True)
class Tooth:
    """One tooth, mm.

    Attributes:
        width, height, thickness: Its size.
        lift: How far its edge stays behind the line of the bite.
        point: How far its middle stands out at the edge.
    """

    width: float
    height: float
    lift: float
    thickness: float
    point: float


_FIRST_MOLAR = 3
_UPPER = (
    Tooth(8.7, 10.6, 0.0, 7.0, 0.0),
    Tooth(6.9, 9.4, 0.7, 6.2, 0.1),
    Tooth(7.8, 10.4, 0.0, 7.8, 1.5),
    Tooth(7.2, 8.8, 0.5, 9.0, 1.0),
    Tooth(6.9, 8.0, 0.9, 9.0, 0.8),
    Tooth(10.2, 7.6, 1.3, 10.5, 0.5),
    Tooth(9.6, 7.2, 1.8, 10.5, 0.5),
)
_LOWER = (
    Tooth(5.5, 9.2, 0.0, 6.0, 0.0),
    Tooth(6.1, 9.4, 0.1, 6.2, 0.0),
    Tooth(7.0, 10.6, -0.2, 7.4, 1.3),
    Tooth(7.1, 8.8, 0.4, 8.0, 1.0),
    Tooth(7.2, 8.0, 0.8, 8.4, 0.7),
    Tooth(11.0, 7.6, 1.2, 10.0, 0.4),
    Tooth(10.4, 7.2, 1.6, 10.0, 0.4),
)
"""Half a jaw each, from the middle outwards."""

_Arch = Callable[[Floats], tuple[Floats, Floats, Floats]]


@dataclass(frozen=True)
class Jaw:
    """The teeth and the gum of one jaw."""

    teeth: Shape
    gum: Shape


def build_jaw(*, upper: bool, colour: Colour, rng: np.random.Generator) -> Jaw:
    """Return fourteen teeth and their gum.

    Args:
        upper: Which jaw.
        colour: Of the teeth, linear light.
        rng: Source of the teeth's small irregularities.
    """
    row = _UPPER if upper else _LOWER
    arch = _arch(0.0330, 0.0430, -0.0985) if upper else _arch(0.0315, 0.0415, -0.0955)
    edge_z, up = (-0.0314, 1.0) if upper else (-0.0296, -1.0)  # up: from the edge to the gum
    vertices: list[Floats] = []
    quads: list[Ints] = []
    colours: list[Floats] = []
    for side in (-1.0, 1.0):
        along = 0.0
        for place, tooth in enumerate(row):
            width = tooth.width / _WIDE_MM
            crown, paint = _tooth(tooth, place, side, arch, side * (along + width / 2), np.asarray(colour), rng)
            along += width
            ring = grid_quads(_LEVELS, _AROUND, wrap=True) + np.int32(len(vertices) * _LEVELS * _AROUND)
            vertices.append(np.concatenate([crown[..., :2], edge_z + up * crown[..., 2:]], axis=-1).reshape(-1, 3))
            quads.append(ring[:, ::-1] if upper else ring)
            colours.append(paint.reshape(-1, 3))
    teeth = Shape(np.concatenate(vertices), np.concatenate(quads), np.concatenate(colours).clip(0, 1))
    return Jaw(teeth, _gum(row, arch, edge_z, up))


def _arch(half_width: float, depth: float, front_y: float) -> _Arch:
    """Return a function from places along an arch, metres from its middle, to points, tangents and outward normals."""
    t = np.linspace(-1.62, 1.62, 2001)
    x, y = half_width * np.sin(t), front_y + depth * (1 - np.cos(t))
    along = np.concatenate([[0], np.cumsum(np.hypot(np.diff(x), np.diff(y)))])
    along -= np.interp(0, t, along)

    def at(place: Floats) -> tuple[Floats, Floats, Floats]:
        turn = np.interp(place, along, t)
        tangent = unit(np.stack([half_width * np.cos(turn), depth * np.sin(turn)], axis=-1))
        points = np.stack([half_width * np.sin(turn), front_y + depth * (1 - np.cos(turn))], axis=-1)
        return points, tangent, np.stack([tangent[..., 1], -tangent[..., 0]], axis=-1)

    return at


def _tooth(
    tooth: Tooth, place: int, side: float, arch: _Arch, centre: float, colour: Floats, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Return a tooth's points, x, y and height over the jaw's edge, and its colours, ``float64[22, 36, 3]`` each."""
    width, height = tooth.width / _WIDE_MM, tooth.height / 1000
    lift, thickness = tooth.lift / _LIFT_MM, tooth.thickness / 1000
    molar = place >= _FIRST_MOLAR
    crooked = rng.normal(0, 0.35, 4) * (place <= _FIRST_MOLAR)
    h = np.concatenate([[0.0, 0.012, 0.035], np.linspace(0.07, 1.08, _LEVELS - 3)])[:, None]
    phi = np.linspace(0, 2 * np.pi, _AROUND, endpoint=False)[None]
    ends = (0.95, 0.85) if molar else (0.90, 0.72)
    wide = np.interp(h, (0, 0.06, 0.3, 0.65, 1.1), (0.88, 0.96, 1.0, *ends))
    if molar:
        thick = np.interp(h, (0, 0.15, 0.5, 1.1), (0.62, 0.85, 1.0, 0.95))
    else:
        thick = np.interp(h, (0, 0.05, 0.35, 1.1), (0.17, 0.23, 0.52, 1.0))
    cap = np.interp(h, (0, 0.012, 0.035, 0.08), (0.0, 0.55, 0.85, 1.0))
    beside, before = (np.sign(v) * np.abs(v) ** (2 / _SQUARE) for v in (np.cos(phi), np.sin(phi)))
    u = beside * wide * width / 2 * 0.995 * (0.80 + 0.20 * cap)
    deep = before * thick * thickness / 2 * cap
    # The outer face is gently convex from gum to edge; the bite tapers from behind.
    face = -0.0036 * (h - 0.55) ** 2 * (0.7 if molar else 1.0)
    rim = np.abs(u) / (width / 2)
    if molar:
        out = -0.0008 + face - thickness / 2 + deep - 0.0006 * smoothstep(0.25, 0.0, h)
    else:
        out = face - thick * thickness / 2 + deep - np.where(before > 0, 0.04 * rim**2 * width, 0)
    corner = (0.25 if place == 1 else 0.1) * np.clip(u * side / (width / 2), 0, 1) ** 4
    tip = (0.9 * tooth.point * rim**1.3 + 0.35 * rim**7 + corner) / 1000
    z = lift + tip * np.clip(1 - h, 0, 1) ** 2 + h * height
    if place < 2:
        z += 0.00008 * np.cos(7 * rim) * np.clip(1 - h, 0, 1) ** 6
    u = u + 0.03 * crooked[0] * (h - 0.5) * width
    out = out + 0.00022 * crooked[1] + 0.05 * crooked[2] * u
    z = z + 0.00012 * crooked[3]
    point, tangent, outward = (part[0] for part in arch(np.array([centre])))
    flat = point + u[..., None] * tangent + out[..., None] * outward
    return np.concatenate([flat, z[..., None]], axis=-1), _enamel(h, rim, place, colour) * rng.normal(1, 0.012)


def _enamel(h: Floats, rim: Floats, place: int, colour: Floats) -> Floats:
    """Return colours ``float64[22, 36, 3]``: yellower at the gum, clearer at the edge, darker in the gaps."""
    towards_gum, gap = smoothstep(0.45, 1.0, h)[..., None], smoothstep(0.86, 1.0, rim)[..., None]
    edge = smoothstep(0.22, 0.0, h)[..., None] * (1.0 if place < _FIRST_MOLAR else 0.4)
    paint = colour * (1 + towards_gum * (np.array((0.98, 0.90, 0.76)) - 1))
    paint = paint * (1 + edge * (np.array((0.80, 0.84, 0.90)) - 1))
    canine = np.array((0.97, 0.93, 0.85)) if place == _FIRST_MOLAR - 1 else np.ones(3)
    return np.asarray(paint * canine * (1 - 0.25 * gap))


def _gum(row: tuple[Tooth, ...], arch: _Arch, edge_z: float, up: float) -> Shape:
    """Return the gum: a sheet round the arch, scalloped, folded in at its margin."""
    count, rows, top = 700, 18, 0.0175
    widths = np.array([tooth.width for tooth in row]) / _WIDE_MM
    ends = np.cumsum(widths)
    centres = np.concatenate([-(ends - widths / 2)[::-1], ends - widths / 2])
    wide, heights, lifts = (
        np.concatenate([values[::-1], values])
        for values in (
            widths,
            np.array([tooth.height for tooth in row]) / 1000,
            np.array([tooth.lift for tooth in row]) / _LIFT_MM,
        )
    )
    along = np.linspace(-0.99 * ends[-1], 0.99 * ends[-1], count)
    away = np.abs(along[:, None] - centres) / (wide / 2)
    aside = np.clip(away.min(axis=1), 0, 1)
    margin = np.interp(along, centres, lifts) + np.interp(along, centres, heights) * (0.90 - 0.36 * aside**2.6)
    v = np.linspace(0, 1, rows)[None]
    z = margin[:, None] + (top - margin[:, None]) * np.clip((v - 0.12) / 0.88, 0, 1) ** 1.1
    root = np.cos(aside * np.pi / 2).clip(0)[:, None] ** 0.8
    swell = 0.0004 * root + 0.0003 - 0.0010 * (1 - root) * (1 - smoothstep(0.1, 0.6, v))
    fold = 0.0007 * smoothstep(0.12, 0.5, v) - 0.0012 * smoothstep(0.12, 0.0, v) - 0.0015 * smoothstep(0.6, 1.0, v)
    point, _, outward = arch(along)
    flat = point[:, None] + (swell + fold)[..., None] * outward[:, None]
    quads = grid_quads(count, rows, wrap=False)
    pale = (smoothstep(0.5, 0.1, v) * np.ones((count, 1)))[..., None]
    colour = np.asarray(_GUM) * (1 + pale * (np.array((1.12, 1.22, 1.20)) - 1))
    vertices = np.concatenate([flat, (edge_z + up * z)[..., None]], axis=-1).reshape(-1, 3)
    return Shape(vertices, quads if up > 0 else quads[:, ::-1], colour.reshape(-1, 3))


def place_jaw(canonical: Floats, posed: Floats) -> tuple[Floats, Floats]:
    """Return the turn with its scale, ``float64[3, 3]``, and the shift, ``float64[3]``, that move points onto others.

    The least squares of a similarity (Umeyama, IEEE TPAMI 1991). A point p goes to ``turn @ p + shift``.

    Args:
        canonical: The mesh's own row of teeth on the average face, ``float64[N, 3]``.
        posed: The same row of a person with an expression, ``float64[N, 3]``.
    """
    middle, wanted = canonical.mean(axis=0), posed.mean(axis=0)
    left, sizes, right = np.linalg.svd((canonical - middle).T @ (posed - wanted))
    flip = np.array((1.0, 1.0, np.sign(np.linalg.det(left @ right))))
    turn = (left @ np.diag(flip) @ right).T
    turn *= float((sizes * flip).sum() / ((canonical - middle) ** 2).sum())
    return turn, wanted - turn @ middle

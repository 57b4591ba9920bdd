"""The hair of the head: strands that follow the skull in layers, gather in locks, and fall."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from training.pathtraced.mesh import EARS, Floats, Surface, smoothstep, unit
from training.pathtraced.people import Hair
from training.pathtraced.strands import Roots, Strands, pigments

_SKULL = np.array((0.0, 0.012, 0.062))
"""Centre of the cranium on the average face, metres."""
_UP = np.array((0.0, 0.0, 1.0))
_STRAND_M = 0.000052
_PARTING_SLOPE_M = 0.055
"""Distance from the parting at which long hair has its full volume."""


@dataclass(frozen=True)
class Skin:
    """The skin on which hair grows: canonical and placed vertices and normals ``float64[V, 3]``, masks ``[V, 4]``."""

    surface: Surface
    canonical: Floats
    placed: Floats
    normals: Floats
    masks: Floats


def grow_hair(skin: Skin, hair: Hair, rng: np.random.Generator) -> Strands:
    """Return the hair of a head in its neutral place."""
    roots = Roots(skin.surface, skin.canonical, _density(skin, hair), hair.count, rng)
    place, start, normal = roots.at(skin.canonical), roots.at(skin.placed), unit(roots.at(skin.normals))
    if hair.kind == "curls":
        return _curls(place, start, normal, hair, rng)
    grow = _fall if hair.kind == "long" else _comb
    points = grow(place, start, normal, _Hull(skin), hair, rng)
    return _gather(points, place, hair, rng)


def _angles(place: Floats) -> tuple[Floats, Floats]:
    """Return azimuth (0 ahead) and elevation on the cranium, degrees."""
    towards = unit(place - _SKULL)
    azimuth = np.degrees(np.arctan2(towards[:, 0], -towards[:, 1]))
    return azimuth, np.degrees(np.arcsin(towards[:, 2].clip(-1, 1)))


def _density(skin: Skin, hair: Hair) -> Floats:
    """Return the density of roots: thin at the hairline, none on face, ears and neck."""
    azimuth, elevation = _angles(skin.canonical)
    front, temples = hair.hairline, hair.temples
    at = (0, 22, 42, 54, 66, 71, 75, 82, 88, 97, 112, 140, 180)
    line = (front, front - 0.5, front - 6 + temples, front - 16 + temples, 3, -9, -21, -23, -10, 0, -14, -34, -38)
    above = elevation - np.interp(np.abs(azimuth), at, line)
    ragged = 1.3 * np.sin(skin.canonical[:, 0] * 420 + 1.0) * np.cos(skin.canonical[:, 1] * 300)
    ragged += 0.9 * np.sin(skin.canonical[:, 0] * 1130) * np.cos(skin.canonical[:, 2] * 900)
    head = (skin.masks[:, EARS] <= 0.05) & (skin.canonical[:, 2] > -0.035)
    return smoothstep(-1.5, 7.0, above + ragged) * (0.30 + 0.70 * smoothstep(0, 12, above)) * head


class _Hull:
    """The head as a body that hair does not enter."""

    def __init__(self, skin: Skin) -> None:
        face = np.linalg.norm(skin.canonical - (0, -0.06, -0.03), axis=1) < 0.045
        keep = (skin.canonical[:, 2] > -0.25) & (skin.masks[:, EARS] <= 0.05) & ~face
        self._points, self._normals = skin.placed[keep], skin.normals[keep]
        self._tree = cKDTree(self._points)

    def hold(self, points: Floats, clear: Floats, cling: float) -> Floats:
        """Return points moved to at least `clear` metres, ``float64[N]``, off the skin.

        Args:
            cling: How far points farther out are drawn down to it on the cranium, 0..1.
        """
        away, nearest = self._tree.query(points)
        normal = self._normals[nearest]
        height = ((points - self._points[nearest]) * normal).sum(axis=1)
        lift = np.where(away < 0.05, np.maximum(clear - height, 0), 0)
        drop = np.maximum(height - clear - 0.003, 0) * smoothstep(-0.01, 0.05, points[:, 2]) * cling
        return np.asarray(points + normal * (lift - drop)[:, None])


def _sides(place: Floats, hair: Hair, rng: np.random.Generator) -> Floats:
    """Return the side of the parting of each root, -1 or 1; the parting wavers by a millimetre."""
    waver = 0.0012 * np.sin(place[:, 1] * 260) + rng.normal(0, 0.0010, len(place))
    return np.where(place[:, 0] > hair.parting_m + waver, 1.0, -1.0)


def _fall(place: Floats, start: Floats, normal: Floats, hull: _Hull, hair: Hair, rng: np.random.Generator) -> Floats:
    """Return long hair, ``float64[N, P, 3]``: combed from the parting to the sides, falling to the shoulders."""
    count, steps = len(place), 36
    side = _sides(place, hair, rng)
    azimuth, _ = _angles(place)
    back = smoothstep(60, 130, np.abs(azimuth))
    front = smoothstep(0.02, -0.07, place[:, 1])
    towards = np.stack([side * (0.95 - 0.5 * back), 0.55 * front + 0.20, -0.25 - 0.6 * back], axis=1)
    velocity = unit(unit(towards) + normal * (0.45 * front + 0.15)[:, None] + rng.normal(0, 0.05, place.shape))
    layer = rng.uniform(0.05, 1.0, count) ** 0.8
    step = hair.length_m * rng.uniform(0.74, 1.06, count) * (1 - 0.05 * back) / steps
    points = [start]
    for number in range(1, steps + 1):
        t = number / steps
        at = points[-1]
        weight = 0.08 + 0.30 * float(smoothstep(0.05, 0.35, np.asarray(t)))
        velocity = unit(velocity - weight * _UP)
        x, y, z = at.T
        # Hair beside the face is swept outward and back, below the ears it falls in, then rests on the shoulders.
        beside = smoothstep(0.10, 0.04, z) * smoothstep(-0.015, -0.07, y) * smoothstep(0.086, 0.064, np.abs(x))
        wide = smoothstep(0.050, 0.095, np.abs(x)) * smoothstep(0.05, -0.04, z) * smoothstep(-0.16, -0.10, z)
        across = np.sign(x) * (0.8 * beside - 0.20 * wide)
        velocity = unit(velocity + np.stack([across, 0.6 * beside, 0 * x], axis=1))
        moved = at + velocity * step[:, None]
        rise = float(smoothstep(0.0, 0.22, np.asarray(t)))
        # Beside the parting the hair lies flat, or the crown would have a cleft.
        full = 0.3 + 0.7 * smoothstep(0.0, _PARTING_SLOPE_M, np.abs(moved[:, 0] - hair.parting_m))
        moved = hull.hold(moved, 0.0015 + hair.volume_m * layer * rise * full, cling=0.7)
        velocity = unit(0.35 * velocity + 0.65 * (moved - at) / step[:, None])
        points.append(at + velocity * step[:, None])
    return np.stack(points, axis=1)


def _comb(place: Floats, start: Floats, normal: Floats, hull: _Hull, hair: Hair, rng: np.random.Generator) -> Floats:
    """Return short hair, ``float64[N, P, 3]``: combed from the parting over the crown, close at the sides."""
    count, steps = len(place), 14
    # Over the crown the hair turns gradually, so that no scalp shows.
    side = np.tanh((place[:, 0] - hair.parting_m) / 0.014)
    _, elevation = _angles(place)
    top = smoothstep(10, 42, elevation + rng.normal(0, 3, count))
    front = smoothstep(0.0, -0.07, place[:, 1])
    length = (hair.side_m + (hair.length_m - hair.side_m) * top) * rng.uniform(0.7, 1.08, count)
    over = np.stack([side * (0.70 * top + 0.1), 0.35 * top + 0.45 * (1 - top) - 0.25 * front * top,
                     -0.95 * (1 - top)], axis=1)  # fmt: skip
    velocity = unit(unit(over) + normal * (0.35 + 0.75 * top * front + 0.25 * top)[:, None])
    velocity = unit(velocity + rng.normal(0, 0.10, place.shape))
    layer = rng.uniform(0.0, 1.0, count)
    step = length / steps
    points = [start]
    for number in range(1, steps + 1):
        t = number / steps
        at = points[-1]
        velocity = unit(velocity + 0.13 * unit(over) + (0, 0, -0.05))
        moved = at + velocity * step[:, None]
        clear = 0.0008 + hair.volume_m * top * (0.15 + 0.85 * layer) * float(smoothstep(0.0, 0.6, np.asarray(t)))
        moved = hull.hold(moved, clear, cling=0.25)
        velocity = unit(0.5 * velocity + 0.5 * (moved - at) / step[:, None])
        points.append(at + velocity * step[:, None])
    return np.stack(points, axis=1)


def _curls(place: Floats, start: Floats, normal: Floats, hair: Hair, rng: np.random.Generator) -> Strands:
    """Return curls that stand off the skull; neighbours wind together."""
    count, t = len(place), np.linspace(0, 1, 26)
    _, elevation = _angles(place)
    top = smoothstep(0, 48, elevation)
    length = (hair.side_m + (hair.length_m - hair.side_m) * top) * rng.uniform(0.7, 1.08, count)
    lead = _nearest(place, max(count // 26, 8), rng)
    towards = unit(
        normal * 0.9 + (0, 0, 0.12) + rng.normal(0, 0.32, place.shape)[lead] + rng.normal(0, 0.10, place.shape)
    )
    down = np.stack([0 * top, 0.25 * (1 - top), -0.45 * (1 - top)], axis=1)
    points = start[:, None] + 0.62 * length[:, None, None] * (
        t[None, :, None] * towards[:, None] + (t * t)[None, :, None] * 0.5 * down[:, None]
    )
    one = unit(np.cross(towards, rng.normal(size=place.shape)[lead]))
    two = np.cross(towards, one)
    winds = length[:, None] / (0.0058 * max(hair.curl, 0.2))
    phase = rng.uniform(0, 2 * np.pi, count)[lead][:, None] + rng.normal(0, 0.35, (count, 1)) + 2 * np.pi * winds * t
    radius = 0.00125 * hair.curl * smoothstep(0.02, 0.30, t)[None] * rng.uniform(0.75, 1.25, count)[lead][:, None]
    points += (radius * np.cos(phase))[..., None] * one[:, None] + (radius * np.sin(phase))[..., None] * two[:, None]
    thick = 0.000050 * rng.uniform(0.8, 1.2, (count, 1)) * (1 - 0.5 * smoothstep(0.7, 1.0, t))[None]
    return Strands(points, thick, pigments(hair.colour, count, rng))


def _nearest(place: Floats, leaders: int, rng: np.random.Generator) -> Floats:
    """Return for each root the number of its nearest leader among randomly chosen roots, ``int64[N]``."""
    chosen = rng.choice(len(place), leaders, replace=False)
    return np.asarray(chosen[cKDTree(place[chosen]).query(place)[1]])


def _gather(points: Floats, place: Floats, hair: Hair, rng: np.random.Generator) -> Strands:
    """Gather strands in locks of three sizes, let the locks wave, and let some strands stray.

    Args:
        points: ``float64[N, P, 3]``.
        place: Roots on the average face, ``float64[N, 3]``.
    """
    count, steps = points.shape[:2]
    t = np.linspace(0, 1, steps)
    key = np.concatenate([place, 0.5 * _sides(place, hair, rng)[:, None]], axis=1)
    pull, size = (0.62, 0.0055) if hair.kind == "long" else (0.55, 0.0011)
    locks = [(count // 260, 0.34, 0.25), (count // 60, 0.50, 0.45), (count // 14, pull, 0.70)]
    out, leads = points, []
    for leaders, amount, close in locks:
        lead = _nearest(key, max(leaders, 6), rng)
        leads.append(lead)
        shift = (points[:, :1] - points[lead][:, :1]) * (1 - close * smoothstep(0, 0.8, t))[None, :, None]
        weight = amount * rng.uniform(0.5, 1.0, (count, 1)) * smoothstep(0.05, 0.7, t)[None]
        out = out + weight[..., None] * (out[lead] + shift - out)
    along = unit(np.gradient(out, axis=1))
    across = unit(np.cross(along, (0.0, 0.35, 1.0)))
    other = np.cross(along, across)
    phase: Floats = rng.uniform(0, 2 * np.pi, (count,))
    tempo: Floats = rng.uniform(1.3, 2.4, (count,))
    bend = (phase[leads[0]] + 0.5 * (phase[leads[1]] - np.pi) + 0.2 * (phase[leads[2]] - np.pi))[:, None]
    turns = (tempo[leads[0]] + 0.25 * (tempo[leads[1]] - 1.85))[:, None] * 2 * np.pi * t[None]
    swing = size * smoothstep(0.10, 0.7, t)[None] * (0.6 + 0.8 * phase[leads[1]] / (2 * np.pi))[:, None]
    out = out + (swing * np.sin(bend + turns))[..., None] * across
    out = out + (0.6 * swing * np.cos(1.3 * bend + turns))[..., None] * other
    frizz = np.cumsum(rng.normal(0, 0.00022, (count, steps, 3)), axis=1)
    frizz -= frizz[:, :1]
    stray = np.where(rng.random(count) < 0.035, 3.2, 0.6)[:, None, None]
    out = out + frizz * stray * smoothstep(0.0, 0.4, t)[None, :, None]
    radius = _STRAND_M * rng.uniform(0.8, 1.25, (count, 1)) * (1 - 0.7 * smoothstep(0.75, 1.0, t))[None]
    # A lock shares its shade.
    shade = 0.6 * phase[leads[1]] / (2 * np.pi) + 0.4 * phase[leads[2]] / (2 * np.pi) - 0.5
    melanin = pigments(hair.colour, count, rng)
    melanin = np.where(melanin > 0.1, np.clip(melanin * (1 + 0.30 * shade), 0, 1), melanin)
    return Strands(np.asarray(out), radius, melanin)

"""Hair as shells over the scalp, short or long, fitted to the head's shape."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.heads import SKIN, Floats, HeadSet, Ints

_ROUND, _DOWN = 120, 64  # grid: around the pole, from the pole down
_CENTRE = np.array([0.0, 0.012, 0.062], np.float32)  # centre of the skull on the average face


@dataclass(frozen=True)
class HairStyle:
    """A hair style.

    Attributes:
        top_m: Thickness over the crown.
        side_m: Thickness at the sides and back.
        front_m: Extra thickness just behind the front hairline.
        length_m: Length of the hair below the ears; 0 for a short style.
        hairline: Height of the front hairline, degrees above the skull's centre.
        temples: How far the temples recede, degrees.
        pole: Point where the strands part, ``(degrees to the head's left, degrees above the horizon)``.
        face_edge: Azimuth at which hanging hair begins, degrees from the front.
        curl: Curl, from straight (0) to curly (1).
    """

    top_m: float = 0.020
    side_m: float = 0.008
    front_m: float = 0.008
    length_m: float = 0.0
    hairline: float = 31.0
    temples: float = 6.0
    pole: tuple[float, float] = (18.0, 66.0)
    face_edge: float = 57.0
    curl: float = 0.0


def skull_radius(heads: HeadSet, vertices: Floats, directions: Floats) -> Floats:
    """Return the radius of the head, without ears, around its centre in each direction.

    Args:
        vertices: Vertices of one identity, ``float32[V, 3]``.
        directions: Unit vectors, ``float32[D, 3]``.
    """
    size = heads.texture.shape[0]
    place = (heads.uv * size).astype(int).clip(0, size - 1)
    ear = heads.texture[size - 1 - place[:, 1], place[:, 0], 3] > 20
    scalp = (heads.parts == SKIN) & ~ear & (heads.canonical[:, 2] > -0.03) & (heads.follow[:, 0] > 0.5)
    offset = vertices[scalp] - _CENTRE
    radius = np.linalg.norm(offset, axis=1)
    # Cavities lie inside the skull: of the points near a direction, the outermost count.
    closeness = directions @ (offset / radius[:, None]).T
    nearest = np.argpartition(closeness, -6, axis=1)[:, -6:]
    weight = np.exp((np.take_along_axis(closeness, nearest, 1) - 1.0) * 300.0) + 1e-9
    near = radius[nearest]
    weight *= near > near.max(1, keepdims=True) - 0.012
    mean: Floats = ((near * weight).sum(1) / weight.sum(1)).astype(np.float32)
    return mean


def hairline_elevation(style: HairStyle, azimuth: Floats) -> Floats:
    """Return the hairline's elevation (degrees) at each azimuth (degrees from the front)."""
    front, recede = style.hairline, style.temples
    # The hairline is highest where the hair is parted.
    azimuth = azimuth - 0.75 * style.pole[0] * np.exp(-((azimuth / 55.0) ** 2))
    at = [0, 22, 42, 58, 74, 84, 96, 112, 140, 180]
    up = [front, front - 1, front - 6 + recede, front - 15 + recede, -4, -12, -2, -14, -30, -36]
    if style.length_m:
        up = [front + 8, front - 1, 12, -18, -40, -60, -60, -60, -60, -60]
    line = np.interp(np.abs(azimuth), at, up)
    return line.astype(np.float32)


def build_hair(
    heads: HeadSet, vertices: Floats, style: HairStyle, scales: Floats
) -> tuple[list[Floats], Ints, Floats, Floats, Floats]:
    """Build the shells of one hair style; shells differ only in their positions.

    Args:
        vertices: Neutral face of one identity, ``float32[V, 3]``.
        scales: Thickness of each shell as a share of the full thickness, 0..1.

    Returns:
        Positions ``[M, 3]`` of each shell, triangles ``[T, 3]``, ``uv[M, 2]`` (around, along), margin ``[M]`` (negative
        outside of the hair, about 1 well inside), and how far each vertex follows the head and the neck ``[M, 2]``.
    """
    turn = np.linspace(-np.pi, np.pi, _ROUND + 1)
    down = np.linspace(0.0, np.radians(165.0), _DOWN)
    a, p = np.meshgrid(turn, down)
    side, lift = np.radians(style.pole[0]), np.radians(style.pole[1])
    axis = np.array([np.sin(side) * np.cos(lift), -np.cos(side) * np.cos(lift), np.sin(lift)])
    across = np.cross(axis, [0.0, -1.0, 0.0])
    across /= np.linalg.norm(across)
    third = np.cross(axis, across)
    ring = np.cos(a)[..., None] * third + np.sin(a)[..., None] * across
    directions = (np.cos(p)[..., None] * axis + np.sin(p)[..., None] * ring).reshape(-1, 3).astype(np.float32)

    azimuth = np.degrees(np.arctan2(directions[:, 0], -directions[:, 1])).astype(np.float32)
    elevation = np.degrees(np.arcsin(directions[:, 2].clip(-1, 1))).astype(np.float32)
    margin = (elevation - hairline_elevation(style, azimuth)) / 14.0
    lowest = -20.0 if style.length_m else -90.0
    bent = np.maximum(elevation, lowest)
    flat = np.stack([np.sin(np.radians(azimuth)), -np.cos(np.radians(azimuth))], axis=1)
    lifted = np.concatenate(
        [flat * np.cos(np.radians(bent))[:, None], np.sin(np.radians(bent))[:, None]], axis=1
    ).astype(np.float32)

    radius = skull_radius(heads, vertices, lifted)
    top = np.clip((bent - 5.0) / 55.0, 0, 1)
    quiff = np.exp(-(((azimuth) / 55.0) ** 2) - ((elevation - style.hairline - 22) / 18.0) ** 2)
    thick = style.side_m + (style.top_m - style.side_m) * top + style.front_m * quiff
    thick *= 0.16 + 0.84 * np.clip(margin / 1.1, 0, 1) ** 0.7
    tips = np.clip((lowest - elevation) / 40.0, 0, 1) if style.length_m else np.zeros_like(elevation)
    shells = []
    for scale in scales:
        reach = radius + thick * scale
        if style.length_m:
            # Hanging hair covers the ears and lies outside of them.
            beside = np.exp(-(((np.abs(azimuth) - 92.0) / 34.0) ** 2)) * np.clip((30.0 - bent) / 40.0, 0, 1)
            reach = reach + beside * 0.010 * (0.4 + 0.6 * scale)
        points = _CENTRE + lifted * reach[:, None]
        points[:, 2] -= tips * (style.length_m + 0.02 * np.cos(np.radians(azimuth)))
        # The ends turn inward beside the face; behind, they stay clear of neck and shoulders.
        behind = np.clip((np.abs(azimuth) - 95.0) / 25.0, 0, 1)
        inward = 1.0 + 0.10 * np.sin(tips * np.pi) - (0.16 - 0.14 * behind) * tips**2
        points[:, :2] = _CENTRE[:2] + (points[:, :2] - _CENTRE[:2]) * inward[:, None]
        shells.append(points.astype(np.float32))
    if style.length_m:
        ends = np.clip((0.97 - tips) * 12.0, -1.0, 3.0)
        edge = (np.abs(azimuth) - style.face_edge) / 9.0
        margin = np.where(elevation < lowest, np.minimum(ends, edge), np.minimum(margin, ends))

    grid = np.arange(len(directions)).reshape(_DOWN, _ROUND + 1)
    corners = np.stack([grid[:-1, :-1], grid[1:, :-1], grid[1:, 1:], grid[:-1, 1:]], axis=-1).reshape(-1, 4)
    corners = corners[(margin[corners] > -0.3).any(axis=1)]
    triangles = np.concatenate([corners[:, [0, 2, 1]], corners[:, [0, 3, 2]]]).astype(np.int32)
    uv = np.stack([(a / (2 * np.pi)).ravel(), (p / np.pi).ravel()], axis=1).astype(np.float32)
    follow = np.stack([1.0 - 0.6 * tips, np.ones_like(tips)], axis=1).astype(np.float32)
    return shells, triangles, uv, margin.astype(np.float32), follow

"""Paint, light and camera of a head: plain values, random or set by hand."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from training.hair import HairStyle

Colour = tuple[float, float, float]
"""Linear light, red, green, blue, 0..1."""


@dataclass(frozen=True)
class Appearance:
    """The paint of one identity.

    Attributes:
        skin, lip, brow, iris, cloth, tooth, hair_colour: Colours, linear light.
        makeup: Lip gloss, beard shadow, freckles and blush, each 0..1.
        brow_shape: Thickness (1 usual), arch (1 usual), height (metres).
        age: 0 smooth .. 1 lined.
        gloss: Oiliness of the skin, 0..1.
        neckline: Width of the neckline, 0..1.
        toon: Style from realistic (0) to drawn (1): flat paint, stepped light, inked edges.
        teeth_m: Distance, metres, by which the upper teeth hang below their place in the mesh, behind the lip.
        hair: Hair style; None for a shaved head.
    """

    skin: Colour = (0.60, 0.37, 0.27)
    lip: Colour = (0.46, 0.19, 0.17)
    brow: Colour = (0.06, 0.035, 0.022)
    iris: Colour = (0.16, 0.11, 0.06)
    cloth: Colour = (0.10, 0.16, 0.22)
    tooth: Colour = (0.80, 0.76, 0.68)
    hair_colour: Colour = (0.07, 0.04, 0.02)
    makeup: tuple[float, float, float, float] = (0.1, 0.0, 0.0, 0.5)
    brow_shape: tuple[float, float, float] = (1.0, 1.0, 0.0)
    age: float = 0.2
    gloss: float = 0.5
    neckline: float = 0.3
    toon: float = 0.0
    teeth_m: float = 0.003
    hair: HairStyle | None = field(default_factory=HairStyle)


@dataclass(frozen=True)
class Stage:
    """Light, backdrop and camera of one picture.

    Attributes:
        key_direction, fill_direction: Vectors towards the lights, of any length.
        key, fill, sky, ground: Colours and strengths of the lights.
        exposure: Factor before the tone curve.
        near, far: Backdrop (display values) behind the head and at the corners.
        grain: Unevenness of the backdrop.
        distance_m: Distance from the camera to the head joint.
        view_height_m: Height of the picture at that distance.
        aim: Point at the picture's centre, ``(x, z)`` metres.
    """

    key_direction: Colour = (-0.55, -0.75, 0.55)
    fill_direction: Colour = (0.8, -0.6, 0.05)
    key: Colour = (1.15, 1.08, 1.0)
    fill: Colour = (0.30, 0.33, 0.38)
    sky: Colour = (0.44, 0.46, 0.50)
    ground: Colour = (0.22, 0.19, 0.17)
    exposure: float = 0.80
    near: Colour = (0.66, 0.70, 0.73)
    far: Colour = (0.40, 0.46, 0.51)
    grain: float = 0.03
    distance_m: float = 1.5
    view_height_m: float = 0.46
    aim: tuple[float, float] = (0.0, 0.005)


@dataclass(frozen=True)
class HeadPose:
    """Rotation of the head on the neck and of the neck, degrees (yaw, pitch, roll); and a shift, metres."""

    head: tuple[float, float, float] = (0.0, 0.0, 0.0)
    neck: tuple[float, float, float] = (0.0, 0.0, 0.0)
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)


_TOON_SHARE = 0.12
_SKINS: tuple[Colour, ...] = (
    (0.72, 0.48, 0.38),
    (0.66, 0.42, 0.31),
    (0.58, 0.36, 0.25),
    (0.44, 0.25, 0.16),
    (0.29, 0.155, 0.095),
    (0.17, 0.088, 0.054),
)
_HAIRS: tuple[Colour, ...] = (
    (0.02, 0.015, 0.012),
    (0.06, 0.033, 0.018),
    (0.14, 0.075, 0.035),
    (0.36, 0.23, 0.11),
    (0.26, 0.09, 0.035),
    (0.38, 0.37, 0.36),
)


def _colour(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Colour:
    red, green, blue = (float(value) for value in np.clip(values, 0.0, 2.0))
    return red, green, blue


def random_look(rng: np.random.Generator, *, male: bool) -> Appearance:
    """Draw the paint of one identity."""
    skin = np.array(_SKINS[rng.integers(len(_SKINS))]) * rng.uniform(0.88, 1.1) * rng.normal(1, 0.03, 3)
    painted = 0.0 if male else float(rng.choice((0.0, 0.4, 1.0)))
    natural = skin * (0.80, 0.56, 0.58)
    lip = natural * (1 - 0.6 * painted) + 0.6 * painted * np.array((0.42, 0.06, 0.08)) * rng.uniform(0.6, 1.2, 3)
    hair = np.array(_HAIRS[rng.integers(len(_HAIRS))]) * rng.uniform(0.7, 1.25)
    long = not male and rng.random() < 0.75
    style = HairStyle(
        top_m=float(rng.uniform(0.012, 0.03)),
        side_m=float(rng.uniform(0.004, 0.012)) + 0.006 * long,
        front_m=float(rng.uniform(0.0, 0.014)),
        length_m=float(rng.uniform(0.05, 0.2)) if long else 0.0,
        hairline=float(rng.uniform(34, 44)),
        temples=float(rng.uniform(0, 14)) if male else 2.0,
        pole=(float(rng.uniform(-40, 40)), float(rng.uniform(55, 85))),
        curl=float(rng.choice((0.0, 0.3, 1.0))),
    )
    return Appearance(
        skin=_colour(skin),
        lip=_colour(lip),
        brow=_colour(hair * 0.7 + 0.01),
        iris=_colour(np.array(((0.15, 0.09, 0.05), (0.16, 0.22, 0.28), (0.14, 0.17, 0.08))[rng.integers(3)])),
        cloth=_colour(rng.uniform(0.02, 0.6, 3)),
        tooth=_colour(np.array((0.80, 0.76, 0.68)) * rng.uniform(0.80, 1.30) * rng.normal(1, 0.02, 3)),
        hair_colour=_colour(hair),
        makeup=(
            painted,
            float(rng.choice((0.0, rng.uniform(0.1, 1.0)))) if male else 0.0,
            float(rng.choice((0.0, 0.0, 1.0))),
            float(rng.uniform(0, 1)),
        ),
        brow_shape=(float(rng.uniform(0.6, 1.5)), float(rng.uniform(0.5, 1.4)), float(rng.normal(0, 0.001))),
        age=float(rng.uniform(0, 1)),
        gloss=float(rng.uniform(0.15, 1.0)),
        neckline=float(rng.uniform(0, 1)),
        hair=style if rng.random() > (0.12 if male else 0.02) else None,
        toon=float(rng.uniform(0.5, 1.0)) if rng.random() < _TOON_SHARE else 0.0,
        teeth_m=float(rng.uniform(0.0, 0.005)),
    )


def random_stage(rng: np.random.Generator) -> Stage:
    """Draw light, backdrop and camera."""
    side, up = rng.uniform(-1.3, 1.3), rng.uniform(-0.15, 1.1)
    power = rng.uniform(0.3, 1.5)
    around = rng.uniform(0.2, 0.8)
    warm = rng.normal(0, 0.07)
    tint = np.array((1 + warm, 1.0, 1 - warm))
    first = rng.uniform(0.02, 0.95, 3) * 0.6 + 0.4 * rng.uniform(0.05, 0.95)
    return Stage(
        key_direction=(float(np.sin(side)), float(-np.cos(side)), float(up)),
        fill_direction=(float(-np.sin(side) * 1.2), float(-rng.uniform(0.2, 1.0)), float(rng.uniform(-0.5, 0.5))),
        key=_colour(power * tint),
        fill=_colour(rng.uniform(0.0, 0.5) * (2 - tint) * rng.normal(1, 0.05, 3)),
        sky=_colour(around * rng.normal(1, 0.05, 3)),
        ground=_colour(around * rng.uniform(0.2, 0.9) * rng.normal(1, 0.08, 3)),
        exposure=float(rng.uniform(0.65, 1.3)),
        near=_colour(first),
        far=_colour(first * rng.uniform(0.3, 1.2)),
        grain=float(rng.uniform(0, 0.3)),
        distance_m=float(rng.uniform(0.7, 2.2)),
    )


def random_pose(rng: np.random.Generator) -> HeadPose:
    """Draw a pose: mostly near frontal, sometimes turned far."""
    wide = rng.choice((0.35, 1.0))
    yaw, pitch, roll = rng.normal(0, 11 * wide), rng.normal(0, 7 * wide), rng.normal(0, 4 * wide)
    return HeadPose(
        head=(float(np.clip(yaw, -26, 26)), float(np.clip(pitch, -15, 15)), float(np.clip(roll, -10, 10))),
        neck=(float(rng.normal(0, 3)), float(rng.normal(0, 2)), float(rng.normal(0, 1.5))),
    )

"""Drawn people, designed by hand: identity, appearance and stage. Pictures for the fit show them."""

from __future__ import annotations

from dataclasses import dataclass

from training.appearance import Appearance, Stage
from training.hair import HairStyle
from training.heads import Identity


@dataclass(frozen=True)
class Person:
    """One person.

    Attributes:
        identity: Shape of the head.
        rest: Strengths of the facial actions at rest, by name.
    """

    id: str
    identity: Identity
    look: Appearance
    stage: Stage
    rest: dict[str, float]
    description: str


def _both(**changes: float) -> dict[str, float]:
    """Return equal local changes for the left and the right side."""
    return {side + name.replace("_", "-"): value for name, value in changes.items() for side in ("l-", "r-")}


ADA = Person(
    "ada",
    Identity(
        "ada",
        {"gender": 0.97, "age": 0.66, "muscle": 0.45, "weight": 0.42, "height": 0.5, "proportions": 0.03}
        | {"african": 0.12, "asian": 0.22, "caucasian": 0.66},
        _both(eye_scale_incr=0.28, cheek_bones_incr=0.2, cheek_volume_incr=0.12, ear_scale_incr=-0.3)
        | {"nose-scale-horiz-incr": -0.2, "nose-scale-vert-incr": -0.12, "chin-width-incr": -0.15}
        | {"mouth-lowerlip-volume-incr": 0.25, "mouth-upperlip-volume-incr": 0.2, "mouth-scale-horiz-incr": 0.18}
        | {"mouth-angles-up": 0.2, "forehead-scale-vert-incr": -0.25, "neck-scale-horiz-incr": -0.1},
    ),
    Appearance(
        skin=(0.62, 0.385, 0.285),
        lip=(0.50, 0.17, 0.155),
        brow=(0.075, 0.040, 0.024),
        iris=(0.17, 0.10, 0.045),
        cloth=(0.020, 0.10, 0.115),
        hair_colour=(0.095, 0.040, 0.018),
        makeup=(0.35, 0.0, 0.15, 0.9),
        brow_shape=(0.85, 0.75, -0.0022),
        age=0.05,
        gloss=0.45,
        neckline=0.45,
        hair=HairStyle(
            top_m=0.022, side_m=0.017, front_m=0.010, length_m=0.135, hairline=30.0, pole=(26.0, 62.0), curl=0.4
        ),
    ),
    Stage(view_height_m=0.42, aim=(0.0, 0.008), near=(0.80, 0.80, 0.78), far=(0.52, 0.57, 0.60)),
    {"mouthSmile": 0.34, "mouthDimple": 0.12, "cheekSquint": 0.15, "eyeWide": 0.10},
    "A young woman with chestnut hair in a teal shirt, before a light wall.",
)

BEN = Person(
    "ben",
    Identity(
        "ben",
        {"gender": 0.04, "age": 0.72, "muscle": 0.6, "weight": 0.5, "height": 0.5, "proportions": 0.08}
        | {"african": 0.62, "asian": 0.10, "caucasian": 0.28},
        _both(eye_scale_incr=0.15, ear_scale_incr=-0.25, cheek_bones_incr=0.15)
        | {"chin-width-incr": 0.12, "mouth-angles-up": 0.15, "forehead-scale-vert-incr": -0.15}
        | {"nose-scale-horiz-incr": -0.1, "mouth-scale-horiz-incr": 0.1},
    ),
    Appearance(
        skin=(0.235, 0.125, 0.078),
        lip=(0.195, 0.088, 0.074),
        brow=(0.020, 0.014, 0.011),
        iris=(0.075, 0.042, 0.022),
        cloth=(0.16, 0.045, 0.028),
        hair_colour=(0.016, 0.012, 0.010),
        makeup=(0.12, 0.75, 0.0, 0.3),
        brow_shape=(1.2, 0.6, -0.0015),
        age=0.35,
        gloss=0.75,
        neckline=0.0,
        hair=HairStyle(top_m=0.014, side_m=0.005, front_m=0.004, hairline=31.0, temples=8.0, curl=1.0),
    ),
    Stage(
        view_height_m=0.43,
        aim=(0.0, 0.008),
        near=(0.70, 0.74, 0.78),
        far=(0.36, 0.43, 0.50),
        exposure=0.95,
        key=(1.25, 1.16, 1.05),
        fill=(0.42, 0.46, 0.54),
    ),
    {"mouthSmile": 0.30, "mouthDimple": 0.12, "cheekSquint": 0.15, "eyeWide": 0.12},
    "A man in his thirties with short dark hair and a trimmed beard, in a rust-red shirt.",
)

MIRA = Person(
    "mira",
    Identity(
        "mira",
        {"gender": 0.98, "age": 0.55, "muscle": 0.35, "weight": 0.38, "height": 0.5, "proportions": 0.0}
        | {"african": 0.1, "asian": 0.55, "caucasian": 0.35},
        _both(eye_scale_incr=0.75, cheek_volume_incr=0.2, ear_scale_incr=-0.4)
        | {"nose-scale-horiz-incr": -0.35, "nose-scale-vert-incr": -0.35, "chin-width-incr": -0.35}
        | {"mouth-scale-horiz-incr": 0.05, "mouth-angles-up": 0.2, "neck-scale-horiz-incr": -0.25}
        | {"mouth-lowerlip-volume-incr": 0.15, "mouth-upperlip-volume-incr": 0.1},
    ),
    Appearance(
        skin=(0.72, 0.41, 0.30),
        lip=(0.52, 0.13, 0.15),
        brow=(0.020, 0.016, 0.06),
        iris=(0.10, 0.30, 0.34),
        cloth=(0.55, 0.30, 0.05),
        hair_colour=(0.035, 0.05, 0.17),
        makeup=(0.45, 0.0, 0.0, 1.0),
        brow_shape=(0.8, 0.9, 0.001),
        age=0.0,
        gloss=0.2,
        neckline=0.3,
        hair=HairStyle(
            top_m=0.020, side_m=0.015, front_m=0.012, length_m=0.075, hairline=24.0, pole=(-22.0, 66.0), curl=0.5
        ),
        toon=1.0,
    ),
    Stage(view_height_m=0.42, aim=(0.0, 0.008), near=(0.97, 0.86, 0.74), far=(0.90, 0.66, 0.60), grain=0.0),
    {"mouthSmile": 0.32, "mouthDimple": 0.12, "cheekSquint": 0.1, "eyeWide": 0.25},
    "A drawn young woman with a blue bob in an amber shirt.",
)

PEOPLE = (ADA, BEN, MIRA)

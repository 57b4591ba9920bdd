"""The path-traced people as data: shape, skin, hair, clothes, light and room."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from training.heads import Identity

Colour = tuple[float, float, float]
"""Linear red, green, blue, 0..1."""
HairKind = Literal["long", "short", "curls"]
Room = Literal["study", "evening", "office", "kitchen"]


@dataclass(frozen=True)
class Skin:
    """The skin's paint.

    Attributes:
        tone: Colour of the cheeks without blood.
        lip: Colour of the lips.
        blush: Redness of cheeks and nose, 0..1.
        freckles: Strength of freckles, 0..1.
        shine: How far brow, nose and cheekbones shine, 0..1.
        lip_shine: How far the lips shine, 0..1.
        lines: Depth of wrinkles and of the shade under the eyes, 0..1.
        shaved: Shadow of a shaved beard, 0..1.
    """

    tone: Colour
    lip: Colour
    blush: float = 0.6
    freckles: float = 0.2
    shine: float = 0.5
    lip_shine: float = 0.3
    lines: float = 0.1
    shaved: float = 0.0


@dataclass(frozen=True)
class HairColour:
    """Pigment of hair, as Cycles' hair shader takes it.

    Attributes:
        melanin: Amount of pigment: 0.1 blond, 0.6 brown, 1 black.
        redness: Share of red pigment, 0..1.
        grey: Share of strands without pigment, 0..1.
    """

    melanin: float
    redness: float = 0.4
    grey: float = 0.0


@dataclass(frozen=True)
class Hair:
    """The hair of the head.

    Attributes:
        hairline: Height of the hairline over the brow, degrees on the skull.
        temples: How far the hairline recedes at the temples, degrees.
        length_m: Length of the strands; on the crown for short hair.
        side_m: Length at the sides of short hair.
        parting_m: Distance of the parting from the middle, to the head's left.
        volume_m: Height of the outermost layer over the skull.
        curl: Radius of the curls in units of a tight curl; 0 for straight hair.
        count: Number of strands.
    """

    kind: HairKind
    colour: HairColour
    hairline: float = 29.0
    temples: float = 2.0
    length_m: float = 0.03
    side_m: float = 0.008
    parting_m: float = 0.02
    volume_m: float = 0.01
    curl: float = 0.0
    count: int = 45000


@dataclass(frozen=True)
class Beard:
    """A beard of strands: its length and its number of hairs on the whole jaw."""

    colour: HairColour
    length_m: float
    count: int


@dataclass(frozen=True)
class Brows:
    """Eyebrows: thickness, arch (1 usual), height over the usual place in metres, and number of hairs a pair."""

    colour: HairColour
    thickness: float = 1.0
    arch: float = 0.7
    height_m: float = 0.0
    count: int = 1100


@dataclass(frozen=True)
class Clothes:
    """A knitted or woven top.

    Attributes:
        colour: Colour of the yarn.
        neckline: 0 close to the neck, 1 wide and deep.
        ribs: Size of the knit: 1 a fine jersey, 2 a coarse sweater.
    """

    colour: Colour
    neckline: float = 0.2
    ribs: float = 1.0


@dataclass(frozen=True)
class Light:
    """Power in watts of the window, the wall opposite, the light from behind and the ceiling; exposure in stops."""

    window: float = 30.0
    wall: float = 4.0
    behind: float = 3.0
    ceiling: float = 6.0
    exposure: float = 0.35


@dataclass(frozen=True)
class Teeth:
    """Colour of the teeth, and how far the upper ones hang below their place in the mesh, metres."""

    colour: Colour = (0.80, 0.755, 0.66)
    drop_m: float = 0.002


@dataclass(frozen=True)
class Sitter:
    """One person before the camera.

    Attributes:
        id: Id of the avatar.
        rest: Strengths of the facial actions at rest.
        glasses: Whether the person wears glasses.
        description: One sentence for users.
    """

    id: str
    identity: Identity
    skin: Skin
    iris: Colour
    hair: Hair
    brows: Brows
    clothes: Clothes
    description: str
    beard: Beard | None = None
    glasses: bool = False
    light: Light = field(default_factory=Light)
    room: Room = "study"
    rest: dict[str, float] = field(default_factory=dict)
    teeth: Teeth = field(default_factory=Teeth)


def _both(**changes: float) -> dict[str, float]:
    """Return equal local changes for the left and the right side."""
    return {side + name.replace("_", "-"): value for name, value in changes.items() for side in ("l-", "r-")}


def _traits(
    *, gender: float, age: float, origin: Colour, muscle: float = 0.5, weight: float = 0.5, proportions: float = 0.1
) -> dict[str, float]:
    """Return anny's phenotype; `origin` weighs African, Asian and Caucasian averages."""
    african, asian, caucasian = origin
    return {
        "gender": gender,
        "age": age,
        "muscle": muscle,
        "weight": weight,
        "height": 0.5,
        "proportions": proportions,
        "african": african,
        "asian": asian,
        "caucasian": caucasian,
    }


_CHESTNUT, _BLACK = HairColour(0.78, 0.42), HairColour(1.0, 0.1)
_SMILE = {"mouthSmile": 0.28, "mouthDimple": 0.12, "cheekSquint": 0.15}

ADA = Sitter(
    "ada",
    Identity(
        "ada",
        _traits(gender=0.97, age=0.66, origin=(0.12, 0.22, 0.66), muscle=0.45, weight=0.42, proportions=0.03),
        _both(eye_scale_incr=-0.05, cheek_bones_incr=0.2, cheek_volume_incr=0.12, ear_scale_incr=-0.3)
        | {"nose-scale-horiz-incr": -0.2, "nose-scale-vert-incr": -0.12, "chin-width-incr": -0.15}
        | {"mouth-lowerlip-volume-incr": 0.25, "mouth-upperlip-volume-incr": 0.2, "mouth-scale-horiz-incr": 0.1}
        | {"mouth-angles-up": 0.2, "forehead-scale-vert-incr": -0.35, "neck-scale-horiz-incr": -0.1},
    ),
    Skin((0.60, 0.375, 0.275), (0.47, 0.165, 0.15), blush=0.8, freckles=0.8, lip_shine=0.4, lines=0.08),
    iris=(0.085, 0.045, 0.020),
    hair=Hair("long", _CHESTNUT, hairline=27.0, length_m=0.28, volume_m=0.018, parting_m=0.026, count=60000),
    brows=Brows(HairColour(0.72, 0.45), thickness=0.68, arch=0.8, height_m=-0.0015, count=800),
    clothes=Clothes((0.020, 0.085, 0.095), neckline=0.45),
    description="A woman in her late twenties with long chestnut hair in a teal top, beside a window.",
    rest=_SMILE | {"eyeWide": 0.12},
)
BEN = Sitter(
    "ben",
    Identity(
        "ben",
        _traits(gender=0.04, age=0.72, origin=(0.62, 0.10, 0.28), muscle=0.6, proportions=0.08),
        _both(eye_scale_incr=-0.15, ear_scale_incr=-0.25, cheek_bones_incr=0.15)
        | {"chin-width-incr": 0.12, "mouth-angles-up": 0.15, "forehead-scale-vert-incr": -0.3}
        | {"nose-scale-horiz-incr": -0.1, "mouth-scale-horiz-incr": 0.1},
    ),
    Skin((0.225, 0.118, 0.072), (0.20, 0.088, 0.074), blush=0.3, freckles=0.0, shine=0.7, lines=0.3, shaved=0.6),
    iris=(0.024, 0.012, 0.006),
    hair=Hair("curls", _BLACK, hairline=31.0, temples=6.0, length_m=0.017, side_m=0.006, curl=1.0, count=42000),
    brows=Brows(_BLACK, thickness=1.25, arch=0.6, height_m=-0.0015),
    clothes=Clothes((0.15, 0.04, 0.025), neckline=0.0),
    description="A man in his thirties with short dark curls and a trimmed beard, in a rust-red sweater.",
    beard=Beard(_BLACK, length_m=0.0045, count=30000),
    light=Light(window=42.0, wall=6.0, behind=7.0),
    room="evening",
    rest=_SMILE | {"eyeWide": 0.22},
)
INES = Sitter(
    "ines",
    Identity(
        "ines",
        _traits(gender=0.95, age=0.84, origin=(0.10, 0.10, 0.80), muscle=0.42, weight=0.55, proportions=0.1),
        _both(eye_scale_incr=-0.2, cheek_bones_incr=0.25, eye_bag_incr=0.2, ear_scale_incr=-0.2)
        | {"nose-hump-incr": 0.2, "nose-scale-vert-incr": 0.05, "chin-width-incr": -0.05, "mouth-angles-up": 0.15}
        | {"forehead-scale-vert-incr": -0.25, "mouth-laugh-lines-out": 0.25, "neck-scale-horiz-incr": -0.05},
    ),
    Skin((0.46, 0.265, 0.175), (0.36, 0.125, 0.11), blush=0.5, freckles=0.25, lines=0.6),
    iris=(0.055, 0.042, 0.020),
    hair=Hair(
        "long",
        HairColour(0.92, 0.25, grey=0.22),
        hairline=25.0,
        parting_m=-0.024,
        length_m=0.185,
        volume_m=0.018,
        count=52000,
    ),
    brows=Brows(HairColour(0.92, 0.3, grey=0.1), thickness=0.85, arch=0.8, height_m=-0.001),
    clothes=Clothes((0.11, 0.055, 0.085), neckline=0.1, ribs=1.6),
    description="A woman in her fifties with a dark bob, greying, and glasses, in a plum sweater.",
    glasses=True,
    room="office",
    rest=_SMILE | {"eyeWide": 0.22},
)
KENJI = Sitter(
    "kenji",
    Identity(
        "kenji",
        _traits(gender=0.06, age=0.68, origin=(0.04, 0.86, 0.10), muscle=0.5, weight=0.42, proportions=0.05),
        _both(eye_scale_incr=-0.1, ear_scale_incr=-0.25, cheek_bones_incr=0.1)
        | {"forehead-scale-vert-incr": -0.3, "chin-width-incr": -0.1, "mouth-angles-up": 0.15}
        | {"nose-scale-horiz-incr": -0.05, "mouth-upperlip-volume-incr": 0.1},
    ),
    Skin((0.50, 0.305, 0.205), (0.38, 0.15, 0.125), blush=0.45, freckles=0.05, lines=0.15, shaved=0.25),
    iris=(0.024, 0.013, 0.007),
    hair=Hair(
        "short", _BLACK, hairline=25.0, length_m=0.048, side_m=0.011, parting_m=-0.062, volume_m=0.015, count=48000
    ),
    brows=Brows(_BLACK, thickness=1.1, arch=0.5),
    clothes=Clothes((0.10, 0.105, 0.115), neckline=0.0, ribs=1.4),
    description="A man in his late twenties with black hair combed aside, in a grey sweater.",
    room="study",
    rest=_SMILE | {"eyeWide": 0.22},
)
AMARA = Sitter(
    "amara",
    Identity(
        "amara",
        _traits(gender=0.96, age=0.63, origin=(0.86, 0.04, 0.10), muscle=0.45, weight=0.45, proportions=0.04),
        _both(eye_scale_incr=-0.1, ear_scale_incr=-0.3, cheek_bones_incr=0.25)
        | {"forehead-scale-vert-incr": -0.25, "chin-width-incr": -0.15, "mouth-angles-up": 0.2}
        | {"nose-scale-horiz-incr": -0.2, "neck-scale-horiz-incr": -0.1},
    ),
    Skin((0.125, 0.062, 0.038), (0.16, 0.052, 0.048), blush=0.25, freckles=0.0, shine=0.55, lip_shine=0.5, lines=0.05),
    iris=(0.016, 0.009, 0.005),
    hair=Hair("curls", _BLACK, hairline=29.0, temples=0.0, length_m=0.050, side_m=0.042, curl=1.7, count=46000),
    brows=Brows(_BLACK, thickness=0.9, arch=0.8, height_m=-0.001),
    clothes=Clothes((0.30, 0.17, 0.035), neckline=0.3),
    description="A woman in her early twenties with a crown of dark curls, in an ochre top.",
    light=Light(window=44.0, wall=9.0, behind=8.0, ceiling=9.0),
    room="kitchen",
    rest=_SMILE | {"eyeWide": 0.10},
)
VIKTOR = Sitter(
    "viktor",
    Identity(
        "viktor",
        _traits(gender=0.05, age=0.93, origin=(0.02, 0.06, 0.92), muscle=0.5, weight=0.55, proportions=0.2),
        _both(eye_scale_incr=-0.2, eye_bag_incr=0.25, ear_scale_incr=0.0, cheek_bones_incr=0.1)
        | {"nose-hump-incr": 0.15, "nose-volume-incr": 0.15, "mouth-laugh-lines-out": 0.3, "mouth-angles-up": 0.1}
        | {"forehead-scale-vert-incr": -0.1, "head-age-incr": 0.25},
    ),
    Skin((0.60, 0.375, 0.290), (0.42, 0.19, 0.165), blush=0.6, freckles=0.35, lines=1.0),
    iris=(0.075, 0.115, 0.15),
    hair=Hair(
        "short",
        HairColour(0.72, 0.0, grey=0.72),
        hairline=36.0,
        temples=12.0,
        length_m=0.030,
        side_m=0.010,
        parting_m=0.024,
        count=30000,
    ),
    brows=Brows(HairColour(0.78, 0.0, grey=0.35), thickness=1.25, arch=0.6),
    clothes=Clothes((0.022, 0.035, 0.075), neckline=0.0, ribs=2.0),
    description="A man in his sixties with fair, greying hair and a full beard, in a navy sweater.",
    beard=Beard(HairColour(0.70, 0.0, grey=0.72), length_m=0.013, count=34000),
    room="office",
    rest=_SMILE | {"eyeWide": 0.30},
)

SITTERS = (ADA, BEN, INES, KENJI, AMARA, VIKTOR)

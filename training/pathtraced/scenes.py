"""Random scenes for training pictures: one of many people, a pose, a light, and several mouths, all else fixed.

`Plan` holds what only other packages can make: the mouths of speech. The renderer draws the rest from the seed of a
shard, so that a shard that is lost is drawn again as it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.face_box import Landmarks, square_of
from training.heads import SKIN, Identity
from training.pathtraced.mesh import Floats, QuadHeads, rotation
from training.pathtraced.people import Beard, Brows, Clothes, Hair, HairColour, Light, Sitter, Skin, Teeth
from training.pathtraced.shots import CAMERA_M, VIEW_M

HELD_OUT = 6
"""Number of last people of a plan that are kept for evaluation."""
MOUTHS = 3
"""Pictures of a scene: at rest, and two mouths."""
_LAUGHS = 0.4
"""Share of the scenes whose last mouth laughs."""
_TURNED = (9.0, 5.0, 4.0)
"""Standard deviation of the head's yaw, pitch and roll, degrees."""
_TONES = (
    (0.66, 0.44, 0.34),
    (0.60, 0.375, 0.275),
    (0.50, 0.30, 0.205),
    (0.36, 0.20, 0.13),
    (0.225, 0.118, 0.072),
    (0.125, 0.062, 0.038),
)
_DARKEST_LIGHT, _DARKNESS = 1.0, 1.6
"""Factor on the lights for the palest skin, and how much it grows towards the darkest: one exposes for a face."""


@dataclass(frozen=True)
class Plan:
    """What scenes are drawn from.

    Attributes:
        actions: Names of the mouth's actions, ``[13]``; a name without a side stands for both.
        mouths: Mouths of speech, ``float32[K, 13]``.
        laughs: Laughs with parted lips, ``float32[L, 13]``.
        male: Whether each of the people is male, ``bool[N]``.
    """

    actions: tuple[str, ...]
    mouths: NDArray[np.float32]
    laughs: NDArray[np.float32]
    male: NDArray[np.bool_]

    def save(self, path: Path) -> None:
        """Write the plan as one compressed ``.npz``."""
        fields: dict[str, Any] = {key: np.asarray(value) for key, value in vars(self).items()}
        np.savez_compressed(path, **fields)

    @staticmethod
    def load(path: Path) -> Plan:
        """Read a plan written by `save`."""
        with np.load(path) as data:
            return Plan(tuple(str(name) for name in data["actions"]), data["mouths"], data["laughs"], data["male"])


@dataclass(frozen=True)
class Scene:
    """One frozen picture with several mouths.

    Attributes:
        head: Yaw, pitch and roll, degrees.
        light: Powers of the lights.
        mood: Strengths of the actions of the whole scene.
        mouths: ``float32[MOUTHS, 13]``, the first at rest.
        window: Centre x, y and half the side of the picture in the camera's view, -1..1, up.
        backdrop: Colours of the backdrop's top and bottom, blue first, 0..255, ``float64[2, 3]``.
    """

    head: tuple[float, float, float]
    light: Light
    mood: dict[str, float]
    mouths: NDArray[np.float32]
    window: tuple[float, float, float]
    backdrop: Floats


def random_sitter(name: str, rng: np.random.Generator, *, male: bool) -> Sitter:
    """Draw the paint, teeth, brows, beard and glasses of a person; hair and clothes are plain."""
    at = rng.uniform(0, len(_TONES) - 1)
    tone = np.array([np.interp(at, range(len(_TONES)), plane) for plane in np.transpose(_TONES)])
    tone *= rng.uniform(0.9, 1.1) * rng.normal(1, 0.025, 3)
    lip = tone * (0.76, 0.44, 0.48) * rng.uniform(0.85, 1.15, 3)
    if not male and rng.random() < 0.35:
        lip = 0.5 * lip + 0.5 * np.array((0.36, 0.045, 0.06)) * rng.uniform(0.7, 1.2)
    old = float(rng.beta(1.2, 1.8))
    grey = float(np.clip(rng.normal(1.6 * old - 0.6, 0.2), 0, 1))
    hair = HairColour(
        float(rng.uniform(0.3, 1.0) if at < 2.5 else rng.uniform(0.85, 1.0)), float(rng.uniform(0, 0.6)), grey
    )
    enamel = np.array((0.80, 0.755, 0.66)) * rng.uniform(0.75, 1.12) * rng.normal(1, 0.025, 3)
    strength = _DARKEST_LIGHT + (_DARKNESS - _DARKEST_LIGHT) * at / (len(_TONES) - 1)
    bearded = male and rng.random() < 0.35
    return Sitter(
        name,
        Identity(name, {}, {}),
        Skin(
            _colour(tone),
            _colour(lip),
            blush=float(rng.uniform(0.2, 0.9)),
            freckles=float(max(rng.uniform(-0.5, 1.0), 0)),
            shine=float(rng.uniform(0.3, 0.9)),
            lip_shine=float(rng.uniform(0.1, 0.7)),
            lines=old,
            shaved=float(rng.uniform(0.2, 0.8)) if male else 0.0,
        ),
        iris=((0.085, 0.045, 0.02), (0.075, 0.115, 0.15), (0.055, 0.06, 0.03), (0.02, 0.011, 0.006))[rng.integers(4)],
        hair=Hair("curls" if at > 4 else "short", hair),
        brows=Brows(hair, thickness=float(rng.uniform(0.65, 1.3)), arch=float(rng.uniform(0.5, 0.9))),
        clothes=Clothes(_colour(rng.uniform(0.02, 0.3, 3))),
        description="",
        beard=Beard(hair, float(rng.uniform(0.0015, 0.012)), int(rng.integers(12000, 30000))) if bearded else None,
        glasses=bool(rng.random() < 0.15),
        light=Light(window=30 * strength, wall=5 * strength, behind=4 * strength, ceiling=6 * strength),
        teeth=Teeth(_colour(enamel), float(rng.uniform(0, 0.0045))),
    )


def _colour(values: Floats) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in np.clip(values, 0.0, 0.95))
    return red, green, blue


def random_scene(heads: QuadHeads, sitter: Sitter, plan: Plan, rng: np.random.Generator) -> Scene:
    """Draw a scene of a person."""
    yaw, pitch, roll = (float(angle) for angle in rng.normal(0, _TURNED).clip(-22, 22))
    mouths = np.concatenate([np.zeros_like(plan.mouths[:1]), plan.mouths[rng.integers(len(plan.mouths), size=2)]])
    mood = {name: float(max(rng.uniform(-most, most), 0)) for name, most in _MOODS.items()}
    if rng.random() < _LAUGHS:
        mouths[-1] = plan.laughs[rng.integers(len(plan.laughs))]
        mood["mouthSmile"] = float(rng.uniform(0.15, 0.5))
    # A smile that lifted the whole mouth would lift the lower lip off its teeth's root.
    mood["mouthLowerDown"] = 0.3 * mood["mouthSmile"] * float(rng.random() < 0.5)
    light = sitter.light
    window, wall, behind, ceiling = (
        float(power) for power in np.multiply((light.window, light.wall, light.behind, light.ceiling), _powers(rng))
    )
    x, y, half = square_in_view(heads, sitter.id, (yaw, pitch, roll))
    half *= rng.uniform(0.95, 1.08)
    return Scene(
        (yaw, pitch, roll),
        Light(window, wall, behind, ceiling, exposure=float(rng.normal(light.exposure, 0.2))),
        mood,
        mouths.astype(np.float32),
        (float(x + half * rng.normal(0, 0.05)), float(y + half * rng.normal(0, 0.04)), float(half)),
        rng.uniform(20, 220, (2, 1)) + rng.normal(0, 12, (2, 3)),
    )


_MOODS = {"mouthSmile": 0.35, "browOuterUp": 0.4, "browInnerUp": 0.4, "eyeSquint": 0.4, "mouthFrown": 0.15}


def _powers(rng: np.random.Generator) -> Floats:
    """Return random factors on the four lights: the window may be weak, as on a dull day, and the room bright."""
    return np.asarray(np.exp(rng.normal((0.0, 0.2, 0.0, 0.3), (0.4, 0.7, 0.6, 0.6))))


def square_in_view(heads: QuadHeads, name: str, head: tuple[float, float, float]) -> tuple[float, float, float]:
    """Return the square of Lipstream's weights around a person's face: centre x, y and half its side, -1..1, up."""
    marks = Landmarks.of(heads.canonical, heads.parts == SKIN)
    jaw = heads.actions[heads.action_names.index("jawOpen")].astype(np.float64)
    points = marks.points(heads.posed(name, {}), jaw) @ rotation(head).T
    nearness = CAMERA_M / (CAMERA_M + points[:, 1:2])
    flat = points[:, (0, 2)] / (VIEW_M / 2) * nearness
    return square_of(points, flat, float(nearness[0, 0]) / (VIEW_M / 2))


def strengths(plan: Plan, mood: dict[str, float], mouth: NDArray[np.float32]) -> dict[str, float]:
    """Return the strengths of the actions of a mouth on top of a mood, each 1 at most."""
    spoken = dict(zip(plan.actions, mouth.tolist(), strict=True))
    return {name: min(mood.get(name, 0.0) + spoken.get(name, 0.0), 1.0) for name in {**mood, **spoken}}

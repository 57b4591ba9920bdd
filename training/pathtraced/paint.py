"""The skin's paint: colour and finish of every vertex, from its place on the average face."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.pathtraced.mesh import EARS, EYELIDS, INSIDE_MOUTH, LIPS, Floats, blob, smoothstep
from training.pathtraced.people import Skin

EYE_CENTRE = (0.0295, -0.0774, 0.0401)
"""Centre of the left eyeball of the average face, metres."""
_LIP_SEAM_Z = -0.0273
_FLESH = (0.30, 0.075, 0.065)


@dataclass(frozen=True)
class SkinPaint:
    """Paint of the skin's vertices.

    Attributes:
        colour: Linear red, green, blue, ``float64[V, 3]``.
        zones: Lips, inside of the mouth, beard: 0..1, ``float64[V, 3]``.
        finish: Roughness, freckles, dry skin: ``float64[V, 3]``.
        lines: Wrinkles of the brow, beside the eyes, and elsewhere: 0..1, ``float64[V, 3]``.
    """

    colour: Floats
    zones: Floats
    finish: Floats
    lines: Floats


def paint_skin(canonical: Floats, masks: Floats, skin: Skin) -> SkinPaint:
    """Paint a face.

    Args:
        canonical: Places of the vertices on the average face, ``float64[V, 3]``.
        masks: Paint masks of the mesh at the vertices, ``float64[V, 4]``.
    """
    place = _mirrored(canonical)
    lips = smoothstep(0.18, 0.80, masks[:, LIPS])
    wet = smoothstep(0.35, 0.65, masks[:, INSIDE_MOUTH])
    colour = np.tile(np.asarray(skin.tone), (len(canonical), 1))
    for weight, factor in _tints(canonical, place, masks, skin):
        colour *= 1 + weight[:, None] * (np.asarray(factor) - 1)
    seam = np.exp(-(((canonical[:, 2] - _LIP_SEAM_Z) / 0.0030) ** 2))
    lip_colour = np.asarray(skin.lip) * (1.06 - 0.22 * seam[:, None])
    colour += 0.92 * lips[:, None] * (lip_colour - colour)
    beard = beard_zone(canonical) * (1 - lips) * (1 - smoothstep(0.2, 0.5, masks[:, INSIDE_MOUTH]))
    # Roots that show through the skin make it greyer.
    colour *= 1 + (skin.shaved * beard)[:, None] * (np.array((0.66, 0.68, 0.74)) - 1)
    colour += wet[:, None] * (np.asarray(_FLESH) - colour)

    front = 1 - smoothstep(-0.02, 0.06, canonical[:, 1])
    oil = (
        blob(place, (0.0, -0.115, 0.020), (0.016, 0.05, 0.035))
        + 0.7 * blob(place, (0.0, -0.100, 0.100), (0.040, 0.06, 0.020))
        + 0.5 * blob(place, (0.040, -0.090, 0.012), (0.018, 0.04, 0.012))
        + 0.5 * blob(place, (0.0, -0.110, -0.060), (0.020, 0.04, 0.012))
    )
    rim = _lid_rim(canonical, place)
    rough = 0.50 - 0.16 * skin.shine * np.clip(oil, 0, 1) - lips * (0.10 + 0.12 * skin.lip_shine)
    rough += wet * (0.2 - rough)
    rough += 0.7 * rim * (0.18 - rough)
    freckles = skin.freckles * front * blob(place, (0.026, -0.1, 0.012), (0.03, 0.06, 0.018))
    return SkinPaint(
        colour=colour,
        zones=np.stack([lips, wet, beard], axis=1),
        finish=np.stack([rough, freckles, np.clip(1 - lips - wet, 0, 1)], axis=1),
        lines=skin.lines * _lines(place, lips),
    )


def beard_zone(canonical: Floats) -> Floats:
    """Return where a beard grows: cheeks below the cheekbone, lip, chin and jaw; 0..1, ``float64[V]``."""
    place = _mirrored(canonical)
    slope = canonical[:, 2] - 0.25 * np.maximum(place[:, 0] - 0.03, 0)
    jaw = smoothstep(0.002, -0.022, slope) * smoothstep(0.035, -0.02, canonical[:, 1])
    jaw *= smoothstep(-0.094, -0.074, canonical[:, 2])
    return jaw * (1 - blob(place, (0.042, -0.09, -0.012), (0.018, 0.05, 0.014)))


def _mirrored(canonical: Floats) -> Floats:
    place = canonical.copy()
    place[:, 0] = np.abs(place[:, 0])
    return place


def _lid_rim(canonical: Floats, place: Floats) -> Floats:
    """Return the rims of the lids, where wet skin meets the eyeball."""
    away = np.linalg.norm(place - EYE_CENTRE, axis=1)
    return smoothstep(0.0178, 0.0163, away) * (canonical[:, 1] < -0.075)


def _tints(
    canonical: Floats, place: Floats, masks: Floats, skin: Skin
) -> list[tuple[Floats, tuple[float, float, float]]]:
    """Return weights ``float64[V]`` with the factors of the colour at full weight."""
    front = 1 - smoothstep(-0.02, 0.06, canonical[:, 1])
    blood = (
        skin.blush * blob(place, (0.040, -0.088, 0.000), (0.024, 0.05, 0.022))
        + 0.85 * blob(place, (0.0, -0.118, 0.006), (0.017, 0.03, 0.012))
        + 0.35 * blob(place, (0.014, -0.112, -0.002), (0.008, 0.02, 0.009))
        + 0.35 * blob(place, (0.0, -0.11, -0.062), (0.022, 0.04, 0.014))
        + 0.25 * blob(place, (0.0, -0.11, -0.012), (0.022, 0.03, 0.008))
        + 0.30 * smoothstep(-0.08, -0.13, canonical[:, 2]) * blob(place, (0, -0.08, -0.19), (0.07, 0.08, 0.06))
        + 0.60 * masks[:, EARS]
    )
    rim = _lid_rim(canonical, place)
    away = np.linalg.norm(place - EYE_CENTRE, axis=1)
    lash_line = smoothstep(0.0174, 0.0160, away) * smoothstep(0.0385, 0.0405, place[:, 2]) * (canonical[:, 1] < -0.080)
    tired = 0.55 * (0.4 + skin.lines) * blob(place, (0.027, -0.098, 0.0235), (0.017, 0.03, 0.006))
    return [
        (front * smoothstep(0.05, 0.09, place[:, 2]), (1.02, 1.01, 0.93)),
        (np.clip(blood, 0, 1.2), (1.03, 0.74, 0.72)),
        (0.75 * masks[:, EYELIDS], (0.90, 0.76, 0.76)),
        (tired, (0.78, 0.70, 0.80)),
        (rim, (0.90, 0.58, 0.55)),
        (0.75 * lash_line, (0.34, 0.28, 0.26)),
        (blob(place, (0.0188, -0.0915, 0.0375), (0.0035, 0.006, 0.0035)), (0.90, 0.48, 0.44)),
    ]


def _lines(place: Floats, lips: Floats) -> Floats:
    """Return where wrinkles lie: brow, beside the eyes, under the eyes and beside the mouth, ``float64[V, 3]``."""
    brow = blob(place, (0.0, -0.10, 0.088), (0.045, 0.05, 0.020))
    beside = blob(place, (0.056, -0.078, 0.036), (0.012, 0.03, 0.016))
    under = blob(place, (0.028, -0.095, 0.020), (0.018, 0.03, 0.008))
    mouth = blob(place, (0.030, -0.10, -0.020), (0.010, 0.03, 0.022)) + blob(
        place, (0, -0.1, -0.012), (0.02, 0.04, 0.008)
    )
    return np.stack([brow, beside, np.clip(under + 0.8 * mouth, 0, 1) * (1 - lips)], axis=1)

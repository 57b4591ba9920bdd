"""From phones with times to the mouth's motion: targets, co-articulation, lips that truly close.

The actions are ARKit's, as in `training.heads`; strengths were set by eye on the average face, where a full ``jawOpen``
parts the lips by 34 mm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lipstream.realtime.lipsync.mouth_code import ACTIONS

Floats = NDArray[np.float32]

MOUTH_ACTIONS = ACTIONS
"""The actions that speech moves; the last five stand for a left and a right action each."""

PAIRED = MOUTH_ACTIONS[8:]
FRAME_RATE_HZ = 25
_STEP_HZ = 200
_SPREAD_S, _ROUNDING_SPREAD_S, _CLOSURE_SPREAD_S = 0.036, 0.060, 0.016
_AT = {name: i for i, name in enumerate(MOUTH_ACTIONS)}
_ROUNDING = [_AT["mouthFunnel"], _AT["mouthPucker"]]
_OPENING = [_AT[name] for name in ("mouthFunnel", "mouthUpperUp", "mouthLowerDown", "tongueOut")]


@dataclass(frozen=True)
class Phone:
    """One phone, in CMU's lower-case set (``pau`` for silence), and when it sounds."""

    name: str
    start_s: float
    end_s: float


def _shape(jaw: float, **others: float) -> tuple[tuple[str, float], ...]:
    return (("jawOpen", jaw), *((name, value) for name, value in others.items()))


_AA = _shape(0.44, mouthLowerDown=0.25, mouthUpperUp=0.15)
_AO = _shape(0.36, mouthFunnel=0.32, mouthPucker=0.12)
_EH = _shape(0.29, mouthStretch=0.15, mouthLowerDown=0.30, mouthUpperUp=0.20)
_IH = _shape(0.17, mouthStretch=0.15, mouthSmile=0.10, mouthLowerDown=0.28, mouthUpperUp=0.12)
_IY = _shape(0.10, mouthStretch=0.22, mouthSmile=0.28, mouthLowerDown=0.34, mouthUpperUp=0.16)
_UH = _shape(0.16, mouthPucker=0.35, mouthFunnel=0.25)
_UW = _shape(0.11, mouthPucker=0.68, mouthFunnel=0.18)
_T = _shape(0.09, mouthLowerDown=0.24, mouthUpperUp=0.10)
_S = _shape(0.05, mouthStretch=0.16, mouthLowerDown=0.38, mouthUpperUp=0.22)
_SH = _shape(0.06, mouthFunnel=0.52, mouthPucker=0.22, mouthLowerDown=0.2, mouthUpperUp=0.15)
_LIPS = _shape(0.05)
_F = _shape(0.07, mouthRollLower=0.42, mouthUpperUp=0.34)
_TH = _shape(0.13, tongueOut=0.14, mouthLowerDown=0.20, mouthUpperUp=0.10)
_K = _shape(0.17, mouthLowerDown=0.12)

# Shapes that a phone passes through, and how firmly it holds its own against its neighbours.
_VISEMES: dict[str, tuple[tuple[tuple[tuple[str, float], ...], ...], float]] = {
    "aa": ((_AA,), 1.0),
    "ae": ((_shape(0.38, mouthStretch=0.18, mouthLowerDown=0.32, mouthUpperUp=0.22),), 1.0),
    "ah": ((_shape(0.27, mouthLowerDown=0.15, mouthUpperUp=0.08),), 0.9),
    "ax": ((_shape(0.19, mouthLowerDown=0.12),), 0.6),
    "ao": ((_AO,), 1.0),
    "aw": ((_AA, _UW), 1.0),
    "ay": ((_AA, _IY), 1.0),
    "eh": ((_EH,), 1.0),
    "er": ((_shape(0.17, mouthFunnel=0.28, mouthPucker=0.10),), 0.9),
    "ey": ((_EH, _IY), 1.0),
    "ih": ((_IH,), 0.9),
    "iy": ((_IY,), 1.0),
    "ow": ((_AO, _UW), 1.0),
    "oy": ((_AO, _IY), 1.0),
    "uh": ((_UH,), 1.0),
    "uw": ((_UW,), 1.2),
    "w": ((_UW,), 1.5),
    "r": ((_shape(0.11, mouthFunnel=0.24, mouthPucker=0.28),), 0.8),
    "y": ((_IY,), 0.8),
    "l": ((_shape(0.17, mouthLowerDown=0.18, tongueOut=0.05),), 0.7),
    "p": ((_LIPS,), 1.6),
    "b": ((_LIPS,), 1.6),
    "m": ((_LIPS,), 1.6),
    "f": ((_F,), 1.8),
    "v": ((_F,), 1.6),
    "th": ((_TH,), 1.1),
    "dh": ((_TH,), 0.9),
    "t": ((_T,), 0.7),
    "d": ((_T,), 0.7),
    "n": ((_T,), 0.7),
    "s": ((_S,), 1.2),
    "z": ((_S,), 1.1),
    "sh": ((_SH,), 1.5),
    "zh": ((_SH,), 1.4),
    "ch": ((_SH,), 1.5),
    "jh": ((_SH,), 1.4),
    "k": ((_K,), 0.4),
    "g": ((_K,), 0.4),
    "ng": ((_K,), 0.5),
    "hh": ((_K,), 0.2),
    "pau": ((_shape(0.0),), 1.0),
}
CLOSED = frozenset("pbm")


def is_closed(phone: str) -> bool:
    """Return whether the lips touch in this phone."""
    return phone in CLOSED


def _kernel(spread_s: float) -> NDArray[np.float64]:
    reach = int(3 * spread_s * _STEP_HZ) + 1
    at = np.arange(-reach, reach + 1) / _STEP_HZ
    weights = np.exp(-0.5 * (at / spread_s) ** 2)
    return np.asarray(weights / weights.sum())


def _smooth(values: NDArray[np.float64], spread_s: float) -> NDArray[np.float64]:
    kernel = _kernel(spread_s)
    half = len(kernel) // 2
    padded = np.pad(values, [(half, half), (0, 0)], mode="edge")
    return np.stack([np.convolve(column, kernel, mode="valid") for column in padded.T], axis=1)


def mouth_curve(phones: list[Phone], seconds: float) -> Floats:
    """Return the mouth's motion for phones.

    Neighbours blend by weighted averages over a window (after the dominance functions of Cohen and Massaro, 1993),
    which is wider for rounding, as rounding starts early. Closures are applied afterwards, so that no neighbour can
    pull the lips apart.

    Args:
        phones: Phones in order; gaps count as silence.
        seconds: Length of the whole, s.

    Returns:
        ``float32[ceil(25 * seconds), 13]``, one row per frame (the pose at the instant of the frame, as for a camera),
        with the columns of `MOUTH_ACTIONS`.
    """
    steps = int(np.ceil(seconds * _STEP_HZ)) + 1
    target, weight = np.zeros((steps, len(MOUTH_ACTIONS))), np.full((steps, 1), 1.0)
    closed = np.zeros((steps, 1))
    for phone in phones:
        shapes, firmness = _VISEMES.get(phone.name, _VISEMES["ax"])
        edges = np.linspace(phone.start_s, phone.end_s, len(shapes) + 1)
        for shape, first, last in zip(shapes, edges, edges[1:], strict=False):
            span = slice(round(first * _STEP_HZ), max(round(last * _STEP_HZ), round(first * _STEP_HZ) + 1))
            target[span] = 0.0
            for name, value in shape:
                target[span, _AT[name]] = value
            weight[span] = firmness
        if is_closed(phone.name):
            # A closure lasts a little longer than it sounds, and long enough for one frame to show it.
            middle, half = (phone.start_s + phone.end_s) / 2, max(phone.end_s - phone.start_s, 0.055) / 2 + 0.006
            closed[max(round((middle - half) * _STEP_HZ), 0) : round((middle + half) * _STEP_HZ) + 1] = 1.0
    curve: NDArray[np.float64] = _smooth(target * weight, _SPREAD_S) / _smooth(weight, _SPREAD_S)
    wide = _smooth(target * weight, _ROUNDING_SPREAD_S) / _smooth(weight, _ROUNDING_SPREAD_S)
    curve[:, _ROUNDING] = wide[:, _ROUNDING]
    shut = np.clip(1.35 * _smooth(closed, _CLOSURE_SPREAD_S)[:, 0], 0.0, 1.0)
    curve[:, _OPENING] *= 1.0 - shut[:, None]
    curve[:, _AT["mouthClose"]] = shut * curve[:, _AT["jawOpen"]]
    curve[:, _AT["mouthPress"]] += 0.35 * shut
    curve[:, _AT["mouthRollLower"]] += 0.10 * shut
    frames = int(np.ceil(seconds * FRAME_RATE_HZ))
    sampled: Floats = curve[(np.arange(frames) * _STEP_HZ) // FRAME_RATE_HZ].astype(np.float32)
    return sampled


def spread_actions(mouth: Floats, names: tuple[str, ...]) -> Floats:
    """Return a mouth as strengths of a head's own actions.

    Args:
        mouth: ``float32[..., 13]`` as in `MOUTH_ACTIONS`.
        names: The head's action names, ``[A]``.

    Returns:
        ``float32[..., A]``.
    """
    table = np.zeros((len(MOUTH_ACTIONS), len(names)), np.float32)
    for row, action in enumerate(MOUTH_ACTIONS):
        for name in (action + "Left", action + "Right") if action in PAIRED else (action,):
            table[row, names.index(name)] = 1.0
    spread: Floats = mouth @ table
    return spread

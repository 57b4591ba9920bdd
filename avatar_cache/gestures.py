"""What a photograph does beside its idle motion: it listens, speaks, greets, nods and thinks. Pure arithmetic.

Each gesture is the idle motion with something added, so that both go on into each other: a motion begins and ends in
the idle pose, and what repeats sways around it. Speaking has levels of stress, which a session chooses by the sound,
and no blinks of its own: a session adds them where phrases end.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from lipstream.avatar_cache.idle_motion import Moment, moments
from lipstream.avatar_cache.motion_graph import LISTENING, SPEAKING, USUAL_LIVELINESS

GREET, NOD, THINK = "greet", "nod", "think"
GESTURES = (LISTENING, SPEAKING, GREET, NOD, THINK)
STRESS_LEVELS = 4
"""Levels of a clip that speaks: without stress, and three steps of it."""

_STATE_FRAMES = {LISTENING: 100, SPEAKING: 70}
_MOTION_FRAMES = {GREET: 64, NOD: 40, THINK: 80}
_NODS = 2
_STRESS_NOD, _STRESS_BROWS = 2.2, 0.8
"""How far the head goes down and the brows go up with full stress."""
Curve = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Added:
    """What a gesture adds to the idle motion, a number for each picture; the eyes' glance is replaced by a share."""

    nod: Curve | float = 0.0
    turn: Curve | float = 0.0
    tilt: Curve | float = 0.0
    brows: Curve | float = 0.0
    gaze: Curve | float = 0.0
    glance: Curve | float = 0.0


def gesture(name: str, liveliness: float = USUAL_LIVELINESS) -> list[Moment]:
    """Return the motion of each picture of a gesture; of one that speaks, without stress.

    Args:
        name: One of :data:`GESTURES`. The first two repeat.
        liveliness: How far it goes beyond the idle motion, 0 (not at all) to 1.
    """
    drawn = {LISTENING: _listening, SPEAKING: _speaking, GREET: _greet, NOD: _nod, THINK: _think}[name]
    if frames := _STATE_FRAMES.get(name):
        idle = moments(frames)
        if name == SPEAKING:
            idle = [replace(moment, shut=0.0) for moment in idle]
        return _moved(idle, drawn(2 * np.pi * np.arange(frames) / frames), liveliness)
    frames = _MOTION_FRAMES[name]
    return _moved(moments()[:frames], drawn(np.arange(frames) / (frames - 1)), liveliness)


def levels_of(name: str) -> int:
    """Return how many levels of stress a gesture has, 1 for none."""
    return STRESS_LEVELS if name == SPEAKING else 1


def gesture_levels(name: str, liveliness: float = USUAL_LIVELINESS) -> list[Moment]:
    """Return the motion of each picture of a gesture, of one that speaks once for each level of stress.

    From the usual liveliness on, the levels go as far as they do at all: how much stress is shown a session decides.

    Args:
        name: As of :func:`gesture`.
        liveliness: As of :func:`gesture`.
    """
    shown, full = gesture(name, liveliness), min(1.0, liveliness / USUAL_LIVELINESS)
    shares = [full * level / (STRESS_LEVELS - 1) for level in range(levels_of(name))]
    return [
        replace(moment, nod=moment.nod + _STRESS_NOD * share, brows=moment.brows + _STRESS_BROWS * share)
        for share in shares
        for moment in shown
    ]


def _speaking(phase: Curve) -> _Added:
    """A head that turns and tilts in the rhythm of phrases; the eyes meet the viewer."""
    return _Added(
        nod=0.5 * np.sin(2 * phase + 0.7) + 0.2 * np.sin(3 * phase + 2.0),
        turn=0.5 * np.sin(phase + 1.1) + 0.2 * np.sin(2 * phase + 4.0),
        tilt=0.8 * np.sin(phase + 3.0) + 0.3 * np.sin(2 * phase + 0.4),
        gaze=1.0,
    )


def _listening(phase: Curve) -> _Added:
    """A head a little to one side, with small nods now and then; the eyes meet the viewer."""
    nods = np.maximum(0, np.sin(2 * phase)) ** 2 * np.sin(6 * phase) * 0.9
    return _Added(nod=nods, tilt=1.1, brows=0.25, gaze=1.0)


def _greet(at: Curve) -> _Added:
    """Brows and chin go up, then the head bows and comes back."""
    up = _bump(at, 0.0, 0.42)
    return _Added(
        nod=-3.0 * up + 8.0 * _bump(at, 0.3, 0.95), tilt=2.5 * _bump(at, 0.05, 0.9), brows=1.3 * up, gaze=_hold(at)
    )


def _nod(at: Curve) -> _Added:
    return _Added(nod=6.0 * _bump(at, 0.0, 1.0) * np.sin(np.pi * _NODS * at) ** 2)


def _think(at: Curve) -> _Added:
    """A look to one side and back, with the head following the eyes, which wander meanwhile."""
    away = np.minimum(1, 1.6 * _bump(at, 0.0, 1.0))
    glance = -1.0 + 0.75 * _jump(at, 0.4) - 0.6 * _jump(at, 0.62)
    return _Added(nod=-2.0 * away, turn=-2.4 * away, tilt=3.0 * away, brows=0.5 * away, gaze=away, glance=glance)


def _jump(at: Curve, when: float) -> Curve:
    """0 before a share of the time and 1 after it, within a few pictures, as eyes go from one point to another."""
    return np.asarray(0.5 + 0.5 * np.tanh(50 * (at - when)))


def _bump(at: Curve, start: float, end: float) -> Curve:
    """0 up to one share of the time and from another one on, 1 in the middle between, and slow at all three."""
    return np.asarray(np.sin(np.pi * np.clip((at - start) / (end - start), 0, 1)) ** 2)


def _hold(at: Curve) -> Curve:
    """0 at both ends, 1 through most of the time between."""
    return np.minimum(1, 3 * _bump(at, 0.0, 1.0))


def _moved(idle: list[Moment], added: _Added, liveliness: float) -> list[Moment]:
    """Return moments with a share of what is added; glances go to ``glance`` by ``gaze`` and the share."""
    count = len(idle)
    nod, turn, tilt, brows, gaze = (
        (liveliness * np.broadcast_to(curve, count)).tolist()
        for curve in (added.nod, added.turn, added.tilt, added.brows, added.gaze)
    )
    glance = np.broadcast_to(added.glance, count).tolist()
    return [
        replace(
            moment,
            nod=moment.nod + nod[at],
            turn=moment.turn + turn[at],
            tilt=moment.tilt + tilt[at],
            brows=moment.brows + brows[at],
            gaze=moment.gaze + gaze[at] * (glance[at] - moment.gaze),
        )
        for at, moment in enumerate(idle)
    ]

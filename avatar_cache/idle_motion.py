"""Idle motion for a photograph: breath, sway, blinks and glances, as a seamless loop. Pure arithmetic.

Every picture samples the photograph at displaced positions. The displacement is a sum of smooth fields (the head
turns, nods, tilts and drifts, the chest breathes), each times a periodic curve; lids are stretched down over the eyes.
The mouth only moves with the head, so speech can be painted as usual.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from lipstream.avatar_cache.eye_fitting import settle_eye
from lipstream.avatar_cache.photo import Bgr
from lipstream.realtime.timeline import FRAME_RATE_HZ

Floats = npt.NDArray[np.float32]

LOOP_FRAMES = 8 * FRAME_RATE_HZ
_BLINKS_S = (1.7, 5.2)
_FALL_S, _HOLD_S, _RISE_S = 0.09, 0.04, 0.19
"""Durations of a blink: lids fall faster than they rise."""

# Peaks of each motion: degrees, or shares of the face's side.
_TURN_DEGREES, _NOD_DEGREES, _TILT_DEGREES, _DRIFT, _BREATH = 1.8, 0.9, 0.7, 0.006, 0.006
_GAZE = 0.05
"""Largest shift of the iris, as a share of the eye's width."""
_NOSE_DEPTH = 0.75
"""Distance of the nose from the head's axis, as a share of the face's side: a turn shifts the nose by its arc."""
_EYES = ((36, slice(17, 22)), (42, slice(22, 27)))
"""First landmark of each eye (corner, two of the upper lid, corner, two of the lower lid), and its brow's landmarks."""


@dataclass(frozen=True, slots=True)
class Moment:
    """The motion of one picture; all curves have the period :data:`LOOP_FRAMES`.

    Attributes:
        turn: Turn to the picture's right, -1..1.
        nod: Nod downward, -1..1.
        tilt: Clockwise tilt, -1..1.
        drift: Shift to the right, -1..1.
        breath: Breathing in, -1..1.
        gaze: Glance to the right, -1..1.
        shut: How far the lids are shut, 0..1.
    """

    turn: float
    nod: float
    tilt: float
    drift: float
    breath: float
    gaze: float
    shut: float


def moments() -> list[Moment]:
    """Return the motion of each picture of the loop."""
    phase = 2 * np.pi * np.arange(LOOP_FRAMES) / LOOP_FRAMES

    def wave(*parts: tuple[int, float, float]) -> npt.NDArray[np.float64]:
        curve = np.sum([weight * np.sin(cycles * phase + offset) for cycles, weight, offset in parts], axis=0)
        return np.asarray(curve / np.abs(curve).max())

    curves = (
        wave((1, 1.0, 0.3), (2, 0.6, 2.1), (3, 0.3, 4.0)),
        wave((1, 0.8, 1.9), (2, 0.7, 5.0), (3, 0.4, 0.4)),
        wave((1, 1.0, 4.4), (2, 0.5, 0.9)),
        wave((1, 1.0, 2.7), (2, 0.4, 3.3)),
        wave((2, 1.0, 0.0), (4, 0.12, 1.2)),
        # Eyes rest and then jump: a steep curve, not a wave.
        np.tanh(3 * wave((1, 1.0, 5.6), (2, 0.9, 1.0), (3, 0.6, 2.5))),
        _lids(),
    )
    return [Moment(*(float(curve[i]) for curve in curves)) for i in range(LOOP_FRAMES)]


def _lids() -> npt.NDArray[np.float64]:
    shut = np.zeros(LOOP_FRAMES)
    for at in _BLINKS_S:
        age = np.arange(LOOP_FRAMES) / FRAME_RATE_HZ - at
        rise = np.clip((_FALL_S + _HOLD_S + _RISE_S - age) / _RISE_S, 0, 1)
        shut = np.maximum(shut, np.minimum(np.clip(age / _FALL_S, 0, 1), rise))
    return shut * shut * (3 - 2 * shut)


class LivingPhoto:
    """A photograph and its fields of motion.

    Args:
        picture: ``uint8[h, w, 3]``.
        centre: Centre of the face box, px.
        side: Side of the face box, px.
        points: Landmarks, ``float32[68, 2]``; ``None`` for eyes that stay open.
    """

    def __init__(self, picture: Bgr, centre: tuple[float, float], side: float, points: Floats | None) -> None:
        self._picture, self._centre, self._side = picture, centre, side
        height, width = picture.shape[:2]
        self._y, self._x = np.mgrid[:height, :width].astype(np.float32)
        self._fields = _fields((self._x - centre[0]) / side, (self._y - centre[1]) / side)
        luma = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8)
        self._eyes = (
            []
            if points is None
            else [_Eye(settle_eye(luma, points[first : first + 6]), points[brow]) for first, brow in _EYES]
        )

    def middles(self) -> Iterator[tuple[float, float]]:
        """Yield the centre of each picture's face box, px."""
        column, row = (int(np.clip(v, 0, size - 1)) for v, size in zip(self._centre, self._x.shape[::-1], strict=True))
        here = [field[row : row + 1, column : column + 1] for field in self._fields]
        for moment in moments():
            across, down = self._displacement(here, moment)[0, 0].tolist()
            yield self._centre[0] + across, self._centre[1] + down

    def pictures(self) -> Iterator[Bgr]:
        """Yield the pictures of the loop."""
        for moment in moments():
            moved = self._displacement(self._fields, moment)
            x, y = self._x - moved[..., 0], self._y - moved[..., 1]
            eyes = [(eye, eye.window(0.05 * self._side)) for eye in self._eyes]
            for eye, near in eyes:
                eye.look(x[near], y[near], moment.gaze)
            shown = _lookup(self._picture, x, y)
            for eye, near in eyes:
                if moment.shut > 0:
                    skin, cover = eye.lid(x[near], y[near], moment.shut)
                    shown[near] += cover[..., None] * (_lookup(self._picture, x[near], skin) - shown[near])
            yield np.clip(np.rint(shown), 0, 255).astype(np.uint8)

    def _displacement(self, fields: list[Floats], moment: Moment) -> Floats:
        """Return the displacement of the content, ``float32[h, w, 2]`` px, at the positions of the fields."""
        weights = (
            np.radians(_TURN_DEGREES) * _NOSE_DEPTH * moment.turn,
            np.radians(_NOD_DEGREES) * _NOSE_DEPTH * moment.nod,
            np.radians(_TILT_DEGREES) * moment.tilt,
            _DRIFT * moment.drift,
            _BREATH * moment.breath,
        )
        total: Floats = sum(
            (field * np.float32(weight * self._side) for field, weight in zip(fields, weights, strict=True)),
            np.zeros_like(fields[0]),
        )
        return total


def _lookup(picture: Bgr, x: Floats, y: Floats) -> Floats:
    shown = cv2.remap(picture, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(shown, np.float32)


def _fields(u: Floats, v: Floats) -> list[Floats]:
    """Return the fields of turn, nod, tilt, drift and breath, each ``float32[h, w, 2]``, in sides of the face box.

    Args:
        u: Horizontal position relative to the face box's centre, in sides of the box.
        v: Vertical position relative to the face box's centre, in sides of the box.
    """
    head = _fall(np.hypot(u / 0.95, (v + 0.15) / 1.25), 0.75, 1.75)
    # A turn moves the nose most, as it stands out, and the rim of the face hardly at all.
    relief = np.exp(-((u / 0.42) ** 2) - ((v + 0.05) / 0.55) ** 2).astype(np.float32)
    chest = 1 - _fall(v, 0.45, 1.1)
    none = np.zeros_like(u)
    return [
        np.dstack([relief + 0.35 * head, none]),
        np.dstack([none, relief + 0.35 * head]),
        np.dstack([-(v - 0.9) * head, u * head]),
        np.dstack([head, none]),
        np.dstack([none, -(0.5 * head + chest * 1.0)]),
    ]


def _fall(value: Floats, start: float, end: float) -> Floats:
    """Return 1 up to ``start``, 0 from ``end`` on, with a smooth step between."""
    ramp = np.clip((end - value) / np.float32(end - start), 0, 1)
    smooth: Floats = (ramp * ramp * (3 - 2 * ramp)).astype(np.float32)
    return smooth


class _Eye:
    """One eye of the photograph: its lids as curves from corner to corner."""

    def __init__(self, outline: Floats, brow: Floats) -> None:
        self._left, self._width = float(outline[0, 0]), max(float(outline[3, 0] - outline[0, 0]), 1.0)
        self._top, self._low = outline[[0, 1, 2, 3]], outline[[0, 5, 4, 3]]
        self._bottom = float(self._low[:, 1].max())
        self._height = max(float(self._low[1:3, 1].mean() - self._top[1:3, 1].mean()), 1.0)
        lid = float(self._top[1:3, 1].mean())
        self._crease = min(0.35 * lid + 0.65 * float(brow[:, 1].mean()), lid - 0.2 * self._width)

    def window(self, margin: float) -> tuple[slice, slice]:
        """Return the rows and columns that the eye needs while the head moves within ``margin``."""
        rows = slice(max(int(self._crease - margin), 0), int(self._bottom + self._height + margin) + 1)
        reach = 0.2 * self._width + margin
        return rows, slice(max(int(self._left - reach), 0), int(self._left + self._width + reach) + 1)

    def look(self, x: Floats, y: Floats, gaze: float) -> None:
        """Move the iris sideways, in place; the rims of the lids and the corners stay."""
        across = (x - self._left) / self._width
        middle = (self._curve(self._top, x) + self._curve(self._low, x)) / 2
        rim = (np.abs(y - middle) / np.float32(self._height)).astype(np.float32)
        x -= np.float32(gaze * _GAZE * self._width) * _fall(np.abs(across - 0.5), 0.15, 0.5) * _fall(rim, 0.25, 0.7)

    def lid(self, x: Floats, y: Floats, shut: float) -> tuple[Floats, Floats]:
        """Return the source rows of the stretched upper lid, and its coverage of each pixel, 0..1."""
        across = (x - self._left) / self._width
        top, low = self._curve(self._top, x), self._curve(self._low, x)
        fallen = np.float32(shut) * _fall(np.abs(across - 0.5), 0.42, 0.62) * np.maximum(low - top, 0)
        rim = np.maximum(top + fallen, np.float32(self._crease + 1))
        skin: Floats = self._crease + (y - self._crease) * (top - self._crease) / (rim - self._crease)
        # The pixels at the rim are covered in part.
        cover: Floats = np.clip(rim - y + 0.5, 0, 1) * np.clip(fallen, 0, 1) * (y > self._crease)
        return skin, cover

    def _curve(self, points: Floats, x: Floats) -> Floats:
        """Return the lid's row at each pixel's column: the parabola through its four points."""
        centre = self._left + self._width / 2
        a, b, c = (np.float32(v) for v in np.polyfit((points[:, 0] - centre) / self._width, points[:, 1], 2))
        across = np.clip((x - np.float32(centre)) / np.float32(self._width), -0.6, 0.6)
        curve: Floats = (a * across + b) * across + c
        return curve

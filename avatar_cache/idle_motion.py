"""Idle motion for a photograph: breath, sway, blinks and glances, as a seamless loop. Pure arithmetic.

Every picture samples the photograph at displaced positions. The displacement is a sum of smooth fields (the head
turns, nods, tilts and drifts, the chest breathes), each times a periodic curve. Eyes are shut in the photograph first.
The mouth only moves with the head, so speech can be painted as usual.
"""

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass

import cv2
import numpy as np
import numpy.typing as npt

from lipstream.avatar_cache.eye_fitting import EyeShape, fit_eye
from lipstream.avatar_cache.eyelids import Eyelid, Window
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
_REACH = 0.05
"""Farthest that the motions move an eye, as a share of the face's side."""
_NOSE_DEPTH = 0.75
"""Distance of the nose from the head's axis, as a share of the face's side: a turn shifts the nose by its arc."""
_EYES = (36, 42)
"""First landmark of each eye: corner, two of the upper lid, corner, two of the lower lid."""
_BROWS = (slice(17, 22), slice(22, 27))
"""Landmarks of each brow."""
_LIDS = ((37, 38), (43, 44))
"""Landmarks of each upper lid, below its brow."""
_BROW = 0.032
"""Farthest that brows go up, as a share of the face's side."""


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
        brows: How far the brows are raised, 0..1.
    """

    turn: float
    nod: float
    tilt: float
    drift: float
    breath: float
    gaze: float
    shut: float
    brows: float = 0.0

    def mixed(self, other: "Moment", share: float) -> "Moment":
        """Return the moment between this one, at share 0, and another, at share 1."""
        return Moment(*(a + share * (b - a) for a, b in zip(astuple(self), astuple(other), strict=True)))


def moments(frames: int = LOOP_FRAMES) -> list[Moment]:
    """Return the motion of each picture of a loop.

    Args:
        frames: Length of the loop; in a shorter one the head sways about as quickly, in fewer waves.
    """
    phase = 2 * np.pi * np.arange(frames) / frames

    def wave(*parts: tuple[int, float, float]) -> npt.NDArray[np.float64]:
        fewer = [(max(1, round(cycles * frames / LOOP_FRAMES)), weight, offset) for cycles, weight, offset in parts]
        curve = np.sum([weight * np.sin(cycles * phase + offset) for cycles, weight, offset in fewer], axis=0)
        return np.asarray(curve / np.abs(curve).max())

    curves = (
        wave((1, 1.0, 0.3), (2, 0.6, 2.1), (3, 0.3, 4.0)),
        wave((1, 0.8, 1.9), (2, 0.7, 5.0), (3, 0.4, 0.4)),
        wave((1, 1.0, 4.4), (2, 0.5, 0.9)),
        wave((1, 1.0, 2.7), (2, 0.4, 3.3)),
        wave((2, 1.0, 0.0), (4, 0.12, 1.2)),
        # Eyes rest and then jump: a steep curve, not a wave.
        np.tanh(3 * wave((1, 1.0, 5.6), (2, 0.9, 1.0), (3, 0.6, 2.5))),
        _lids(frames),
    )
    return [Moment(*(float(curve[i]) for curve in curves)) for i in range(frames)]


def _lids(frames: int) -> npt.NDArray[np.float64]:
    at_s = np.arange(frames) / FRAME_RATE_HZ
    return np.asarray(np.max([_blink(at_s - begin_s) for begin_s in _BLINKS_S], axis=0))


def _blink(age_s: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return how far the lids are shut some time after a blink began, 0..1."""
    rise = np.clip((_FALL_S + _HOLD_S + _RISE_S - age_s) / _RISE_S, 0, 1)
    shut = np.minimum(np.clip(age_s / _FALL_S, 0, 1), rise)
    return np.asarray(shut * shut * (3 - 2 * shut))


def blink() -> list[float]:
    """Return how far the lids are shut in each picture of a quick blink, between those with open eyes."""
    shut = _blink(np.arange(LOOP_FRAMES) / FRAME_RATE_HZ).tolist()
    return [share for share in shut if 0 < share < 1]  # lids are shut for a picture, not for two


class LivingPhoto:
    """A photograph and its fields of motion.

    Args:
        picture: ``uint8[h, w, 3]``; with ``behind`` ``uint8[h, w, 4]``, whose colours are multiplied by alpha.
        centre: Centre of the face box, px.
        side: Side of the face box, px.
        points: Landmarks, ``float32[68, 2]``; ``None`` for eyes that stay open.
        eyes_shut: The same face with its eyes shut, laid over ``picture``; ``None`` to draw the lids.
        lid_states: Pictures that differ from ``picture`` in their lids alone, each with the share by which these are
            shut, above 0 to 1 and rising; with them no lid is drawn.
        motion: The motion of each picture; default: that of a loop at rest.
        behind: What is seen behind the person and stands still, ``uint8[h, w, 3]``; ``None`` if it is in ``picture``.
    """

    def __init__(
        self,
        picture: Bgr,
        centre: tuple[float, float],
        side: float,
        points: Floats | None,
        eyes_shut: Bgr | None = None,
        lid_states: Sequence[tuple[float, Bgr]] = (),
        motion: Sequence[Moment] = (),
        behind: Bgr | None = None,
    ) -> None:
        self._moments, self._behind, self._points = motion or moments(), behind, points
        self._picture, self._centre, self._side = picture, centre, side
        self._lid_states = [(0.0, picture), *lid_states]
        height, width = picture.shape[:2]
        self._y, self._x = np.mgrid[:height, :width].astype(np.float32)
        self._fields = self._fields_at(self._x, self._y)
        seen = np.ascontiguousarray(picture[..., :3])
        self._eyes = [] if points is None else [fit_eye(seen, points[first : first + 6]) for first in _EYES]
        self._lids = [Eyelid(seen, eye, eyes_shut) for eye in self._eyes]

    def middles(self) -> Iterator[tuple[float, float]]:
        """Yield the centre of each picture's face box, px."""
        column, row = (int(np.clip(v, 0, size - 1)) for v, size in zip(self._centre, self._x.shape[::-1], strict=True))
        here = [field[row : row + 1, column : column + 1] for field in self._fields]
        for moment in self._moments:
            across, down = self._displacement(here, moment)[0, 0].tolist()
            yield self._centre[0] + across, self._centre[1] + down

    @property
    def landmarks(self) -> Floats:
        """Landmarks of the face in the photograph, ``float32[68, 2]`` px; with no rows if none are known."""
        return np.zeros((0, 2), np.float32) if self._points is None else self._points

    def moved(self, points: Floats, moment: Moment) -> Floats:
        """Return where some points of the photograph are at a moment, ``float32[N, 2]`` px."""
        x, y = (points[None, :, axis].astype(np.float32) for axis in (0, 1))
        return np.asarray(points + self._displacement(self._fields_at(x, y), moment)[0], np.float32)

    def pictures(self) -> Iterator[Bgr]:
        """Yield the pictures of the loop."""
        return map(self.picture, self._moments)

    def picture(self, moment: Moment) -> Bgr:
        """Return the picture of a moment."""
        moved = self._displacement(self._fields, moment)
        x, y = self._x - moved[..., 0], self._y - moved[..., 1]
        photograph = self._blinking(moment.shut) if moment.shut > 0 else self._picture
        for eye, lid in zip(self._eyes, self._lids, strict=True):
            near = self._moved_window(lid.window)
            _look(eye, x[near], y[near], moment.gaze * (1 - moment.shut))
        shown = _lookup(photograph, x, y)
        if self._behind is not None:
            shown = shown[..., :3] + self._behind * np.float32(1 / 255) * (255 - shown[..., 3:])
        return np.clip(np.rint(shown), 0, 255).astype(np.uint8)

    def _blinking(self, shut: float) -> Bgr:
        """Return the photograph with its lids shut by a share."""
        if len(self._lid_states) > 1:
            at = float(np.interp(shut, [share for share, _ in self._lid_states], np.arange(len(self._lid_states))))
            low = min(int(at), len(self._lid_states) - 2)
            (_, before), (_, after) = self._lid_states[low : low + 2]
            return np.asarray(cv2.addWeighted(before, low + 1 - at, after, at - low, 0), np.uint8)
        photograph = self._picture.copy()
        for lid in self._lids:
            lid.shut(photograph, shut)
        return photograph

    def _moved_window(self, window: Window) -> Window:
        """Return the part of a picture in which a window of the photograph may lie while the head moves."""
        margin = int(_REACH * self._side) + 1
        return tuple(slice(max(part.start - margin, 0), part.stop + margin) for part in window)  # type: ignore[return-value]

    def _fields_at(self, x: Floats, y: Floats) -> list[Floats]:
        """Return the fields of motion at some positions, px, with that of the brows, which needs landmarks."""
        u: Floats = ((x - self._centre[0]) / self._side).astype(np.float32)
        v: Floats = ((y - self._centre[1]) / self._side).astype(np.float32)
        fields = _fields(u, v)
        return fields if self._points is None else [*fields, _brow_field(x, y, self._points)]

    def _displacement(self, fields: list[Floats], moment: Moment) -> Floats:
        """Return the displacement of the content, ``float32[h, w, 2]`` px, at the positions of the fields."""
        weights = (
            np.radians(_TURN_DEGREES) * _NOSE_DEPTH * moment.turn,
            np.radians(_NOD_DEGREES) * _NOSE_DEPTH * moment.nod,
            np.radians(_TILT_DEGREES) * moment.tilt,
            _DRIFT * moment.drift,
            _BREATH * moment.breath,
            _BROW * moment.brows,
        )
        total: Floats = np.zeros_like(fields[0])
        for field, weight in zip(fields, weights, strict=False):  # without landmarks there is no field of brows
            total += field * np.float32(weight * self._side)
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


def _brow_field(x: Floats, y: Floats, points: Floats) -> Floats:
    """Return the field of raised brows, ``float32[h, w, 2]``: the skin from the upper lids to the forehead goes up."""
    raised = np.zeros_like(x)
    for brow, lid in zip(_BROWS, _LIDS, strict=True):
        middle, half = points[brow].mean(axis=0), np.ptp(points[brow, 0]) / 2
        slope, offset = np.polyfit(points[brow, 0], points[brow, 1], 1)
        above = (slope * x + offset - y) / (offset + slope * middle[0] - points[lid, 1].mean())  # -1 above, lid at 1
        across = _fall(np.abs(x - middle[0]) / np.float32(half), 0.7, 1.6)
        raised += across * _fall(above.astype(np.float32), 0.25, 1.0) * _fall(-above.astype(np.float32), 0.6, 2.6)
    return np.dstack([np.zeros_like(x), -np.minimum(raised, 1)]).astype(np.float32)


def _fall(value: Floats, start: float, end: float) -> Floats:
    """Return 1 up to ``start``, 0 from ``end`` on, with a smooth step between."""
    ramp = np.clip((end - value) / np.float32(end - start), 0, 1)
    smooth: Floats = (ramp * ramp * (3 - 2 * ramp)).astype(np.float32)
    return smooth


def _look(shape: EyeShape, x: Floats, y: Floats, gaze: float) -> None:
    """Move an iris sideways, in place; the rims of the lids and the corners stay.

    Args:
        x: Columns of the photograph that are looked up, px.
        y: Rows of the photograph that are looked up, px.
        gaze: Glance to the right, -1..1.
    """
    top, low = shape.rims(x)
    across = ((x - shape.x) / (2 * shape.half)).astype(np.float32)
    rim = (np.abs(y - (top + low) / 2) / (shape.up + shape.low)).astype(np.float32)
    x -= np.float32(gaze * _GAZE * 2 * shape.half) * _fall(np.abs(across), 0.15, 0.5) * _fall(rim, 0.25, 0.7)

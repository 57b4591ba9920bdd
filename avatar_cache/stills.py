"""Stills of a built-in person, from which pictures of any size are composed: the person, the eyes, and the room.

A folder of stills holds WebP files: ``open``, the person with open eyes, with alpha; ``lids030`` and so on, the eyes at
each share of :data:`LIDS`; ``room``. ``stills.json`` says where the face is.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from lipstream.avatar_cache.photo import Bgr
from lipstream.realtime.errors import AvatarError

Floats = npt.NDArray[np.float32]

LIDS = (0.3, 0.55, 0.8, 1.0)
"""How far the lids are shut in the pictures of the eyes; open is the still itself."""
EYES_WINDOW = (0.0, 0.19, 0.32, 0.13)
"""Centre x, y and half width, half height of the pictures of the eyes, -1..1 of a still's upper square, y up."""

_QUALITY = 96
_FACTS = "stills.json"
_EYES = slice(36, 48)
"""Landmarks of both eyes."""
_GRAIN = 1.1
"""Standard deviation of the sensor's grain, in levels of 255; flat denoised skin looks like wax without it."""
_EDGE_PX = 1.1
"""Blur of half-covered pixels: the renderer's denoiser leaves alpha as it is."""
_SPECK = (0.06, 0.16)
"""How far alpha is from the median around it where a pixel begins to be, and is, a speck."""
_MEDIAN_PX = 5
_TALL_ROOM = 0.8
"""Width of the part of the room that a picture twice as high as wide shows, as a share of the room."""


@dataclass(frozen=True, slots=True)
class StillFacts:
    """What is known of the stills of one person.

    Attributes:
        size: Width and height of the still of the whole person, px.
        centre: Centre of the face box, in widths of the still.
        side: Side of the face box, in widths of the still.
        points: Landmarks of the face, ``float32[68, 2]``, in widths of the still.
        drawn: Whether it is a drawing, which gets no grain of a camera.
        glasses: Whether the person wears glasses, which brows must not bend.
    """

    size: tuple[int, int]
    centre: tuple[float, float]
    side: float
    points: Floats
    drawn: bool = False
    glasses: bool = False

    @property
    def eye_row(self) -> float:
        """Row of the eyes, in widths of the still."""
        return float(self.points[_EYES, 1].mean())

    def save(self, folder: Path) -> None:
        """Write the facts beside the stills."""
        points = [[round(float(v), 5) for v in point] for point in self.points]
        centre = [round(v, 5) for v in self.centre]
        facts = {
            "size": self.size,
            "drawn": self.drawn,
            "glasses": self.glasses,
            "centre": centre,
            "side": round(self.side, 5),
            "points": points,
        }
        (folder / _FACTS).write_text(json.dumps(facts) + "\n")

    @staticmethod
    def load(folder: Path) -> "StillFacts":
        """Read the facts.

        Raises:
            AvatarError: If the file is missing or damaged.
        """
        try:
            facts = json.loads((folder / _FACTS).read_text())
            (width, height), (x, y) = facts["size"], facts["centre"]
            points = np.array(facts["points"], np.float32).reshape(68, 2)
            glasses = bool(facts.get("glasses", False))
            return StillFacts((width, height), (x, y), facts["side"], points, facts["drawn"], glasses)
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise AvatarError(f"{folder / _FACTS} is missing or damaged") from error


@dataclass(frozen=True, slots=True)
class View:
    """A picture, and the place of a still in it.

    Attributes:
        width: Width of the picture, px.
        height: Height of the picture, px.
        scale: Pixels of the picture for each of the still.
        left: Column of the still's left edge, px; may be negative.
        top: Row of the still's upper edge, px; may be negative.
    """

    width: int
    height: int
    scale: float = 1.0
    left: int = 0
    top: int = 0


@dataclass(frozen=True)
class Stills:
    """The pictures of one person, blue first.

    Attributes:
        open: The person with open eyes, with alpha, ``uint8[H, S, 4]``; not less high than wide.
        lids: Pictures of the eyes at each share of `LIDS`, with alpha, ``uint8[h, w, 4]``.
        room: The room without the person, ``uint8[R, R, 3]``.
    """

    open: Bgr
    lids: tuple[Bgr, ...]
    room: Bgr

    @staticmethod
    def load(folder: Path, prefix: str = "", suffix: str = "webp") -> "Stills":
        """Read the pictures ``<prefix>open.<suffix>`` and so on.

        Raises:
            AvatarError: If one is missing or cannot be read.
        """

        def read(name: str) -> Bgr:
            path = folder / f"{prefix}{name}.{suffix}"
            picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            if picture is None:
                raise AvatarError(f"{path} is missing or no picture")
            opaque = np.full((*picture.shape[:2], 1), 255, np.uint8)  # WebP leaves out alpha that is 1 throughout
            return np.asarray(picture if picture.shape[2] == 4 else np.dstack([picture, opaque]), np.uint8)

        return Stills(read("open"), tuple(read(lid_name(shut)) for shut in LIDS), read("room")[..., :3])

    def save(self, folder: Path) -> None:
        """Write the pictures as WebP."""
        folder.mkdir(parents=True, exist_ok=True)
        names = ["open", "room", *(lid_name(shut) for shut in LIDS)]
        for name, picture in zip(names, (self.open, self.room, *self.lids), strict=True):
            cv2.imwrite(str(folder / f"{name}.webp"), picture, [cv2.IMWRITE_WEBP_QUALITY, _QUALITY])

    @property
    def square(self) -> View:
        """The upper square of the stills at their own size."""
        side = self.open.shape[1]
        return View(side, side)

    def face(self, view: View, colour: tuple[int, int, int] | None = None, *, drawn: bool = False) -> Bgr:
        """Return the person with open eyes, before the room or before a colour.

        Args:
            colour: Blue, green, red behind the person, without grain; ``None`` for the room.
            drawn: Whether it is a drawing, which has neither a camera's grain nor a renderer's noise at its edge.
        """
        return self._composed([_layer(self.open, drawn=drawn)], view, colour, drawn=drawn)[0]

    def faces(
        self, view: View, colour: tuple[int, int, int] | None = None, *, drawn: bool = False
    ) -> tuple[Bgr, list[tuple[float, Bgr]]]:
        """Return the same, and the person with lids shut by each share; arguments as of `face`."""
        first, *others = self._composed(self._people(drawn=drawn), view, colour, drawn=drawn)
        return first, list(zip(LIDS, others, strict=True))

    def layers(self, view: View, *, drawn: bool = False) -> tuple[Bgr, list[tuple[float, Bgr]], Bgr]:
        """Return the person alone, the person with lids shut by each share, and the room; arguments as of `face`.

        The person is ``uint8[h, w, 4]``, its colours multiplied by alpha.
        """
        noise = np.zeros((1, 1, 1), np.float32) if drawn else _GRAIN * _noise(view.height, view.width)
        people = []
        for person in self._people(drawn=drawn):
            placed = _placed(person, view)
            placed[..., :3] += noise * placed[..., 3:]
            placed[..., 3] *= 255
            people.append(np.clip(np.rint(placed), 0, 255).astype(np.uint8))
        room = np.clip(np.rint(self._room(view) + noise), 0, 255).astype(np.uint8)
        return people[0], list(zip(LIDS, people[1:], strict=True)), room

    def _people(self, *, drawn: bool) -> list[Floats]:
        """Return the person with open eyes, and with lids shut by each share."""
        usual = _layer(self.open, drawn=drawn)
        rows, columns = window_slices(EYES_WINDOW, self.open.shape[1])
        people = [usual]
        for lids in self.lids:
            person = usual.copy()
            person[rows, columns] += _fade(lids.shape[:2]) * (_layer(lids, drawn=drawn) - person[rows, columns])
            people.append(person)
        return people

    def _composed(
        self, people: list[Floats], view: View, colour: tuple[int, int, int] | None, *, drawn: bool
    ) -> list[Bgr]:
        plain = np.full((view.height, view.width, 3), colour or (0, 0, 0), np.float32)
        behind = self._room(view) if colour is None else plain
        noise = np.zeros((1, 1, 1), np.float32) if drawn else _GRAIN * _noise(view.height, view.width)
        pictures = []
        for person in people:
            placed = _placed(person, view)
            cover = placed[..., 3:]
            shown = placed[..., :3] + behind * (1 - cover) + noise * (1 if colour is None else cover)
            pictures.append(np.asarray(np.clip(np.rint(shown), 0, 255), np.uint8))
        return pictures

    def _room(self, view: View) -> Floats:
        """Return the room behind a view, ``float32[h, w, 3]``: it is out of focus, so it may be stretched."""
        side = self.room.shape[1]
        width = side if view.height <= view.width else round(side * _TALL_ROOM)
        left = (side - width) // 2
        smaller = max(view.width, view.height) < side
        how = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
        shown = cv2.resize(self.room[:, left : left + width], (view.width, view.height), interpolation=how)
        return np.asarray(shown, np.float32)


def lid_name(shut: float) -> str:
    """Return the name of the picture of the eyes with their lids shut by a share."""
    return f"lids{round(100 * shut):03d}"


def window_slices(window: tuple[float, float, float, float], side: int) -> tuple[slice, slice]:
    """Return the rows and columns of a window in the upper square of a still, as Blender rounds them."""
    x, y, half_width, half_height = window
    left, right = (int((x + sign * half_width + 1) / 2 * side) for sign in (-1, 1))
    low, high = (int((y + sign * half_height + 1) / 2 * side) for sign in (-1, 1))
    return slice(side - high, side - low), slice(left, right)


def over(picture: Bgr, behind: Bgr) -> Bgr:
    """Return a rendered picture with alpha over another, its edge cleared of specks and softened."""
    layer = _layer(picture, drawn=False)
    return np.asarray(np.clip(np.rint(layer[..., :3] + behind * (1 - layer[..., 3:])), 0, 255), np.uint8)


def _layer(picture: Bgr, *, drawn: bool) -> Floats:
    """Return a picture times its alpha, ``float32[h, w, 4]``, colours 0..255 and alpha 0..1.

    The edge of what is no drawing is cleared of specks, and softened where alpha is between 0 and 1.
    """
    cover = picture[..., 3:].astype(np.float32) / 255
    sharp: Floats = np.dstack([picture[..., :3] * cover, cover])
    if drawn:
        return sharp
    levels = np.array((1, 1, 1, 255), np.float32)
    median = cv2.medianBlur(np.rint(sharp * levels).astype(np.uint8), _MEDIAN_PX) / levels
    low, high = _SPECK
    speck = np.clip((np.abs(cover - median[..., 3:]) - low) / (high - low), 0, 1)
    sharp += speck * (median - sharp)
    soft = np.asarray(cv2.GaussianBlur(sharp, (0, 0), _EDGE_PX), np.float32)
    at_edge = np.clip(8 * soft[..., 3:] * (1 - soft[..., 3:]), 0, 1)
    mixed: Floats = sharp + at_edge * (soft - sharp)
    return mixed


def _placed(person: Floats, view: View) -> Floats:
    """Return a premultiplied picture where a view has it, ``float32[height, width, 4]``, transparent around it."""
    if view.scale != 1:
        size = round(person.shape[1] * view.scale), round(person.shape[0] * view.scale)
        how = cv2.INTER_AREA if view.scale < 1 else cv2.INTER_CUBIC
        person = np.asarray(cv2.resize(person, size, interpolation=how), np.float32)
        person[..., 3] = np.clip(person[..., 3], 0, 1)
    out = np.zeros((view.height, view.width, 4), np.float32)
    from_row, from_column = max(-view.top, 0), max(-view.left, 0)
    to_row, to_column = max(view.top, 0), max(view.left, 0)
    shown = person[from_row : from_row + view.height - to_row, from_column : from_column + view.width - to_column]
    out[to_row : to_row + shown.shape[0], to_column : to_column + shown.shape[1]] = shown
    return out


def _fade(shape: tuple[int, ...]) -> Floats:
    """Return a weight that falls to 0 at a window's edges, ``float32[h, w, 1]``."""
    away = [np.minimum(np.arange(n) + 0.5, n - np.arange(n) - 0.5) / (0.12 * min(shape)) for n in shape]
    rows, columns = (np.clip(edge, 0, 1) for edge in away)
    weight = rows[:, None] * columns[None]
    return np.asarray(weight * weight * (3 - 2 * weight), np.float32)[..., None]


def _noise(height: int, width: int) -> Floats:
    """Return grain of unit strength, the same for every picture of its size, ``float32[h, w, 3]``."""
    noise = np.random.default_rng(height).normal(0, 1, (height, width, 3)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 0.6)
    return np.asarray(1.2 * soft.mean(axis=-1, keepdims=True) + 0.35 * soft, np.float32)

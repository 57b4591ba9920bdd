"""A lip model for drawn characters: eight mouths as pictures, one of them for each frame.

    lipstream render --model examples/sprite_mouth.py:load --avatar mira --audio speech.wav --out speech.mp4
    python examples/sprite_mouth.py mouths/          # writes the eight mouths as PNG files, to be painted over
    lipstream serve --model examples/sprite_mouth.py:load --weights mouths/

The sound is heard by Lipstream's own weights: their code between ear and face says how far the jaw drops and what the
lips do, :func:`choose` names one of :data:`VISEMES` for it, and the server steadies and articulates the code before. A
mouth is drawn as fields that move nothing: paint over the clip's own frame, sharp at any size of the picture. Under it
lies a patch of the face's own skin, which hides the mouth that the character was drawn with.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import numpy.typing as npt

from lipstream.realtime.errors import SettingsError
from lipstream.realtime.lipsync.backends import create_predictor
from lipstream.realtime.lipsync.fields import pack_fields
from lipstream.realtime.lipsync.metadata import BUILT_IN_WEIGHTS, Region, WeightsMetadata
from lipstream.realtime.lipsync.mouth_code import ACTIONS, opening_mm
from lipstream.realtime.lipsync.own_model import ModelOptions, model_metadata
from lipstream.realtime.lipsync.predictor import CodedPredictor, FaceFeatures

Floats = npt.NDArray[np.float32]
Curve = npt.NDArray[np.floating]
Bytes = npt.NDArray[np.uint8]

SIZE = 192
"""Side of the face crop, px: twice that of Lipstream's networks, so that lines stay lines."""
REGION = Region(84, 188, 32, 160)
MOUTH = 0.5, 0.61
"""Where a mouth's middle lies in the crop, shares of its side: right and down."""
_HIDDEN = 0.19, 0.115
"""Half the width and height of what the patch of skin hides around that middle, shares of the crop's side."""
_FINER = 8
"""Sprites are drawn this many times as large, and made smaller, so that their lines are smooth."""


# ---------------------------------------------------------------------------------------------- which mouth


def choose(code: Floats) -> str:
    """Return the viseme of a mouth code.

    The bounds are between the mouths that speech makes most often, by the code of the built-in weights.

    Args:
        code: ``float32[C]``, as of `lipstream.realtime.lipsync.mouth_code`.
    """
    gap_mm = float(opening_mm(code))
    does = dict(zip(ACTIONS, code.tolist(), strict=False))
    rounded, spread = does["mouthFunnel"] + does["mouthPucker"], does["mouthStretch"] + does["mouthSmile"]
    if gap_mm < 1.5:
        return "closed"
    if does["mouthRollLower"] > 1.0 and does["mouthUpperUp"] > does["mouthPress"]:
        return "bite"
    if rounded > 2.2:
        return "round" if gap_mm > 8.5 else "pucker"
    if gap_mm > 11.0:
        return "open"
    if spread > 4.0:
        return "wide"
    return "half" if gap_mm > 6.0 else "teeth"


# ---------------------------------------------------------------------------------------------- how it looks


@dataclass(frozen=True, slots=True)
class Shape:
    """One mouth, in shares of the crop's side.

    Attributes:
        width: Half the distance of its corners.
        upper: How high the upper lip arches over the corners, at its inner rim.
        lower: How low the lower lip hangs below the corners, at its inner rim.
        corners: How far the corners stand above the mouth's middle.
        lip: Thickness of the lips.
        teeth: Share of the opening that the upper teeth cover.
        tongue: Share of the opening that the tongue covers.
        bitten: Whether the upper teeth rest on the lower lip.
    """

    width: float
    upper: float
    lower: float
    corners: float = 0.0
    lip: float = 0.018
    teeth: float = 0.0
    tongue: float = 0.0
    bitten: bool = False


VISEMES = {
    "closed": Shape(0.135, 0.004, 0.004, corners=0.008, lip=0.021),  # silence, p b m
    "bite": Shape(0.125, 0.010, 0.020, lip=0.015, teeth=0.9, bitten=True),  # f v
    "teeth": Shape(0.130, 0.012, 0.030, corners=0.002, teeth=0.62, tongue=0.25),  # s t d n k and their like
    "wide": Shape(0.165, 0.016, 0.046, corners=0.012, teeth=0.48, tongue=0.35),  # ee
    "half": Shape(0.128, 0.018, 0.056, teeth=0.26, tongue=0.42),  # eh, uh
    "open": Shape(0.122, 0.024, 0.104, teeth=0.18, tongue=0.40),  # ah
    "round": Shape(0.088, 0.034, 0.082, lip=0.024, tongue=0.30),  # oh
    "pucker": Shape(0.062, 0.020, 0.036, lip=0.030),  # oo, w
}
"""The eight mouths, by name; a folder of PNG files has one of each name."""

INK, LIP, INSIDE, TEETH, TONGUE = (50, 30, 70), (125, 105, 205), (45, 25, 80), (245, 250, 252), (120, 105, 220)
"""Colours, BGR."""


def draw_sprite(shape: Shape) -> Bytes:
    """Return a mouth as ``uint8[h, w, 4]``, BGRA, of the region's size."""
    canvas = _Canvas(REGION.height * _FINER, REGION.width * _FINER)
    across = np.linspace(-1, 1, 65)
    arch = np.sqrt(1 - across**2)  # round; the lips' own rims are flatter
    x = MOUTH[0] + shape.width * across
    corners = MOUTH[1] - shape.corners * np.abs(across) ** 2.5
    bow = 1 - 0.22 * np.exp(-((across / 0.16) ** 2))  # the dip of the upper lip's outer rim
    inner = corners - shape.upper * arch**1.2, corners + shape.lower * arch
    outer = inner[0] - shape.lip * arch**0.8 * bow, inner[1] + 1.25 * shape.lip * arch**0.8
    canvas.fill(LIP, x, outer)
    opening = canvas.area(x, inner)
    canvas.fill(INSIDE, x, inner)
    tall = float((inner[1] - inner[0]).max())
    if shape.tongue:
        canvas.ellipse(TONGUE, (MOUTH[0], inner[1].max()), (0.72 * shape.width, shape.tongue * tall), opening)
    if shape.teeth:
        edge = inner[0].min() + shape.teeth * tall
        canvas.fill(TEETH, x, (np.full_like(x, 0.0), np.full_like(x, edge)), opening)
        canvas.line(x, np.full_like(x, edge), 0.004, opening)
    canvas.line(x, inner[0], 0.008 if tall < 0.01 else 0.006)
    if tall >= 0.01 and not shape.bitten:
        canvas.line(x, inner[1], 0.005)
    canvas.line(x, outer[0], 0.004)
    canvas.line(x, outer[1], 0.005)
    return canvas.shrunk()


class _Canvas:
    """A transparent picture of the region, painted in shares of the crop's side."""

    def __init__(self, height: int, width: int) -> None:
        self._bgr, self._cover = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.uint8)
        self._scale = height / REGION.height * SIZE

    def fill(
        self, colour: tuple[int, int, int], x: Curve, rims: tuple[Curve, Curve], within: Bytes | None = None
    ) -> None:
        """Fill what lies between two rims above ``x``; with ``within``, there alone."""
        self._lay(colour, self.area(x, rims), within)

    def ellipse(
        self, colour: tuple[int, int, int], middle: tuple[float, float], half: tuple[float, float], within: Bytes
    ) -> None:
        """Fill an ellipse, within an area."""
        area = np.zeros_like(self._cover)
        centre = self._points(np.array([middle[0]]), np.array([middle[1]]))[0]
        axes = tuple(round(part * self._scale) for part in half)
        cv2.ellipse(area, tuple(centre.tolist()), axes, 0, 0, 360, 255, -1)
        self._lay(colour, area, within)

    def line(self, x: Curve, y: Curve, width: float, within: Bytes | None = None) -> None:
        """Draw a line of ink."""
        area = np.zeros_like(self._cover)
        cv2.polylines(area, [self._points(x, y)], isClosed=False, color=255, thickness=round(width * self._scale))
        self._lay(INK, area, within)

    def area(self, x: Curve, rims: tuple[Curve, Curve]) -> Bytes:
        """Return ``uint8[h, w]``, 255 between two rims."""
        area = np.zeros_like(self._cover)
        cv2.fillPoly(area, [np.concatenate((self._points(x, rims[0]), self._points(x, rims[1])[::-1]))], 255)
        return area

    def shrunk(self) -> Bytes:
        """Return the picture at the region's size, BGRA."""
        cover = self._cover.astype(np.float32) / 255
        size = REGION.width, REGION.height
        small = cv2.resize(np.dstack((self._bgr * cover[..., None], cover * 255)), size, interpolation=cv2.INTER_AREA)
        small[..., :3] /= np.maximum(small[..., 3:] / 255, 1e-3)
        sprite: Bytes = np.clip(np.rint(small), 0, 255).astype(np.uint8)
        return sprite

    def _points(self, x: Curve, y: Curve) -> npt.NDArray[np.int32]:
        corner = np.array((REGION.left, REGION.top)) / SIZE
        return np.rint((np.stack((x, y), axis=1) - corner) * self._scale).astype(np.int32)

    def _lay(self, colour: tuple[int, int, int], area: Bytes, within: Bytes | None) -> None:
        chosen = (area > 0) if within is None else (area > 0) & (within > 0)
        self._bgr[chosen], self._cover[chosen] = colour, 255


def read_sprites(folder: Path) -> dict[str, Bytes]:
    """Return the sprites of a folder, ``uint8[h, w, 4]`` BGRA of the region's size, by viseme.

    Raises:
        SettingsError: If one is missing, or is no picture.
    """
    sprites = {}
    for name in VISEMES:
        path = folder / f"{name}.png"
        data = np.fromfile(path, np.uint8) if path.is_file() else np.zeros(0, np.uint8)
        picture = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
        if picture is None or picture.ndim != 3 or picture.shape[2] != 4:
            raise SettingsError(f"{path} has to be a PNG with transparency; all of {', '.join(VISEMES)} are needed")
        sprites[name] = cv2.resize(picture, (REGION.width, REGION.height), interpolation=cv2.INTER_AREA)
    return sprites


# ---------------------------------------------------------------------------------------------- the predictor


def load(options: ModelOptions) -> "SpriteMouth":
    """Make the predictor: ``--weights`` names a folder of PNG files, or is left out for the mouths drawn here."""
    ear = create_predictor(
        BUILT_IN_WEIGHTS, device=options.device, cache=options.cache, threads=options.threads, fall_back=True
    )
    folder = options.weights if options.weights.is_dir() else None
    sprites = read_sprites(folder) if folder else {name: draw_sprite(shape) for name, shape in VISEMES.items()}
    return SpriteMouth(cast("CodedPredictor", ear), sprites)


class SpriteMouth:
    """Draws sprites: a `lipstream.realtime.lipsync.predictor.CodedFieldPredictor`.

    Args:
        ear: Gives the mouth codes.
        sprites: ``uint8[h, w, 4]`` BGRA of the region's size, by viseme.
    """

    def __init__(self, ear: CodedPredictor, sprites: dict[str, Bytes]) -> None:
        self._ear, self._sprites = ear, {name: _laid(sprite) for name, sprite in sprites.items()}
        self._skin_mask = _skin_mask()
        self._metadata = model_metadata(
            "sprite mouth",
            made_of=[Path(__file__), BUILT_IN_WEIGHTS, *(sprites[name].tobytes() for name in VISEMES)],
            size=SIZE,
            region=REGION,
            window_offset_samples=ear.metadata.window_offset_samples,
            draws_fields=True,
            has_mouth_code=True,
            licence="Apache-2.0",
        )

    @property
    def device(self) -> str:
        """Device of the ear."""
        return self._ear.device

    @property
    def metadata(self) -> WeightsMetadata:
        """Look-ahead, region and identity."""
        return self._metadata

    def encode_faces(self, crops: Bytes) -> FaceFeatures:
        """Return the crops with one level of features: the patch of skin, ``float16[N, 4, h, w]``, 0..255."""
        patches = np.stack([self._patch(crop) for crop in crops])
        return FaceFeatures((patches.transpose(0, 3, 1, 2).astype(np.float16),), crops)

    def encode_speech(self, mel: Floats) -> Floats:
        """Return the mouth codes of mel windows."""
        return self._ear.encode_speech(mel)

    def draw_fields(self, codes: Floats, features: FaceFeatures, frames: npt.NDArray[np.int64]) -> Bytes:
        """Draw the fields of codes: a flow of zeros, and the sprite's paint over the patch's."""
        still = np.zeros((REGION.height, REGION.width, 2), np.float32)
        return np.stack([pack_fields(still, paint) for paint in self._paint(codes, features, frames)])

    def draw_mouths(self, codes: Floats, features: FaceFeatures, frames: npt.NDArray[np.int64]) -> Bytes:
        """Draw the pixels of codes."""
        top, bottom, left, right = REGION
        mouths = []
        for frame, paint in zip(frames, self._paint(codes, features, frames), strict=True):
            under = features.crops[frame][top:bottom, left:right]
            mouths.append(np.rint(under * (1 - paint[..., :1] / 255) + paint[..., 1:]))
        drawn: Bytes = np.clip(np.stack(mouths), 0, 255).astype(np.uint8)
        return drawn

    def predict_fields(self, mel: Floats, features: FaceFeatures, frames: npt.NDArray[np.int64]) -> Bytes:
        """Draw the fields of mel windows."""
        return self.draw_fields(self.encode_speech(mel), features, frames)

    def predict(self, mel: Floats, features: FaceFeatures, frames: npt.NDArray[np.int64]) -> Bytes:
        """Draw the pixels of mel windows."""
        return self.draw_mouths(self.encode_speech(mel), features, frames)

    def _paint(self, codes: Floats, features: FaceFeatures, frames: npt.NDArray[np.int64]) -> list[Floats]:
        """Return mask, blue, green and red times the mask of each mouth, ``float32[h, w, 4]``, 0..255."""
        laid = []
        for code, frame in zip(codes, frames, strict=True):
            sprite = self._sprites[choose(code)]
            patch = features.levels[0][frame].astype(np.float32).transpose(1, 2, 0)
            laid.append(sprite + patch * (1 - sprite[..., :1] / 255))
        return laid

    def _patch(self, crop: Bytes) -> Floats:
        """Return skin over the character's own mouth, in the form of :meth:`_paint`."""
        hidden = (self._skin_mask[::2, ::2] > 0).astype(np.uint8)
        filled = cv2.inpaint(cv2.resize(crop, hidden.shape, interpolation=cv2.INTER_AREA), hidden, 3, cv2.INPAINT_TELEA)
        smooth = cv2.resize(cv2.GaussianBlur(filled, (0, 0), 0.01 * SIZE), (SIZE, SIZE))  # inpainting draws streaks
        mask = self._skin_mask[REGION.top : REGION.bottom, REGION.left : REGION.right, None]
        colours = smooth[REGION.top : REGION.bottom, REGION.left : REGION.right]
        patch: Floats = np.concatenate((mask, colours * (mask / 255)), axis=2).astype(np.float32)
        return patch


def _skin_mask() -> Floats:
    """Return ``float32[SIZE, SIZE]``, 0..255: what the patch of skin covers, with a soft edge."""
    rows, columns = (np.mgrid[:SIZE, :SIZE] + 0.5) / SIZE
    across, down = (columns - MOUTH[0]) / _HIDDEN[0], (rows - MOUTH[1]) / _HIDDEN[1]
    distance = (across**4 + down**4) ** 0.25  # a rounded rectangle: an ellipse is too low over the corners
    soft: Floats = (255 * np.clip((1 - distance) / 0.2, 0, 1)).astype(np.float32)
    return soft


def _laid(sprite: Bytes) -> Floats:
    """Return a sprite's mask, and its colours times the mask, ``float32[h, w, 4]``, 0..255."""
    mask = sprite[..., 3:].astype(np.float32)
    return np.concatenate((mask, sprite[..., :3] * (mask / 255)), axis=2)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/sprite_mouth.py FOLDER")
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    for viseme, look in VISEMES.items():
        cv2.imwrite(str(target / f"{viseme}.png"), draw_sprite(look))

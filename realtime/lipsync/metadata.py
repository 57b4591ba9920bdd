"""Metadata of a weights file, readable without torch."""

import argparse
import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from lipstream.own_code import CODE_FORM
from lipstream.realtime.errors import ConflictError, SettingsError, WeightsError
from lipstream.realtime.lipsync.alignment import look_ahead_samples, window_fault
from lipstream.realtime.lipsync.articulation import DEFAULT_ARTICULATION, LEAST_ARTICULATION, MOST_ARTICULATION

FORMAT = "lipstream-weights-1"
CROPS = ("lipstream", "detector")
CODES = ("mouth", "unknown")
PAINT_SCALES = (1, 2)
MOUTH_WINDOW = 13 / 24, 3 / 4, 1 / 4, 3 / 4
"""Where Lipstream's crop has the inside of an open mouth: top, bottom, left, right, in shares of its side.

Of the built-in avatars and a photograph, 98.3 to 99.9 % of what fine paint changes lies there (docs/PERFORMANCE.md).
"""
BUILT_IN_WEIGHTS = Path(__file__).parent / "weights" / "lipstream.safetensors"


class Region(NamedTuple):
    """A rectangle of the face crop, half-open, in crop pixels."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def height(self) -> int:
        """Number of rows."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.right - self.left


class Pads(NamedTuple):
    """Margins around a face box, px of the picture; negative ones make it smaller."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0


_MOST_PADS_PX = 10_000
ARTICULATION_HELP = (
    f"how far the mouth goes, {LEAST_ARTICULATION} to {MOST_ARTICULATION} of what was heard; lips that must close do"
)
PADS_FORM = "TOP,BOTTOM,LEFT,RIGHT"
PADS_HELP = "px around the face box of weights with a detector's crop (published: 0,10,0,0)"
MODEL_FORM = CODE_FORM
MODEL_HELP = f"lip model of your own, {MODEL_FORM}: code that this machine then runs"
NO_PADS = Pads()
PUBLISHED_PADS = Pads(bottom=10)
"""The published inference script's default: for the chin."""


@dataclass(frozen=True, slots=True)
class WeightsMetadata:
    """The metadata that belongs to a weights file.

    Attributes:
        width: Factor on the network's channel counts, 1.0 as published.
        audio_width: Factor on the audio encoder's channel counts, 1.0 as published.
        size: Side of the face crop, px.
        head: Output layer: ``paint`` as published, or ``copy``.
        window_offset_samples: Start of the mel window relative to the frame's first sample, samples at 16 kHz.
        decoded_region: Part of the crop that speech may change, px of the crop.
        sha256: Hexadecimal SHA-256 of the file.
        licence: SPDX identifier, or ``unknown``.
        ear: Audio encoder: ``published``, ``sliding`` or ``both``; the name is part of the file format.
        crop: Content of the face crop. ``lipstream``: a square from the brows to under the chin. ``detector``: the
            rectangle of a face detector, forehead to chin and cheek to cheek, resized to the square.
        pads: Margins added to a detector's rectangle before it is cropped, px; default none.
        code: Meaning of the code between audio encoder and face decoder: ``mouth``
            (`lipstream.realtime.lipsync.mouth_code`), or ``unknown``, the default.
        layout: One of :data:`lipstream.realtime.lipsync.layouts.LAYOUTS`, default ``published``.
        paint_scale: Pixels of a copying head's mask and colour, in each direction, for a pixel of the crop: 1, the
            default, or 2, for which the decoded region has even edges.
    """

    name: str
    width: float
    audio_width: float
    size: int
    head: str
    window_offset_samples: int
    decoded_region: Region
    sha256: str
    licence: str
    ear: str = "published"
    layout: str = "published"
    crop: str = "lipstream"
    pads: Pads = NO_PADS
    code: str = "unknown"
    paint_scale: int = 1

    def __post_init__(self) -> None:
        if fault := window_fault(self.window_offset_samples):
            raise WeightsError(f"{self.name}: {fault}")

    @property
    def look_ahead_samples(self) -> int:
        """Samples at 16 kHz that are needed after a frame's first one before the frame can be drawn."""
        return look_ahead_samples(self.window_offset_samples)

    @property
    def fine_window(self) -> Region:
        """Part of the decoded region that fine paint corrects, with even edges, px of the crop: where mouths open.

        Around it the head's own paint is enlarged. It is the whole region if nothing says where the crop has the mouth.
        """
        region = self.decoded_region
        if self.crop != "lipstream":
            return region
        top, bottom, left, right = (2 * round(share * self.size / 2) for share in MOUTH_WINDOW)
        window = Region(
            max(top, region.top), min(bottom, region.bottom), max(left, region.left), min(right, region.right)
        )
        return window if window.height > 0 and window.width > 0 else region

    @property
    def articulates(self) -> bool:
        """Whether mouths can be steadied and go further, or less far: their code is a mouth."""
        return self.code == "mouth"

    def articulation(self, wanted: float | None) -> float | None:
        """Return how far mouths go: what is wanted, else the default; ``None`` for weights without a known code.

        Raises:
            ConflictError: If one is wanted of such weights.
        """
        if wanted is not None:
            self.check_articulates()
            return wanted
        return DEFAULT_ARTICULATION if self.articulates else None

    def check_articulates(self) -> None:
        """Check that the weights have an articulation.

        Raises:
            ConflictError: If they have none.
        """
        if not self.articulates:
            raise ConflictError(
                f"the weights {self.name} have no articulation: what their code between sound and mouth says is unknown"
            )

    @property
    def fingerprint(self) -> str:
        """First 16 digits of the file's SHA-256, for names in caches; a detector's crop adds its pads."""
        geometry = "" if self.crop == "lipstream" else "-".join(("", self.crop, *map(str, self.pads)))
        return self.sha256[:16] + geometry

    def with_pads(self, pads: Pads | None) -> "WeightsMetadata":
        """Return the metadata with other pads; ``None`` keeps them.

        Raises:
            SettingsError: If the weights take Lipstream's own crop, which has no pads.
        """
        if pads is None:
            return self
        if self.crop != "detector":
            raise SettingsError(
                f"--pads is for weights with a detector's crop; {self.name} takes Lipstream's own square"
            )
        return dataclasses.replace(self, pads=pads)

    def to_json(self) -> str:
        """Return the metadata as JSON."""
        return json.dumps(dataclasses.asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> "WeightsMetadata":
        """Return the metadata from the JSON of :meth:`to_json`."""
        fields = json.loads(text)
        return cls(**{**fields, "decoded_region": Region(*fields["decoded_region"]), "pads": Pads(*fields["pads"])})


def default_region(size: int) -> Region:
    """Return the lower half of the crop, which is masked in a network's input."""
    return Region(size // 2, size, 0, size)


def published_region(size: int) -> Region:
    """Return the region to decode with published weights: the lower half of the crop and a sixteenth above it.

    The published script pastes the whole crop. Above the middle the network repeats its input, less sharp than the
    picture. The sixteenth (6 rows of 96) is needed to blend the new half into the picture.
    """
    return Region(size // 2 - size // 16, size, 0, size)


def file_sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file.

    Raises:
        WeightsError: If it cannot be read, or is no regular file.
    """
    if path.is_dir():
        raise WeightsError(f"{path} is a folder: name the weights file in it")
    if path.exists() and not path.is_file():
        raise WeightsError(f"{path} is no regular file")  # reading a pipe might never end
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"cannot read the weights file {path}: {error.strerror}") from error


def parse_pads(value: str | Sequence[int]) -> Pads:
    """Return pads from four numbers, or from a string of them: ``0,10,0,0`` or ``[0, 10, 0, 0]``.

    Raises:
        ValueError: If it is neither.
    """
    pads = json.loads(f"[{value.strip().strip('[]')}]") if isinstance(value, str) else value
    if len(pads) != len(Pads._fields) or not all(type(pad) is int and abs(pad) < _MOST_PADS_PX for pad in pads):
        raise ValueError(f"pads are four whole numbers of pixels: {PADS_FORM}")
    return Pads(*pads)


def parse_articulation(value: float | str) -> float:
    """Return an articulation from a number or its text.

    Raises:
        ValueError: If it is none, or out of range.
    """
    articulation = float(value)
    if not LEAST_ARTICULATION <= articulation <= MOST_ARTICULATION:
        raise ValueError(f"{articulation:g} is not between {LEAST_ARTICULATION} and {MOST_ARTICULATION}")
    return articulation


def articulation_argument(text: str) -> float:
    """Return the articulation that a command was given.

    Raises:
        argparse.ArgumentTypeError: If it is none.
    """
    try:
        return parse_articulation(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def pads_argument(text: str) -> Pads:
    """Return the pads that a command was given.

    Raises:
        argparse.ArgumentTypeError: If they are none.
    """
    try:
        return parse_pads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not {PADS_FORM} in whole pixels") from error

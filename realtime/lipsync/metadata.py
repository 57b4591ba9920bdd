"""What a weights file says of itself, readable without torch."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from lipstream.realtime.errors import WeightsError
from lipstream.realtime.lipsync.alignment import PUBLISHED_OFFSET_SAMPLES, look_ahead_samples
from lipstream.realtime.lipsync.layouts import LAYOUTS

FORMAT = "lipstream-weights-1"
BUILT_IN_WEIGHTS = Path(__file__).parent / "weights" / "lipstream.safetensors"


class Region(NamedTuple):
    """A rectangle of the face crop, half-open, in crop pixels."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def height(self) -> int:
        """Rows."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Columns."""
        return self.right - self.left


@dataclass(frozen=True, slots=True)
class WeightsMetadata:
    """The facts that belong to a weights file.

    Attributes:
        name: For people.
        width: Channel factor of the network.
        audio_width: That of its audio encoder.
        size: Side of the face crop, px.
        head: ``paint`` as published, or ``copy``.
        window_offset_samples: From a frame's first sample to its mel window's, 16 kHz.
        decoded_region: The part of the crop that speech may change.
        sha256: Of the file, hexadecimal.
        licence: SPDX identifier, or what is known.
        ear: Which audio encoder: ``published``, ``sliding`` or ``both``.
        layout: Which network of the family: one of :data:`lipstream.realtime.lipsync.layouts.LAYOUTS`.
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

    def __post_init__(self) -> None:
        if self.look_ahead_samples < 0:
            raise WeightsError(f"{self.name}: a window offset of {self.window_offset_samples} ends before its frame")

    @property
    def look_ahead_samples(self) -> int:
        """Sound that must be heard past a frame's first sample before the frame can be drawn."""
        return look_ahead_samples(self.window_offset_samples)

    @property
    def fingerprint(self) -> str:
        """A short name for caches: changes with the file."""
        return self.sha256[:16]

    def to_json(self) -> str:
        """Return the metadata as JSON."""
        return json.dumps(dataclasses.asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> "WeightsMetadata":
        """Return what :meth:`to_json` wrote."""
        fields = json.loads(text)
        return cls(**{**fields, "decoded_region": Region(*fields["decoded_region"])})


def default_region(size: int) -> Region:
    """Return the region that the published weights may change: the lower half, which they are never shown."""
    return Region(size // 2, size, 0, size)


def file_sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file.

    Raises:
        WeightsError: If it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"cannot read the weights file {path}: {error.strerror}") from error


def parse_metadata(fields: dict[str, str], *, path: Path, sha256: str) -> WeightsMetadata:
    """Return the metadata of one of our own safetensors files from its string map.

    Raises:
        WeightsError: Naming the first field that is missing or wrong.
    """
    if fields.get("format") != FORMAT:
        raise WeightsError(f"{path.name}: metadata field 'format' is {fields.get('format')!r}, expected {FORMAT!r}")
    try:
        size = int(fields["size"])
        region = Region(*(int(edge) for edge in json.loads(fields["decoded_region"])))
        metadata = WeightsMetadata(
            name=fields.get("name", path.stem),
            width=float(fields["width"]),
            audio_width=float(fields.get("audio_width", fields["width"])),
            size=size,
            head=fields["head"],
            window_offset_samples=int(fields["window_offset_samples"]),
            decoded_region=region,
            sha256=sha256,
            licence=fields.get("licence", "unknown"),
            ear=fields.get("ear", "published"),
            layout=fields.get("layout", "published"),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise WeightsError(f"{path.name}: metadata is incomplete: {error}") from error
    known_values = {
        "head": ("paint", "copy"),
        "ear": ("published", "sliding", "both"),
        "layout": LAYOUTS,
    }
    for field, known in known_values.items():
        if (value := getattr(metadata, field)) not in known:
            wanted = " or ".join(map(repr, known))
            raise WeightsError(f"{path.name}: metadata field {field!r} is {value!r}, expected {wanted}")
    if not (0 <= region.top < region.bottom <= size and 0 <= region.left < region.right <= size):
        raise WeightsError(f"{path.name}: decoded region {tuple(region)} is not inside the {size} px crop")
    return metadata


def published_metadata(
    *, path: Path, sha256: str, size: int, width: float = 1.0, layout: str = "published"
) -> WeightsMetadata:
    """Return the metadata of a published checkpoint, which carries none."""
    return WeightsMetadata(
        name=path.stem,
        width=width,
        audio_width=width,
        size=size,
        head="paint",
        window_offset_samples=PUBLISHED_OFFSET_SAMPLES,
        decoded_region=default_region(size),
        sha256=sha256,
        licence="unknown",
        layout=layout,
    )

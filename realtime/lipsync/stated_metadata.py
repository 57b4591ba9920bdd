"""The metadata of weights files of both kinds: this project's, which state it, and published ones, which have none."""

import json
from pathlib import Path

from lipstream.realtime.errors import WeightsError, shown
from lipstream.realtime.lipsync.alignment import PUBLISHED_OFFSET_SAMPLES
from lipstream.realtime.lipsync.layouts import LAYOUTS
from lipstream.realtime.lipsync.metadata import (
    CODES,
    CROPS,
    FORMAT,
    NO_PADS,
    PAINT_SCALES,
    PUBLISHED_PADS,
    Region,
    WeightsMetadata,
    parse_pads,
    published_region,
)

_LONGEST_TEXT = 200


def parse_metadata(fields: dict[str, str], *, path: Path, sha256: str) -> WeightsMetadata:
    """Return the metadata of this project's safetensors files from their string map.

    Raises:
        WeightsError: If a field is missing or invalid; the message names the first one.
    """
    if fields.get("format") != FORMAT:
        raise WeightsError(f"{path.name}: metadata field 'format' is {fields.get('format')!r}, expected {FORMAT!r}")
    try:
        size = int(fields["size"])
        region = Region(*(int(edge) for edge in json.loads(fields["decoded_region"])))
        metadata = WeightsMetadata(
            name=shown(fields.get("name", path.stem), _LONGEST_TEXT),
            width=float(fields["width"]),
            audio_width=float(fields.get("audio_width", fields["width"])),
            size=size,
            head=fields["head"],
            window_offset_samples=int(fields["window_offset_samples"]),
            decoded_region=region,
            sha256=sha256,
            licence=shown(fields.get("licence", "unknown"), _LONGEST_TEXT),
            ear=fields.get("ear", "published"),
            layout=fields.get("layout", "published"),
            crop=(crop := fields.get("crop", "lipstream")),
            paint_scale=int(fields.get("paint_scale", "1")),
            code=fields.get("code", "mouth" if fields["head"] == "copy" else "unknown"),
            pads=parse_pads(fields["pads"]) if "pads" in fields else PUBLISHED_PADS if crop == "detector" else NO_PADS,
        )
    except (ArithmeticError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise WeightsError(f"{path.name}: metadata is incomplete: {error}") from error
    known_values = {
        "head": ("paint", "copy"),
        "ear": ("published", "sliding", "both"),
        "layout": LAYOUTS,
        "crop": CROPS,
        "code": CODES,
        "paint_scale": PAINT_SCALES if fields["head"] == "copy" else PAINT_SCALES[:1],
    }
    for field, known in known_values.items():
        if (value := getattr(metadata, field)) not in known:
            wanted = " or ".join(map(repr, known))
            raise WeightsError(f"{path.name}: metadata field {field!r} is {value!r}, expected {wanted}")
    if not (0 <= region.top < region.bottom <= size and 0 <= region.left < region.right <= size):
        raise WeightsError(f"{path.name}: decoded region {tuple(region)} is not inside the {size} px crop")
    if metadata.paint_scale > 1 and any(edge % 2 for edge in region):
        raise WeightsError(f"{path.name}: fine paint needs a decoded region with even edges, not {tuple(region)}")
    return metadata


def published_metadata(
    *, path: Path, sha256: str, size: int, width: float = 1.0, layout: str = "published"
) -> WeightsMetadata:
    """Return the metadata of a published checkpoint, which contains none."""
    return WeightsMetadata(
        name=shown(path.stem, _LONGEST_TEXT),
        width=width,
        audio_width=width,
        size=size,
        head="paint",
        window_offset_samples=PUBLISHED_OFFSET_SAMPLES,
        decoded_region=published_region(size),
        sha256=sha256,
        licence="unknown",
        layout=layout,
        crop="detector",
        pads=PUBLISHED_PADS,
    )

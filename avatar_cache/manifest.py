"""The manifest of an avatar as JSON: everything that does not depend on weights."""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from lipstream.realtime.errors import AvatarError
from lipstream.realtime.picture.mouth_painter import Box, Outline
from lipstream.realtime.timeline import FRAME_RATE_HZ

FORMAT = 1
ID_PATTERN = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")

Loop = Literal["seamless", "pingpong"]
BoxSmoothing = Literal["published", "steady", "none"]
BOX_SMOOTHINGS: tuple[BoxSmoothing, ...] = get_args(BoxSmoothing)
Rest = Literal["keep", "closed"]
RESTS: tuple[str, ...] = get_args(Rest)


def check_id(avatar_id: str) -> str:
    """Return ``avatar_id`` if it is valid.

    Raises:
        AvatarError: If it is not: ids are used as file names.
    """
    if not ID_PATTERN.fullmatch(avatar_id):
        raise AvatarError(f"avatar id {avatar_id!r} must match {ID_PATTERN.pattern}")
    return avatar_id


@dataclass(frozen=True, slots=True)
class Manifest:
    """Metadata of an avatar.

    Attributes:
        id: 1 to 63 lower-case letters, digits and dashes.
        loop: ``seamless`` if the last frame continues with the first, else ``pingpong``.
        size: Width and height of the picture, px.
        boxes: Face box of every frame, px, all numbers even.
        outline: Polygon around lips and jaw, in shares of the face box; empty if it is not known.
        source_sha256: SHA-256 of the source file; empty if it is not known.
        clip_sha256: SHA-256 of the clip; empty if it is not known.
        tool: Name and version of the program that made the clip; empty if not known.
        consent: Statement by the avatar's maker of whose face it is and how they agreed; empty without one.
        detector_boxes: Face detector's rectangle in every frame: left, top, right, bottom, px; empty if not known.
        box_smoothing: Smoothing of these rectangles: ``published``, the mean over five frames; ``steady``, this
            project's filter; or ``none``.
        box_by_hand: Whether the rectangle was given by hand, the same in every frame; it gets no pads.
        rest: ``keep`` if the mouth of the clip is shown at rest, ``closed`` if the network draws it closed.
    """

    id: str
    name: str
    loop: Loop
    size: tuple[int, int]
    boxes: tuple[Box, ...]
    licence: str
    description: str
    outline: Outline = ()
    source_sha256: str = ""
    clip_sha256: str = ""
    tool: str = ""
    consent: str = ""
    detector_boxes: tuple[tuple[int, int, int, int], ...] = ()
    box_smoothing: BoxSmoothing = "published"
    box_by_hand: bool = False
    rest: Rest = "closed"

    @property
    def frames(self) -> int:
        """Number of frames in the clip."""
        return len(self.boxes)

    def to_json(self) -> str:
        """Return the manifest as JSON."""
        fields = asdict(self)
        fields["boxes"] = [[box.x, box.y, box.width, box.height] for box in self.boxes]
        return json.dumps({"format": FORMAT, "fps": FRAME_RATE_HZ, **fields})

    @classmethod
    def read(cls, path: Path) -> "Manifest":
        """Return the manifest in a file.

        Raises:
            AvatarError: If the file is missing or invalid; the message names the first fault.
        """
        try:
            return cls._parse(json.loads(path.read_text()))
        except OSError as error:
            raise AvatarError(f"cannot read {path}: {error.strerror}") from error
        except (ArithmeticError, KeyError, RecursionError, TypeError, ValueError) as error:
            raise AvatarError(f"{path} is not an avatar manifest: {type(error).__name__} {error}") from error

    @classmethod
    def _parse(cls, fields: Any) -> "Manifest":
        if not isinstance(fields, dict):
            raise TypeError("it is no object")
        if fields.get("format", FORMAT) != FORMAT or fields["fps"] != FRAME_RATE_HZ:
            raise ValueError(f"format must be {FORMAT} and fps {FRAME_RATE_HZ}")
        width, height = (int(side) for side in fields["size"])
        boxes = tuple(Box(*(int(edge) for edge in box)) for box in fields["boxes"])
        if width % 2 or height % 4 or width <= 0 or height <= 0:
            raise ValueError(f"size {width}x{height}: the width must be even and the height a multiple of 4")
        for box in boxes:
            if any(edge % 2 for edge in (box.x, box.y, box.width, box.height)) or box.height < 2:
                raise ValueError(f"{box}: all four numbers must be even, and the height not 0")
            if min(box.x, box.y) < 0 or box.x + box.width > width or box.y + box.height > height or box.width < 2:
                raise ValueError(f"{box} is not inside {width}x{height}")
        if any(not -1 <= share <= 2 for point in fields.get("outline", ()) for share in point):
            raise ValueError("the outline must be in shares of the face box, -1 to 2")
        rest = fields.get("rest", "closed")
        if not boxes or fields["loop"] not in ("seamless", "pingpong") or rest not in RESTS:
            raise ValueError(
                "an avatar needs frames, a loop of 'seamless' or 'pingpong', and a rest of 'keep' or 'closed'"
            )
        return cls(
            id=check_id(fields["id"]),
            name=str(fields["name"]),
            loop=fields["loop"],
            size=(width, height),
            boxes=boxes,
            licence=str(fields.get("licence", "unknown")),
            description=str(fields.get("description", "")),
            outline=tuple((float(x), float(y)) for x, y in fields.get("outline", ())),
            source_sha256=str(fields.get("source_sha256", "")),
            clip_sha256=str(fields.get("clip_sha256", "")),
            tool=str(fields.get("tool", "")),
            consent=str(fields.get("consent", "")),
            rest=rest,
            **_detector_fields(fields, len(boxes)),
        )


def _detector_fields(fields: dict[str, Any], frames: int) -> dict[str, Any]:
    found = tuple((int(x1), int(y1), int(x2), int(y2)) for x1, y1, x2, y2 in fields.get("detector_boxes", ()))
    if found and len(found) != frames:
        raise ValueError(f"{len(found)} detector boxes for {frames} frames")
    if (smoothing := fields.get("box_smoothing", "published")) not in BOX_SMOOTHINGS:
        raise ValueError(f"box_smoothing is {smoothing!r}, expected one of {', '.join(BOX_SMOOTHINGS)}")
    by_hand = bool(fields.get("box_by_hand", False))
    return {"detector_boxes": found, "box_smoothing": smoothing, "box_by_hand": by_hand}

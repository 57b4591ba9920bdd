"""The manifest of an avatar as JSON: everything that does not depend on weights."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal, get_args

from lipstream.avatar_cache.motion_graph import (
    IDLE,
    MOTION_PATTERN,
    ClipRange,
    Loop,
    MotionGraph,
    Steps,
    graph_of,
    steps_to_json,
)
from lipstream.realtime.errors import AvatarError, shown
from lipstream.realtime.picture.mouth_painter import Box, Outline
from lipstream.realtime.timeline import FRAME_RATE_HZ

FORMAT = 1
SEVERAL_FORMAT = 2
"""Format of an avatar of several clips, which earlier versions refuse in one sentence."""
ID_PATTERN = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
CLIP_FILE = "clip.mp4"
"""File of the first clip; the others lie beside it."""

_LONGEST_TEXT, _FARTHEST_PX = 200, 2**20

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
class StoredClip:
    """One clip of an avatar of several.

    Attributes:
        name: `idle`, `listening`, `speaking`, or the name of a motion; empty for the generated frames between clips.
        frames: Number of its frames, of all levels together.
        loop: How it repeats; a motion does not.
        source_sha256: SHA-256 of the source file; empty if it is not known.
        clip_sha256: SHA-256 of the clip; empty if it is not known.
        levels: How many levels of stress it has (:class:`~lipstream.avatar_cache.motion_graph.ClipRange`).
    """

    name: str
    frames: int
    loop: Loop
    source_sha256: str = ""
    clip_sha256: str = ""
    levels: int = 1

    @property
    def file(self) -> str:
        """Name of its file in the avatar's folder."""
        return CLIP_FILE if self.name == IDLE else f"motion-{self.name}.mp4" if self.name else "between.mp4"


@dataclass(frozen=True, slots=True)
class Manifest:
    """Metadata of an avatar.

    Attributes:
        id: 1 to 63 lower-case letters, digits and dashes.
        loop: ``seamless`` if the last frame continues with the first, else ``pingpong``.
        size: Width and height of the picture, px.
        boxes: Face box of every frame, px, all numbers even; of several clips, one clip after the other.
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
        clips: The clips of an avatar of several, `idle` first; empty for an avatar of one clip.
        steps: Where one of several clips can be left for another.
        covered: Half-open ranges of frames of several clips in which something covers the mouth.
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
    clips: tuple[StoredClip, ...] = ()
    steps: Steps = field(default_factory=dict)
    covered: tuple[tuple[int, int], ...] = ()

    @property
    def frames(self) -> int:
        """Number of frames in all clips."""
        return len(self.boxes)

    @property
    def loop_frames(self) -> int:
        """Number of frames of the clip that repeats without motions, which is the first one."""
        return self.clips[0].frames if self.clips else self.frames

    @property
    def ranges(self) -> tuple[ClipRange, ...]:
        """Where the frames of each of several clips lie; empty for an avatar of one clip."""
        return _ranges(self.clips)

    @property
    def graph(self) -> MotionGraph | None:
        """The motion graph of an avatar of several clips; ``None`` for an avatar of one clip."""
        return MotionGraph({clip.name: clip for clip in self.ranges}, self.steps) if self.clips else None

    @property
    def motions(self) -> tuple[str, ...]:
        """Names of the motions, in order of the alphabet."""
        return self.graph.motions if self.graph else ()

    def files(self, clip: Path) -> tuple[Path, ...]:
        """Return the files of all clips in their order, from the path of the first one."""
        return tuple(clip.with_name(one.file) for one in self.clips) or (clip,)

    def to_json(self) -> str:
        """Return the manifest as JSON."""
        fields = asdict(self)
        fields["boxes"] = [[box.x, box.y, box.width, box.height] for box in self.boxes]
        del fields["clips"], fields["steps"], fields["covered"]
        if self.clips:
            fields |= {"clips": [asdict(clip) for clip in self.clips], "steps": steps_to_json(self.steps)}
            fields |= {"covered": self.covered}
        return json.dumps({"format": SEVERAL_FORMAT if self.clips else FORMAT, "fps": FRAME_RATE_HZ, **fields})

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
        known = SEVERAL_FORMAT if "clips" in fields else FORMAT
        if fields.get("format", FORMAT) != known or fields["fps"] != FRAME_RATE_HZ:
            raise ValueError(f"format must be {known} and fps {FRAME_RATE_HZ}")
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
            name=shown(str(fields["name"]), _LONGEST_TEXT),
            loop=fields["loop"],
            size=(width, height),
            boxes=boxes,
            licence=shown(str(fields.get("licence", "unknown")), _LONGEST_TEXT),
            description=str(fields.get("description", "")),
            outline=tuple((float(x), float(y)) for x, y in fields.get("outline", ())),
            source_sha256=str(fields.get("source_sha256", "")),
            clip_sha256=str(fields.get("clip_sha256", "")),
            tool=str(fields.get("tool", "")),
            consent=str(fields.get("consent", "")),
            rest=rest,
            **_detector_fields(fields, len(boxes)),
            **_clip_fields(fields, len(boxes)),
        )


def _ranges(clips: Sequence[StoredClip]) -> tuple[ClipRange, ...]:
    firsts = accumulate((clip.frames for clip in clips), initial=0)
    return tuple(
        ClipRange(clip.name, first, clip.frames // clip.levels, clip.loop, clip.levels)
        for clip, first in zip(clips, firsts, strict=False)
        if clip.name
    )


def _clip_fields(fields: dict[str, Any], frames: int) -> dict[str, Any]:
    """Return the fields of several clips; of one clip there are none."""
    if "clips" not in fields:
        return {}
    clips = tuple(
        StoredClip(
            str(clip["name"]),
            int(clip["frames"]),
            clip["loop"],
            str(clip.get("source_sha256", "")),
            str(clip.get("clip_sha256", "")),
            int(clip.get("levels", 1)),
        )
        for clip in fields["clips"]
    )
    names = [clip.name for clip in clips]
    if names[:1] != [IDLE] or not all(not name or MOTION_PATTERN.fullmatch(name) for name in names):
        raise ValueError(f"the first clip must be {IDLE!r}, and a motion's name match {MOTION_PATTERN.pattern}")
    if any(clip.loop not in get_args(Loop) or clip.frames < 1 for clip in clips):
        raise ValueError("a clip needs frames, and a loop of 'seamless' or 'pingpong'")
    if any(clip.levels < 1 or clip.frames % clip.levels for clip in clips):
        raise ValueError("the levels of a clip must have the same number of frames")
    if sum(clip.frames for clip in clips) != frames or len(set(names)) != len(names):
        raise ValueError(f"the clips must have different names and {frames} frames, one for each box")
    covered = tuple((int(start), int(end)) for start, end in fields.get("covered", ()))
    if not all(0 <= start < end <= frames for start, end in covered):
        raise ValueError("a range in which the mouth is covered lies outside of the clips")
    return {"clips": clips, "steps": graph_of(_ranges(clips), fields["steps"], frames).steps, "covered": covered}


def _detector_fields(fields: dict[str, Any], frames: int) -> dict[str, Any]:
    found = tuple((int(x1), int(y1), int(x2), int(y2)) for x1, y1, x2, y2 in fields.get("detector_boxes", ()))
    if found and len(found) != frames:
        raise ValueError(f"{len(found)} detector boxes for {frames} frames")
    if any(abs(edge) > _FARTHEST_PX for box in found for edge in box):
        raise ValueError(f"a detector box reaches beyond {_FARTHEST_PX} px")
    if (smoothing := fields.get("box_smoothing", "published")) not in BOX_SMOOTHINGS:
        raise ValueError(f"box_smoothing is {smoothing!r}, expected one of {', '.join(BOX_SMOOTHINGS)}")
    by_hand = bool(fields.get("box_by_hand", False))
    return {"detector_boxes": found, "box_smoothing": smoothing, "box_by_hand": by_hand}

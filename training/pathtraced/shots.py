"""Which pictures are taken of a person, as a list that the renderer works off."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lipstream.avatar_cache.stills import EYES_WINDOW, LIDS, lid_name
from training.pathtraced.people import Sitter

TALL = 1.25
"""Height over width of a still, for pictures that are higher than wide."""
VIEW_M, FOCAL_MM, SENSOR_MM = 0.42, 85.0, 36.0
"""Width of the view at the head joint's depth; a portrait lens on a full frame."""
CAMERA_M = VIEW_M * FOCAL_MM / SENSOR_MM
"""Distance from the camera to the head joint, before which it stands."""


@dataclass(frozen=True)
class Shot:
    """One picture.

    Attributes:
        sitter: Id of the person.
        name: Name of the picture; the file is ``<sitter>_<name>.png``.
        actions: Strengths of the facial actions.
        head: Turn of the head: yaw, pitch, roll, degrees.
        window: Centre x, y, half width, half height of the part to render, -1..1 of the upper square, y up; ``None``
            for the whole.
        size_px: Width of the whole picture.
        samples: Light paths a pixel; of no use to a room, which is drawn.
        tall: Height of the whole picture over its width; what is added to a square lies below it.
        room: Whether the room alone is shown; else the person alone, with alpha.
    """

    sitter: str
    name: str
    actions: dict[str, float]
    head: tuple[float, float, float] = (0.0, 0.0, 0.0)
    window: tuple[float, float, float, float] | None = None
    size_px: int = 1024
    samples: int = 48
    tall: float = 1.0
    room: bool = False

    @property
    def file(self) -> str:
        """Name of the picture's file."""
        return f"{self.sitter}_{self.name}.png"


@dataclass(frozen=True)
class ShotList:
    """Shots in their order, and the file of meshes from which they are drawn, relative to the list's own folder."""

    heads: str
    shots: list[Shot] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Write the list as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1))

    @staticmethod
    def load(path: Path) -> ShotList:
        """Read a list written by `save`."""
        facts: dict[str, Any] = json.loads(path.read_text())
        shots: list[dict[str, Any]] = facts["shots"]
        for shot in shots:
            shot |= {key: tuple(value) for key, value in shot.items() if isinstance(value, list)}
        return ShotList(facts["heads"], [Shot(**shot) for shot in shots])


def shut_lids(rest: dict[str, float], shut: float) -> dict[str, float]:
    """Return the facial actions of a face at rest with its lids shut by a share, 0 open to 1."""
    return rest | {"eyeBlink": shut, "eyeWide": (1 - shut) * rest.get("eyeWide", 0.0)}


def shots_of(sitter: Sitter, *, size_px: int, samples: int) -> list[Shot]:
    """Return a person's pictures: the room, the person with open eyes, the eyes at each state of the lids."""
    lids = [
        Shot(
            sitter.id,
            lid_name(shut),
            shut_lids(sitter.rest, shut),
            window=EYES_WINDOW,
            size_px=size_px,
            samples=samples,
        )
        for shut in reversed(LIDS)
    ]
    room = Shot(sitter.id, "room", {}, size_px=size_px, samples=0, room=True)
    return [room, Shot(sitter.id, "open", sitter.rest, size_px=size_px, samples=samples, tall=TALL), *lids]

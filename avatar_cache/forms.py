"""Other forms of the built-in people: larger, upright, before green, or with motions.

They are filmed when they are first asked for.

``ada-1024`` is the person ``ada`` in the form ``1024``. The person's stills and manifest say all that a form needs to
be known: its clip has the motion of the usual one, at another size.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from lipstream.avatar_cache.clip_file import write_clip
from lipstream.avatar_cache.drawn_clips import draw_clips
from lipstream.avatar_cache.idle_motion import LOOP_FRAMES, LivingPhoto
from lipstream.avatar_cache.manifest import ID_PATTERN, Manifest
from lipstream.avatar_cache.photo import Bgr
from lipstream.avatar_cache.scratch_folder import scratch_folder
from lipstream.avatar_cache.stills import StillFacts, Stills, View
from lipstream.realtime.lipsync.sealed_folder import sync_folder
from lipstream.realtime.picture.mouth_painter import Box

GREEN_BGR = (64, 176, 0)
STILLS = "stills"
"""Name of the folder of stills in the folder of a built-in person."""
_CLIP, _MANIFEST = "clip.mp4", "avatar.json"
_EYE_LINE = 0.45
"""Row of the eyes in a picture that is higher than wide, as a share of its height."""


@dataclasses.dataclass(frozen=True, slots=True)
class Form:
    """A kind of picture.

    Attributes:
        size: Width and height, px.
        words: What it is, behind a person's name.
        colour: Blue, green, red behind the person; ``None`` for the person's room.
        has_motions: Whether the person has several clips (docs/MOTIONS.md).
    """

    size: tuple[int, int]
    words: str
    colour: tuple[int, int, int] | None = None
    has_motions: bool = False


FORMS = {
    "1024": Form((1024, 1024), "1024 px"),
    "portrait": Form((1080, 1920), "portrait"),
    "green": Form((512, 512), "before green", GREEN_BGR),
    "lively": Form((512, 512), "with motions", has_motions=True),
}


@dataclasses.dataclass(frozen=True, slots=True)
class FormOf:
    """A form of one person.

    Attributes:
        person: Folder of the built-in person.
        name: Name of the form.
    """

    person: Path
    name: str

    @property
    def id(self) -> str:
        """The avatar's id."""
        return f"{self.person.name}-{self.name}"

    def manifest(self) -> Manifest:
        """Return the manifest of the clip to be, from that of the person's usual clip.

        Raises:
            AvatarError: If the person's files are damaged.
        """
        form, usual = FORMS[self.name], Manifest.read(self.person / _MANIFEST)
        facts = StillFacts.load(self.person / STILLS)
        view = self._view(facts)
        scale = view.scale * facts.size[0] / usual.size[0]

        def at(x: float, y: float) -> tuple[float, float]:
            return scale * x + view.left, scale * y + view.top

        boxes = []
        for box in usual.boxes:
            left, top = (2 * round(v / 2) for v in at(box.x, box.y))
            boxes.append(Box(left, top, 2 * round(scale * box.width / 2), 2 * round(scale * box.height / 2)))
        found = tuple(
            (*_whole(at(left, top)), *_whole(at(right, bottom))) for left, top, right, bottom in usual.detector_boxes
        )
        return dataclasses.replace(
            usual,
            id=self.id,
            name=f"{usual.name}, {form.words}",
            size=form.size,
            boxes=tuple(boxes),
            detector_boxes=found,
            source_sha256="",
            clip_sha256="",
        )

    def picture(self) -> Bgr:
        """Return a picture of it, ``uint8[h, w, 3]``, without filming.

        Raises:
            AvatarError: If the person's files are damaged.
        """
        folder = self.person / STILLS
        facts = StillFacts.load(folder)
        return Stills.load(folder).face(self._view(facts), FORMS[self.name].colour, drawn=facts.drawn)

    def film(self, folder: Path, progress: Callable[[float], None] | None = None) -> None:
        """Write ``clip.mp4`` and ``avatar.json`` into a new folder. A crash leaves no folder.

        Args:
            progress: Called with 0..1.

        Raises:
            AvatarError: If the person's files are damaged.
        """
        told = progress or (lambda _: None)
        with scratch_folder(folder.parent) as scratch:
            whole = self._draw(scratch, told)
            (scratch / _MANIFEST).write_text(whole.to_json())
            sync_folder(scratch)
            try:
                scratch.replace(folder)
            except OSError:
                if not (folder / _MANIFEST).exists():  # if it exists, another process has filmed it meanwhile
                    raise

    def _draw(self, folder: Path, told: Callable[[float], None]) -> Manifest:
        """Write the clips into a folder; return their manifest."""
        facts, manifest, form = StillFacts.load(self.person / STILLS), self.manifest(), FORMS[self.name]
        view = self._view(facts)
        unit = view.scale * facts.size[0]
        stills = Stills.load(self.person / STILLS)
        centre = unit * facts.centre[0] + view.left, unit * facts.centre[1] + view.top
        points = (unit * facts.points + (view.left, view.top)).astype(np.float32)
        if form.has_motions:
            person, lids, room = stills.layers(view, drawn=facts.drawn)
            moving = LivingPhoto(person, centre, unit * facts.side, points, lid_states=lids, behind=room)
            return draw_clips(manifest, moving, folder, told, raises_brows=not facts.glasses)
        usual, lids = stills.faces(view, form.colour, drawn=facts.drawn)
        photo = LivingPhoto(usual, centre, unit * facts.side, points, lid_states=lids)
        clip = folder / _CLIP
        write_clip(clip, _counted(photo.pictures(), told))
        return dataclasses.replace(manifest, clip_sha256=hashlib.sha256(clip.read_bytes()).hexdigest())

    def _view(self, facts: StillFacts) -> View:
        """Return where the still lies: a tall picture ends where the still does, with its eyes at one height."""
        (width, height), (still_width, still_height) = FORMS[self.name].size, facts.size
        if height <= width:
            return View(width, height, width / still_width)
        below = still_height - still_width * facts.eye_row
        scale = max((1 - _EYE_LINE) * height / below, width / still_width)
        left = round(min(max(width / 2 - scale * still_width * facts.centre[0], width - scale * still_width), 0))
        return View(width, height, scale, left, height - round(scale * still_height))


def form_of(avatar_id: str, built_in: Path) -> FormOf | None:
    """Return the form that an id names; ``None`` if it names none.

    Args:
        built_in: Folder of the built-in avatars.
    """
    person, _, name = avatar_id.rpartition("-")
    there = name in FORMS and ID_PATTERN.fullmatch(person) and (built_in / person / STILLS).is_dir()
    return FormOf(built_in / person, name) if there else None


def all_forms(built_in: Path) -> Iterator[FormOf]:
    """Yield every form of every built-in person that is not itself built in, in order of the ids."""
    people = sorted(folder.parent for folder in built_in.glob(f"*/{STILLS}"))
    for person in people:
        for name in sorted(FORMS):
            if not (built_in / f"{person.name}-{name}").exists():
                yield FormOf(person, name)


def _whole(point: tuple[float, float]) -> tuple[int, int]:
    return round(point[0]), round(point[1])


def _counted(pictures: Iterator[Bgr], progress: Callable[[float], None]) -> Iterator[Bgr]:
    for index, picture in enumerate(pictures):
        yield picture
        progress((index + 1) / LOOP_FRAMES)

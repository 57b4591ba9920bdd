"""Built-in avatars from stills: the motion of a photograph, with lids that were made as they shut."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from lipstream.avatar_cache.detectors import create_detector
from lipstream.avatar_cache.face_detector import DetectedFace
from lipstream.avatar_cache.face_geometry import jaw_outline
from lipstream.avatar_cache.face_track import face_windows, to_boxes
from lipstream.avatar_cache.forms import GREEN_BGR, STILLS
from lipstream.avatar_cache.idle_motion import LivingPhoto
from lipstream.avatar_cache.stills import StillFacts, Stills
from training.avatar_files import RATE_HZ, Picture, add_detector_boxes, write_facts, write_video
from training.drawn.mira import DESCRIPTION, MIRA, draw_stills
from training.pathtraced.people import ADA, SITTERS
from training.pathtraced.shots import shots_of

SIZE_PX = 512
_SHEET_PX = 288
_CRF = 15
_DRAWN_PX = 1024
_TRACED, _DRAWN = ("no real person: path-traced from a parametric head", "no real person: drawn by a program")


def keep_stills(rendered: Path, avatars: Path) -> None:
    """Keep the pictures ``<rendered>/<id>_<name>.png`` as ``<avatars>/<id>/stills/<name>.webp``.

    People of whom a picture is missing are left out.
    """
    for sitter in SITTERS:
        if (rendered / f"{sitter.id}_{shots_of(sitter, size_px=0, samples=0)[-1].name}.png").exists():
            save_stills(Stills.load(rendered, f"{sitter.id}_", "png"), avatars / sitter.id / STILLS)


def keep_drawing(avatars: Path, *, size_px: int = _DRAWN_PX) -> None:
    """Draw Mira's stills into ``<avatars>/mira/stills`` if they are missing.

    Args:
        size_px: Width of the stills.
    """
    folder = avatars / MIRA / STILLS
    if not folder.is_dir():
        save_stills(draw_stills(size_px), folder, drawn=True)


def save_stills(stills: Stills, folder: Path, *, drawn: bool = False) -> None:
    """Keep stills as WebP, and find the face in them.

    Raises:
        ValueError: If there is not exactly one face.
    """
    stills.save(folder)
    face = _find(Stills.load(folder).face(stills.square, drawn=drawn))
    ((x, y, half),) = face_windows([face]).tolist()
    height, width = stills.open.shape[:2]
    facts = StillFacts((width, height), (x / width, y / width), 2 * half / width, face.points / width, drawn)
    facts.save(folder)


def write_still_avatars(avatars: Path) -> None:
    """Write every avatar that has stills but no manifest in ``<avatars>/<id>``, and Ada before green."""
    people = {sitter.id: (sitter.description, _TRACED) for sitter in SITTERS} | {MIRA: (DESCRIPTION, _DRAWN)}
    for person, (description, consent) in people.items():
        folder, green = avatars / person, avatars / f"{person}-green"
        if not (folder / STILLS).is_dir():
            continue
        if not (folder / "avatar.json").exists():
            write_avatar(folder / STILLS, folder, description, consent)
        if person == ADA.id and not (green / "avatar.json").exists():
            keyed = f"{person.capitalize()} before plain green, to be keyed out of a video call or a stream."
            write_avatar(folder / STILLS, green, keyed, consent, colour=GREEN_BGR)


def write_avatar(
    source: Path,
    home: Path,
    description: str,
    consent: str,
    *,
    size_px: int = SIZE_PX,
    colour: tuple[int, int, int] | None = None,
) -> None:
    """Write ``clip.mp4`` and ``avatar.json`` of a person.

    Args:
        source: Folder of the stills.
        home: The avatar's folder; its name is the avatar's id.
        size_px: Side of the clip's pictures; at most that of the stills.
        colour: Blue, green, red behind the person; ``None`` for the room.
    """
    home.mkdir(parents=True, exist_ok=True)
    stills, facts = Stills.load(source), StillFacts.load(source)
    side = facts.size[0]
    usual, lids = stills.faces(stills.square, colour, drawn=facts.drawn)
    centre = side * facts.centre[0], side * facts.centre[1]
    photo = LivingPhoto(usual, centre, side * facts.side, side * facts.points, lid_states=lids)
    shrunk = [
        cv2.resize(picture, (size_px, size_px), interpolation=cv2.INTER_AREA)[..., ::-1] for picture in photo.pictures()
    ]
    write_video(home / "clip.mp4", shrunk, _CRF)
    share, half = size_px / side, facts.side / 2 * size_px
    boxes = to_boxes(np.array([(share * x, share * y, half) for x, y in photo.middles()]), size_px, size_px)
    still = np.array([(size_px * facts.centre[0], size_px * facts.centre[1], half)])
    (box,) = to_boxes(still, size_px, size_px)
    points = (size_px * facts.points - (box.x, box.y)) / (box.width, box.height)
    outline = jaw_outline(points.astype(np.float32)[None])
    write_facts(
        {
            "id": home.name,
            "name": home.name.replace("-", " on ").capitalize(),
            "licence": "CC0-1.0",
            "consent": consent,
            "loop": "seamless",
            "fps": RATE_HZ,
            "size": [size_px, size_px],
            "description": description,
            "outline": [[round(float(v), 4) for v in point] for point in outline],
            "boxes": [[box.x, box.y, box.width, box.height] for box in boxes],
        },
        home,
    )
    add_detector_boxes(home)


def write_sheet(avatars: Path, out: Path) -> None:
    """Write a JPEG of all people who have stills, side by side: eyes open above, shut below."""
    columns = []
    for person in (*(sitter.id for sitter in SITTERS), MIRA):
        folder = avatars / person / STILLS
        if folder.is_dir():
            stills = Stills.load(folder)
            usual, lids = stills.faces(stills.square, drawn=StillFacts.load(folder).drawn)
            both = [cv2.resize(one, (_SHEET_PX,) * 2, interpolation=cv2.INTER_AREA) for one in (usual, lids[-1][1])]
            columns.append(np.vstack(both))
    cv2.imwrite(str(out), np.hstack(columns), [cv2.IMWRITE_JPEG_QUALITY, 88])


def _find(picture: Picture) -> DetectedFace:
    """Return the one face.

    Raises:
        ValueError: If there is not exactly one.
    """
    faces = create_detector("built-in").find(picture)
    if len(faces) != 1:
        raise ValueError(f"{len(faces)} faces were found in a still")
    return faces[0]

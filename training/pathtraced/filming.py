"""A film of a path-traced person: what it says, and the clip of what Blender rendered."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from training.avatar_files import RATE_HZ, write_video
from training.motion import idle_clip
from training.pathtraced.film import FILM, FilmPlan
from training.speech import HELD_OUT, make_clip
from training.voices import Manner, speak

_MANNER = Manner(pitch_hz=170.0)
_QUALITY = 12


def plan_film(folder: Path, text: str, *, person: int, seed: int) -> None:
    """Write ``film.npz``: a person says a text with the held-out voice, moving a little and blinking.

    Args:
        folder: Dataset with the plan of `training.pathtraced.plan`.
        text: English sentences.
        person: Number of the person.
        seed: Seed of the motion.
    """
    ((engine, voice, _),) = HELD_OUT
    said = make_clip(speak(text, engine, voice, _MANNER))
    poses, moods = idle_clip(len(said.mouth), RATE_HZ, np.random.default_rng(seed))
    FilmPlan(
        person,
        said.mouth,
        np.array([pose.head for pose in poses], np.float32),
        np.array([mood["eyeBlink"] for mood in moods], np.float32),
        said.samples,
    ).save(folder / FILM)


def join_film(folder: Path, out: Path) -> None:
    """Write the frames that Blender rendered into ``film/``, and their sound, as an MP4 file.

    Raises:
        FileNotFoundError: If a frame is missing.
    """
    film = FilmPlan.load(folder / FILM)
    paths = film.pictures(folder / "film")
    missing = [path for path in paths if not path.exists()]
    if missing:
        raise FileNotFoundError(f"{len(missing)} of {len(paths)} frames are not rendered, the first is {missing[0]}")
    frames = [np.ascontiguousarray(np.asarray(cv2.imread(str(path)), np.uint8)[..., ::-1]) for path in paths]
    write_video(out, frames, _QUALITY, film.samples)

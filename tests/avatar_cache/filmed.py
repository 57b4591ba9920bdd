"""Clips of one person as somebody films them for an avatar with motions: one seat, one light, one pose at both ends.

They are warped from the loop of a built-in person, who breathes and blinks.
"""

from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from lipstream.avatar_cache.media_reader import Limits, open_source
from lipstream.avatar_cache.store import BUILT_IN
from tests.avatar_cache.clips import write_clip

SIDE = 256
_SKIN = (120, 150, 205)


def film(folder: Path, *, idle: int = 90, speaking: int = 70, greet: int = 50) -> dict[str, Path]:
    """Write the clips `idle`, `speaking` and `greet`, each of so many frames; return their files."""
    loop = list(islice(open_source(BUILT_IN / "ada" / "clip.mp4", Limits(), side=SIDE).pictures(), 150))
    phases = {
        "idle": (np.arange(idle) % len(loop), np.zeros(idle), np.zeros(idle)),
        "speaking": (np.arange(20, 20 + speaking) % len(loop), _nods(speaking), np.zeros(speaking)),
        "greet": (np.arange(5, 5 + greet) % len(loop), _once(greet) * 2, _once(greet)),
    }
    return {
        name: write_clip(
            folder / f"{name}.mp4",
            [_posed(loop[at], nod, wave, int(at)) for at, nod, wave in zip(frames, nods, waves, strict=True)],
        )
        for name, (frames, nods, waves) in phases.items()
    }


def film_wipe(folder: Path, *, frames: int = 48) -> Path:
    """Write a clip in which a hand passes before the mouth, from frame 12 to 36 or so."""
    pictures = []
    for index, picture in enumerate(
        islice(open_source(BUILT_IN / "ada" / "clip.mp4", Limits(), side=SIDE).pictures(), frames)
    ):
        across = 129 + round(80 * np.sin(np.pi * (index - frames / 2) / frames))
        if not 4 <= index < frames - 4:
            across = -100
        cv2.ellipse(picture, (across, 149), (26, 18), 0, 0, 360, _SKIN, -1, cv2.LINE_AA)
        for finger in range(4):
            ends = (across - 24, 135 + 9 * finger), (across + 24, 135 + 9 * finger)
            cv2.line(picture, *ends, (80, 105, 150), 1, cv2.LINE_AA)
        pictures.append(picture)
    return write_clip(folder / "wipe.mp4", pictures)


def _nods(frames: int) -> np.ndarray:
    """A livelier head, px."""
    return 3 * np.sin(2 * np.pi * np.arange(frames) / 35)


def _once(frames: int) -> np.ndarray:
    """0 at both ends, 1 in the middle."""
    return np.sin(np.pi * np.arange(frames) / (frames - 1)) ** 2


def _posed(picture: np.ndarray, nod: float, wave: float, frame: int) -> np.ndarray:
    """Move the head down by ``nod`` px, and raise a hand beside it."""
    height, width = picture.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    head = np.exp(-(((x - width / 2) / 70) ** 2) - ((y - 120) / 80) ** 2).astype(np.float32)
    lookup = np.asarray(y - nod * head, np.float32)
    moved: np.ndarray = cv2.remap(picture, x, lookup, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    if wave > 0.05:
        centre = int(218 + 8 * np.sin(frame / 2)), int(height + 20 - 120 * wave)
        cv2.ellipse(moved, centre, (15, 22), 0, 0, 360, _SKIN, -1, cv2.LINE_AA)
    return moved

"""Rendered clips of speaking heads, with the same pictures at rest."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.appearance import HeadPose, random_look, random_stage
from training.augmentation import Sound
from training.dataset import HELD_OUT, face_window
from training.geometry import lip_gap, lip_width
from training.heads import Floats, HeadSet
from training.motion import idle_clip
from training.pairs import CROP
from training.renderer import Renderer
from training.sync import HEARD_OFFSET
from training.visemes import FRAME_RATE_HZ, spread_actions

Images = NDArray[np.uint8]

_SYNC_FRAMES = 60
_LOOP_FRAMES = 10 * FRAME_RATE_HZ


@dataclass
class SpokenClip:
    """A rendered clip of a speaking head.

    Attributes:
        truth: Pictures, ``uint8[T, 96, 96, 3]``, BGR.
        rest: The same pictures with the mouth at rest, ``uint8[T, 96, 96, 3]``; T is 1 for a still head.
        lips_m: Opening and width of the lips beyond those at rest, metres, ``float32[T, 2]``.
        mouths: True mouths, ``float32[T, 13]``.
    """

    truth: Images
    rest: Images
    lips_m: Floats
    mouths: Floats


class ClipPainter:
    """Renders clips with random appearance, light and pose."""

    def __init__(self, heads: HeadSet) -> None:
        self.heads = heads

    @cached_property
    def _renderer(self) -> Renderer:
        return Renderer(self.heads, CROP, samples=0, shells=3)

    def draw(
        self, index: int, mouths: Floats, rng: np.random.Generator, *, male: bool, living: bool = False
    ) -> SpokenClip:
        """Return a clip of a head with the given mouths.

        Args:
            mouths: Mouth of each frame, ``float32[T, 13]``.
            rng: Source of appearance, light and pose.
            male: Whether the head looks male.
            living: Whether the head sways and nods like the built-in avatars, with the face box following it.
        """
        heads = self.heads
        sitter = self._renderer.sit(index, random_look(rng, male=male))
        stage, pose = random_stage(rng), HeadPose(head=(float(rng.normal(0, 8)), float(rng.normal(0, 4)), 0.0))
        poses = idle_clip(_LOOP_FRAMES, FRAME_RATE_HZ, rng)[0] if living else [pose]
        at_rest = np.zeros_like(mouths[0])

        def picture(mouth: Floats, pose: HeadPose) -> Images:
            window = face_window(heads, sitter.vertices, index, pose, stage)
            actions = spread_actions(mouth, heads.action_names)
            return self._renderer.draw(sitter, actions, pose, stage, window)[..., ::-1]

        def lips(mouth: Floats) -> tuple[float, float]:
            moved = np.tensordot(spread_actions(mouth, heads.action_names), heads.actions, 1)
            return lip_gap(heads, sitter.vertices + moved), lip_width(heads, sitter.vertices + moved)

        shown = list(islice(cycle(poses), len(mouths)))
        truth = np.stack([picture(mouth, pose) for mouth, pose in zip(mouths, shown, strict=True)])
        rest = np.stack([picture(at_rest, pose) for pose in (shown if living else poses)])
        lips_m = np.array([lips(mouth) for mouth in mouths], np.float32) - np.array(lips(at_rest), np.float32)
        return SpokenClip(truth, rest, lips_m, mouths)


class HeldClips:
    """The evaluation's clips of heads outside the training set, rendered once and kept on disk.

    Args:
        folder: Dataset; the clips are kept in its subfolder ``held-clips``.
        seed: Seed of appearance, light and pose.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self._painter, self._seed = ClipPainter(HeadSet.load(folder / "heads.npz")), seed
        self._folder = folder / "held-clips"
        self._folder.mkdir(exist_ok=True)

    def clip(self, name: str, number: int, mouths: Floats, *, living: bool = False) -> SpokenClip:
        """Return the clip of head ``number`` with these mouths; see `ClipPainter.draw`."""
        path = self._folder / f"{name}-{number:02d}-{self._seed}.npz"
        if not path.exists():
            index = len(self._painter.heads.names) - HELD_OUT + number % HELD_OUT
            rng = np.random.default_rng([self._seed, number])
            np.savez(path, **vars(self._painter.draw(index, mouths, rng, male=bool(number % 2), living=living)))
        with np.load(path) as data:
            return SpokenClip(**{key: data[key] for key in data.files})


def build_sync_clips(folder: Path, *, clips: int, seed: int, progress: Any = print) -> None:
    """Render the clips for training the sync scorer, of training heads with training speech, unless they exist.

    ``sync-clips.npz`` holds ``pictures uint8[N, 60, 96, 96, 3]`` and ``shown int[N, 60]``, the frames of speech shown.
    """
    kept = folder / "sync-clips.npz"
    if kept.exists():
        return
    rng = np.random.default_rng(seed)
    painter, sound = ClipPainter(HeadSet.load(folder / "heads.npz")), Sound(folder, "speech", HEARD_OFFSET)
    spoken = [clip for clip in sound.roomy(_SYNC_FRAMES) if sound.voiced[clip]]
    pictures, shown = [], []
    for number in range(clips):
        first = int(sound.first_frame[rng.choice(spoken)])
        shown.append(first + np.arange(_SYNC_FRAMES))
        index = int(rng.integers(len(painter.heads.names) - HELD_OUT))
        pictures.append(painter.draw(index, sound.mouth[shown[-1]], rng, male=bool(rng.integers(2))).truth)
        progress(f"sync, clip {number + 1}/{clips}")
    np.savez(kept, pictures=np.stack(pictures), shown=np.stack(shown))

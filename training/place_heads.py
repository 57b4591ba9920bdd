"""Rendered heads that no fit has seen, as models for `training.place`."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lipstream.avatar_cache.clip_builder import BuildOptions
from lipstream.avatar_cache.store import AvatarStore
from lipstream.realtime.errors import NotFoundError, SettingsError
from lipstream.realtime.lipsync.metadata import PUBLISHED_PADS
from lipstream.realtime.render import read_sound
from training.appearance import HeadPose, random_look, random_stage
from training.avatar_files import write_video
from training.dataset import HELD_OUT, rest_actions
from training.heads import Floats, HeadSet
from training.landmark_points import points_in_window
from training.motion import idle_clip
from training.place import Sight, Way, figures_of, measure, with_crop
from training.renderer import Renderer
from training.visemes import FRAME_RATE_HZ, spread_actions

Images = NDArray[np.uint8]

_SIDE_PX = 384
_FRAMES = 50  # of a clip; the sound repeats them
_MOST_TURNED = (12.0, 6.0)
_WHOLE = (0.0, 0.0, 1.0)
_PLOTTED, _PLOT_SIDE = 4, 192


class HeldHead:
    """One of the last identities of a set, which `training.fit` never sees, moving a little with its mouth at rest.

    Args:
        renderer: Renderer of whole pictures.
        number: Place among the held-out identities, from 0.
        seed: Seed of appearance, light and pose.
        folder: Folder for the clip.
    """

    def __init__(self, renderer: Renderer, number: int, seed: int, folder: Path) -> None:
        rng = np.random.default_rng([seed, number])
        self._heads, self._renderer = renderer.heads, renderer
        self._index = len(self._heads.names) - HELD_OUT + number
        self._sitter = renderer.sit(self._index, random_look(rng, male=bool(number % 2)))
        self._stage, self._clip = random_stage(rng), folder / f"head-{number}-{seed}.mp4"
        turned = rng.uniform(-1, 1, 2) * _MOST_TURNED
        poses, moods = idle_clip(_FRAMES, FRAME_RATE_HZ, rng)
        self._poses = [
            HeadPose((p.head[0] + turned[0], p.head[1] + turned[1], p.head[2]), p.neck, p.shift) for p in poses
        ]
        self._moods = [rest_actions(self._heads, mood) for mood in moods]

    def _actions(self, frame: int, mouth: Floats | None) -> Floats:
        spoken = 0 if mouth is None else spread_actions(mouth, self._heads.action_names)
        actions: Floats = np.clip(self._moods[frame] + spoken, 0, 1).astype(np.float32)
        return actions

    def _draw(self, frame: int, mouth: Floats | None) -> Images:
        actions = self._actions(frame, mouth)
        return self._renderer.draw(self._sitter, actions, self._poses[frame], self._stage, _WHOLE)

    def build(self, store: AvatarStore, avatar_id: str) -> None:
        """Film the head and build the avatar as a user would, its face found by the built-in detector."""
        try:
            store.load(avatar_id)
        except NotFoundError:
            write_video(self._clip, [self._draw(frame, None) for frame in range(_FRAMES)], 12)
            store.build(self._clip, avatar_id, options=BuildOptions(loop="pingpong", licence="CC0-1.0"))

    def truth(self, frame: int, mouth: Floats) -> tuple[Images, Floats]:
        """Return the clip's frame with another mouth, and its points; see `training.place.Model`."""
        where = (self._heads, self._sitter.vertices, self._index, self._actions(frame, mouth))
        points = points_in_window(*where, self._poses[frame], self._stage, _WHOLE)
        return np.ascontiguousarray(self._draw(frame, mouth)[..., ::-1]), points * _SIDE_PX


def _row(sights: list[Sight]) -> Images:
    chosen = np.linspace(0, len(sights) - 1, _PLOTTED).round().astype(int)
    pairs = [cv2.resize(picture, (_PLOT_SIDE, _PLOT_SIDE)) for at in chosen for picture in sights[at][1:]]
    return np.asarray(np.hstack(pairs), np.uint8)


def place(
    data: Path,
    weights: Path,
    audio: Path,
    *,
    heads: int,
    seed: int = 5,
    plot: Path | None = None,
) -> dict[str, dict[str, float]]:
    """Return how far from the truth weights draw the lips of heads that no fit has seen, and with the wrong crop.

    The avatars stay in ``place-<seed>`` for the next call.

    Args:
        data: Dataset with ``heads.npz``.
        weights: Weights with a detector's crop.
        audio: Speech, any file with sound.
        heads: Number of heads, 1 to `HELD_OUT`.
        seed: Seed of appearance, light and pose.
        plot: Picture to write: pairs of truth and drawn, in a row for each way to crop.

    Returns:
        Figures for each way to crop, see `training.place.figures_of`.

    Raises:
        WeightsError: If the file is invalid or does not take a detector's crop.
        BadRequestError: If the sound cannot be read.
        SettingsError: If the sound has no speech, or there are not so many heads.
    """
    if not 1 <= heads <= HELD_OUT:
        raise SettingsError(f"{HELD_OUT} heads are kept out of the fit: --heads is 1 to {HELD_OUT}")
    sound, folder = read_sound(audio), data / f"place-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    renderer = Renderer(HeadSet.load(data / "heads.npz"), _SIDE_PX, samples=0, shells=3)
    models = [HeldHead(renderer, number, seed, folder) for number in range(heads)]
    right, wrong = folder / "right.safetensors", folder / "wrong.safetensors"
    with_crop(weights, right, "detector")
    with_crop(weights, wrong, "lipstream")
    ways = {
        "a detector's crop": Way(right),
        "a detector's crop, the script's pads": Way(right, PUBLISHED_PADS),
        "Lipstream's crop, for contrast": Way(wrong),
    }
    seen = measure(models, weights, sound, folder / "store", ways)
    figures = {way: figures_of([sight.lips for sight in sights]) for way, sights in seen.items()}
    if plot:
        cv2.imwrite(str(plot), np.vstack([_row(sights) for sights in seen.values()]))
    return figures

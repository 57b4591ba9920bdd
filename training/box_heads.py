"""Rendered heads and photographs on which `training.box_check` compares boxes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from lipstream.avatar_cache.built_in_detector import BuiltInDetector
from lipstream.realtime.errors import SettingsError
from training.appearance import random_look, random_pose, random_stage
from training.box_check import Finder, Images, compare, mtcnn
from training.dataset import face_window
from training.detector_crops import view_around
from training.heads import HeadSet
from training.renderer import Renderer

_SIDE_PX = 384


def rendered_heads(folder: Path, count: int, seed: int) -> Iterator[Images]:
    """Yield rendered heads, any of the set, as they look into a camera, ``uint8[384, 384, 3]``, BGR."""
    rng, heads = np.random.default_rng(seed), HeadSet.load(folder / "heads.npz")
    renderer = Renderer(heads, _SIDE_PX, samples=0, shells=3)
    rest = np.zeros(len(heads.action_names), np.float32)
    for number in range(count):
        index = int(rng.integers(len(heads.names)))
        sitter = renderer.sit(index, random_look(rng, male=bool(number % 2)))
        stage, pose = random_stage(rng), random_pose(rng)
        x, y, half = view_around(face_window(heads, sitter.vertices, index, pose, stage))
        picture = renderer.draw(sitter, rest, pose, stage, (x, y, 1.4 * half))
        yield np.ascontiguousarray(picture[..., ::-1])


def _photograph(path: Path) -> Images:
    picture = cv2.imread(str(path))
    if picture is None:
        raise SettingsError(f"cannot read the picture {path}")
    return np.ascontiguousarray(picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2], np.uint8)


def box_figures(
    folder: Path, *, heads: int, photographs: Sequence[Path], seed: int, theirs: Finder | None = None
) -> dict[str, dict[str, float]]:
    """Return the figures of rendered heads together, and of each photograph, see `compare`.

    Args:
        folder: Dataset with ``heads.npz``, if there are any heads to render.
        heads: Number of heads to render.
        photographs: Pictures of one face each.
        seed: Seed of the heads' appearance, light and pose.
        theirs: Detector to compare with; ``None`` for MTCNN.

    Raises:
        SettingsError: If MTCNN is not installed, or a picture cannot be read or has no face.
    """
    theirs, ours = theirs or mtcnn(), BuiltInDetector()
    rows = {f"{heads} rendered heads": compare(rendered_heads(folder, heads, seed), ours, theirs)} if heads else {}
    return rows | {path.stem: compare([_photograph(path)], ours, theirs) for path in photographs}

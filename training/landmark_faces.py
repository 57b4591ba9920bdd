"""Rendered heads for landmark training: cut out of their backdrop, with the 68 points of the iBUG layout."""

from __future__ import annotations

import multiprocessing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.appearance import Appearance, HeadPose, random_look, random_stage
from training.dataset import face_window
from training.heads import Floats, HeadSet
from training.landmark_points import points_in_window
from training.renderer import Picture, Renderer

SIDE_PX = 144
_MARGIN = 1.8  # factor on the face box: hair, ears and neck must be in the picture
_SHARD = 250
_PER_SITTER = 16


def _pose(rng: np.random.Generator) -> HeadPose:
    wide = float(rng.choice((0.4, 1.0)))
    yaw, pitch = rng.normal(0, 28 * wide), rng.normal(0, 14 * wide)
    return HeadPose(
        head=(float(np.clip(yaw, -65, 65)), float(np.clip(pitch, -30, 30)), float(rng.normal(0, 6))),
        neck=(float(rng.normal(0, 5)), float(rng.normal(0, 3)), float(rng.normal(0, 3))),
    )


def _expression(heads: HeadSet, rng: np.random.Generator) -> Floats:
    """Draw facial actions: a few strong ones, mostly symmetric; blinks and open mouths often."""
    values = dict.fromkeys(heads.action_names, 0.0)
    stems = sorted({name.removesuffix("Left").removesuffix("Right") for name in heads.action_names})
    usual = ("jawOpen", "mouthSmile", "eyeBlink", "browInnerUp", "mouthPucker", "eyeSquint", "mouthUpperUp")
    for stem in (*rng.choice(stems, 4, replace=False), *rng.choice(usual, 3, replace=False)):
        level = float(rng.uniform(0, 1)) ** 1.5
        for name in (stem, stem + "Left", stem + "Right"):
            if name in values:
                values[name] = min(level * float(rng.uniform(0.85, 1.1)), 1.0)
    if rng.random() < 0.25:
        values |= dict.fromkeys(("eyeBlinkLeft", "eyeBlinkRight"), float(rng.uniform(0.5, 1.0)))
    if rng.random() < 0.3:
        values |= dict.fromkeys(("mouthSmileLeft", "mouthSmileRight"), float(rng.uniform(0.3, 1.0)))
    return np.array([values[name] for name in heads.action_names], np.float32)


def _cut_out(drawn: Picture) -> NDArray[np.uint8]:
    """Return a picture (RGB) rendered before green as ``uint8[S, S, 4]``: BGR and coverage."""
    red, green, blue = (drawn[..., channel].astype(np.int16) for channel in range(3))
    spill = np.clip(green - np.maximum(red, blue), 0, 255)
    return np.dstack([blue, green - spill, red, 255 - spill]).astype(np.uint8)


class HeadPainter:
    """Renders heads without a backdrop."""

    def __init__(self, heads: HeadSet) -> None:
        self._heads = heads
        self._renderer = Renderer(heads, SIDE_PX, oversample=2, samples=0, shells=3)

    def draw(self, count: int, rng: np.random.Generator) -> list[dict[str, Any]]:
        """Render one identity `count` times: ``image uint8[S, S, 4]`` (BGR, coverage) and ``points``."""
        heads = self._heads
        index = int(rng.integers(len(heads.names)))
        look: Appearance = random_look(rng, male=bool(rng.random() < 0.5))
        sitter = self._renderer.sit(index, look)
        made = []
        for _ in range(count):
            stage, pose, actions = random_stage(rng), _pose(rng), _expression(heads, rng)
            x, y, half = face_window(heads, sitter.vertices, index, pose, stage)
            window = (x, y + 0.1 * half, half * _MARGIN)
            green = replace(stage, near=(0.0, 1.0, 0.0), far=(0.0, 1.0, 0.0), grain=0.0)
            image = _cut_out(self._renderer.draw(sitter, actions, pose, green, window))
            points = points_in_window(heads, sitter.vertices, index, actions, pose, stage, window)
            made.append({"image": image, "points": points})
        return made


def _write_shard(task: tuple[Path, Path, int]) -> str:
    heads_path, shard, seed = task
    if shard.exists():
        return f"{shard.name} is there"
    rng = np.random.default_rng(seed)
    painter = HeadPainter(HeadSet.load(heads_path))
    scenes: list[dict[str, Any]] = []
    while len(scenes) < _SHARD:
        scenes += painter.draw(_PER_SITTER, rng)
    fields: dict[str, NDArray[Any]] = {key: np.stack([scene[key] for scene in scenes]) for key in scenes[0]}
    part = shard.with_suffix(".part.npz")
    np.savez(part, image=fields["image"], points=fields["points"])
    part.rename(shard)
    return shard.name


def build_landmark_faces(folder: Path, *, shards: int, seed: int, workers: int, progress: Any = print) -> None:
    """Render the pictures shard by shard; existing shards are kept.

    Each ``points-*.npz`` holds ``image uint8[S, 144, 144, 4]`` and ``points float32[S, 68, 2]`` (0..1).
    """
    tasks = [(folder / "heads.npz", folder / f"points-{i:04d}.npz", seed * 100_003 + i) for i in range(shards)]
    # Graphics contexts do not survive a fork.
    with multiprocessing.get_context("spawn").Pool(workers, maxtasksperchild=8) as pool:
        for done, name in enumerate(pool.imap(_write_shard, tasks), 1):
            progress(f"points {done}/{shards} {name}")

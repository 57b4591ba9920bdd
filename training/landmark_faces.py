"""Rendered heads for landmark training: cut out of their backdrop, with the 68 points of the iBUG layout.

Every point is a vertex of the mesh, so it is known exactly in any pose and expression.
"""

from __future__ import annotations

import multiprocessing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipstream.avatar_cache.face_geometry import MEAN_FACE
from training.appearance import Appearance, HeadPose, Stage, random_look, random_stage
from training.dataset import face_window
from training.geometry import project, rotation
from training.heads import SKIN, Floats, HeadSet, Ints
from training.renderer import Picture, Renderer, Sitter

SIDE_PX = 144
_MARGIN = 1.8  # factor on the face box: hair, ears and neck must be in the picture
_SHARD = 250
_PER_SITTER = 16


def landmark_vertices(heads: HeadSet) -> Ints:
    """Return the vertex of each of the 68 points, ``int32[68]``."""
    skin = np.where(heads.parts == SKIN)[0]
    away = ((heads.canonical[skin][None] - MEAN_FACE[:, None] / 1000) ** 2).sum(axis=2)
    vertices: Ints = skin[away.argmin(axis=1)].astype(np.int32)
    return vertices


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


def points_in_window(
    heads: HeadSet, sitter: Sitter, actions: Floats, pose: HeadPose, stage: Stage, window: tuple[float, float, float]
) -> Floats:
    """Return the 68 points in a window of the picture, ``float32[68, 2]``: 0..1, x right, y down."""
    chosen = landmark_vertices(heads)
    points = sitter.vertices[chosen] + np.tensordot(actions, heads.actions[:, chosen], 1)
    points = points + np.asarray(pose.shift, np.float32)
    neck, head = rotation(pose.neck), rotation(pose.head)
    head_pivot, neck_pivot = heads.pivots[sitter.index]
    pivot = neck_pivot + neck @ (head_pivot - neck_pivot)
    # As in the shader: some vertices turn with the head, some only with the neck.
    follow = heads.follow[chosen]
    by_head = pivot + (points - head_pivot) @ (neck @ head).T
    by_neck = neck_pivot + (points - neck_pivot) @ neck.T
    placed = points + (by_neck - points) * follow[:, 1:2]
    placed = placed + (by_head - placed) * follow[:, :1]
    flat = (project(stage, placed.astype(np.float32)) - np.array(window[:2])) / window[2]
    return np.stack([(flat[:, 0] + 1) / 2, (1 - flat[:, 1]) / 2], axis=1).astype(np.float32)


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
            made.append({"image": image, "points": points_in_window(heads, sitter, actions, pose, stage, window)})
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

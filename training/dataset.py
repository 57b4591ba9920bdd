"""Pictures for training: scenes in which everything but the mouth is constant.

A scene is one head, pose, light and camera, rendered with several mouths. Any two of its pictures make a training pair,
one as the reference and the other as the target. A server uses the network in the same way: there the reference is the
clip's own frame.
"""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from training.appearance import HeadPose, Stage, random_look, random_pose, random_stage
from training.characters import PEOPLE
from training.detector_crops import VIEW_PX, box_of, cut, view_around
from training.face_box import Landmarks, square_of
from training.geometry import project, rotation
from training.heads import SKIN, Floats, HeadSet
from training.landmark_points import points_in_window
from training.pairs import CROP, stem_of
from training.renderer import Renderer
from training.speech import read_mouths
from training.visemes import MOUTH_ACTIONS, spread_actions

MOUTHS = 5
HELD_OUT = 6
"""Number of last identities of a set that are kept for evaluation."""
_SCENES_AN_IDENTITY = 8
_LAUGH = {
    "jawOpen": (0.0, 0.18),
    "mouthSmile": (0.1, 0.5),
    "mouthUpperUp": (0.25, 0.7),
    "mouthLowerDown": (0.15, 0.6),
    "mouthStretch": (0.0, 0.35),
}
_SMILE = (0.2, 0.7)
_FLOODED, _SEEN = 1000.0, 24
"""Light in the mouth that makes its inside white, and the change of a pixel by which it shows."""
_LAUGHS, _GRIMACES, _BETWEEN = 0.4, 0.12, 0.12
"""Shares of the scenes by the kind of their last mouth; in the other scenes it is one more moment of speech."""
BUILT_IN_SHARE = 0.15
"""Extra share of the scenes for the built-in people, whose faces users see first."""


def face_window(
    heads: HeadSet, vertices: Floats, index: int, pose: HeadPose, stage: Stage
) -> tuple[float, float, float]:
    """Return the face box in the whole picture, see `training.face_box.square_of`.

    Args:
        vertices: Neutral face of one identity, ``float32[V, 3]``.
        index: Index of the identity, for its joints.
    """
    marks = Landmarks.of(heads.canonical, heads.parts == SKIN)
    points = marks.points(vertices, heads.actions[heads.action_names.index("jawOpen")])
    points = points + np.asarray(pose.shift, np.float32)
    neck, head = rotation(pose.neck), rotation(pose.head)
    head_pivot, neck_pivot = heads.pivots[index]
    pivot = neck_pivot + neck @ (head_pivot - neck_pivot)
    turned = pivot + (points - head_pivot) @ (neck @ head).T
    flat = project(stage, turned)
    nearness = stage.distance_m / (stage.distance_m + float(turned[0, 1]))
    return square_of(turned, flat, nearness / (stage.view_height_m / 2))


def _mood(heads: HeadSet, rng: np.random.Generator) -> Floats:
    """Return the expression of a whole scene."""
    values = dict.fromkeys(heads.action_names, 0.0)
    for stem, most in (("mouthSmile", 0.3), ("browOuterUp", 0.4), ("eyeSquint", 0.4), ("mouthFrown", 0.15)):
        level = max(rng.uniform(-0.6, 1.0), 0.0) * most
        for side in ("Left", "Right"):
            values[stem + side] = level * rng.uniform(0.8, 1.1)
    blink = rng.choice((0.0, rng.uniform(0, 1)), p=(0.8, 0.2))
    values |= {"eyeBlinkLeft": blink, "eyeBlinkRight": blink, "browInnerUp": max(rng.uniform(-0.5, 0.5), 0)}
    return np.array([values[name] for name in heads.action_names], np.float32)


def _odd_mouth(rng: np.random.Generator) -> Floats:
    """Return a grimace: a pout, a wide open mouth, a lopsided mix."""
    mouth = np.zeros(len(MOUTH_ACTIONS), np.float32)
    for name, most in {"jawOpen": 0.6, "mouthSmile": 0.9, "mouthPucker": 0.8, "mouthFunnel": 0.5}.items():
        mouth[MOUTH_ACTIONS.index(name)] = max(rng.uniform(-0.7, 1), 0) * most
    for name in ("mouthUpperUp", "mouthLowerDown", "mouthStretch"):
        mouth[MOUTH_ACTIONS.index(name)] = max(rng.uniform(-0.5, 1), 0) * 0.6
    return mouth


def random_laugh(rng: np.random.Generator) -> Floats:
    """Return a laugh with parted lips on top of a smile, as in most photographs that users bring."""
    mouth = np.zeros(len(MOUTH_ACTIONS), np.float32)
    for name, (least, most) in _LAUGH.items():
        mouth[MOUTH_ACTIONS.index(name)] = rng.uniform(least, most)
    return mouth


def _degrade(pictures: list[NDArray[np.uint8]], rng: np.random.Generator) -> list[NDArray[np.uint8]]:
    """Degrade all pictures of a scene as by one camera: blur, gamma, noise, compression."""
    sigma = max(rng.uniform(-1.0, 1.0), 0.0)
    gamma, cast = rng.uniform(0.8, 1.25), rng.normal(1, 0.04, 3)
    noise = max(rng.uniform(-6, 6), 0.0)
    quality = int(rng.integers(35, 96)) if rng.random() < 0.5 else 0
    grain = rng.standard_normal(pictures[0].shape)
    done = []
    for picture in pictures:
        image = cv2.GaussianBlur(picture, (0, 0), sigma) if sigma > 0.2 else picture
        values = ((image / 255.0) ** gamma * cast) * 255 + noise * grain
        image = np.clip(values, 0, 255).astype(np.uint8)
        if quality:
            _, coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
            image = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)
        done.append(image)
    return done


class SceneMaker:
    """Renders random scenes.

    Args:
        mouths: All spoken mouths to choose from, ``float32[frames, 13]``.
        held_out: Whether to render the identities kept for evaluation, or the others.
        built_in_share: Extra share of scenes for the built-in people.
        crop: ``lipstream`` or ``detector``, see `lipstream.realtime.lipsync.metadata.WeightsMetadata`.
        size: Side of the pictures, px; for Lipstream's crop.
        truth: Whether pictures serve as truth: they are not degraded, and scenes have ``inside uint8[5, size, size]``,
            255 where a picture shows teeth, tongue or the dark between them.
    """

    def __init__(
        self,
        heads: HeadSet,
        mouths: Floats,
        *,
        held_out: bool,
        built_in_share: float = BUILT_IN_SHARE,
        crop: str = "lipstream",
        size: int = CROP,
        truth: bool = False,
    ) -> None:
        self._truth = truth
        self._heads, self._mouths, self._crop = heads, mouths, crop
        self._built_in_share = 0.0 if held_out else built_in_share
        self._renderer = Renderer(heads, VIEW_PX if crop == "detector" else size, samples=0, shells=3)
        count = len(heads.names)
        self._choice = range(count - HELD_OUT, count) if held_out else range(count - HELD_OUT)
        # A moving mouth teaches more than one at rest, which other pictures show already.
        self._moving = np.where(mouths.sum(axis=1) > 0.02)[0]

    def scenes(self, count: int, rng: np.random.Generator) -> list[dict[str, Any]]:
        """Render `count` scenes of one identity with one appearance."""
        heads = self._heads
        index = int(rng.choice(self._choice))
        if rng.random() < self._built_in_share:
            index = int(rng.integers(len(PEOPLE)))
        built_in = index < len(PEOPLE)
        usual = PEOPLE[index] if built_in and rng.random() < 0.7 else None
        look = usual.look if usual else random_look(rng, male=bool(rng.random() < 0.5))
        sitter = self._renderer.sit(index, look)
        made = []
        for _ in range(count):
            stage, pose = random_stage(rng), random_pose(rng)
            if usual and rng.random() < 0.6:
                stage = usual.stage
                pose = HeadPose(head=tuple(0.4 * angle for angle in pose.head))  # type: ignore[arg-type]
            x, y, half = face_window(heads, sitter.vertices, index, pose, stage)
            if self._crop == "detector":
                window = view_around((x, y, half))
            else:
                half *= rng.uniform(0.95, 1.08)
                window = (x + half * rng.normal(0, 0.05), y + half * rng.normal(0, 0.04), half)
            mouths, laughs = self._draw_mouths(rng)
            mood = _mood(heads, rng)
            if usual:
                mood = mood * 0.3 + rest_actions(heads, usual.rest)
            if laughs:  # the smile stays while the lips close or speak
                mood = np.maximum(mood, rest_actions(heads, {"mouthSmile": rng.uniform(*_SMILE)}))
            actions = np.clip(mood + spread_actions(mouths, heads.action_names), 0, 1)
            drawn = (self._renderer.draw(sitter, action, pose, stage, window) for action in actions)
            pictures = [np.ascontiguousarray(picture[..., ::-1]) for picture in drawn]
            if self._crop == "detector":
                points = points_in_window(heads, sitter.vertices, index, actions[0], pose, stage, window)
                box = box_of(pictures[0], points, rng)
                pictures = [cut(picture, box) for picture in pictures]
            images = _degrade(pictures, rng) if rng.random() < 0.5 and not self._truth else pictures
            scene = {"images": np.stack(images), "mouths": mouths, "identity": index}
            if self._truth:
                lit = [self._renderer.draw(sitter, action, pose, stage, window, gape=_FLOODED) for action in actions]
                away = np.stack(lit).astype(int)[..., ::-1] - scene["images"]
                scene["inside"] = np.where(np.abs(away).max(axis=-1) > _SEEN, 255, 0).astype(np.uint8)
            made.append(scene)
        return made

    def _draw_mouths(self, rng: np.random.Generator) -> tuple[Floats, bool]:
        """Return the mouths of a scene, and whether the last one laughs.

        They are a mouth at rest, moments of speech, and often a laugh, a grimace or an intermediate mouth as the last
        one.
        """
        first, second = self._mouths[rng.choice(self._moving, (2, MOUTHS - 1))]
        mouths = np.concatenate([np.zeros_like(first[:1]), first])
        kind = rng.random()
        if kind < _LAUGHS:
            mouths[-1] = random_laugh(rng)
        elif kind < _LAUGHS + _GRIMACES:
            mouths[-1] = _odd_mouth(rng)
        elif kind < _LAUGHS + _GRIMACES + _BETWEEN:
            mouths[-1] += (second[-1] - first[-1]) * np.float32(rng.uniform())
        return mouths, kind < _LAUGHS


def rest_actions(heads: HeadSet, rest: dict[str, float]) -> Floats:
    """Return an expression, given by ARKit names, as ``float32[A]``; a name without a side means both sides."""
    values = np.zeros(len(heads.action_names), np.float32)
    for stem, value in rest.items():
        for name in (stem,) if stem in heads.action_names else (stem + "Left", stem + "Right"):
            values[heads.action_names.index(name)] = value
    return values


def _write_shard(task: tuple[Path, str, int, int, bool, float, str, int]) -> str:
    folder, name, seed, count, held_out, built_in_share, crop, size = task
    shard = folder / name
    if shard.exists():
        return f"{shard.name} is there"
    rng = np.random.default_rng(seed)
    heads, mouths = HeadSet.load(folder / "heads.npz"), read_mouths(folder, "held-speech" if held_out else "speech")
    maker = SceneMaker(heads, mouths, held_out=held_out, built_in_share=built_in_share, crop=crop, size=size)
    scenes: list[dict[str, Any]] = []
    while len(scenes) < count:
        scenes += maker.scenes(min(_SCENES_AN_IDENTITY, count - len(scenes)), rng)
    fields: dict[str, Any] = {key: np.stack([scene[key] for scene in scenes]) for key in scenes[0]}
    part = shard.with_suffix(".part.npz")
    np.savez(part, **fields)
    part.rename(shard)
    return shard.name


def build_faces(
    folder: Path,
    *,
    shards: int,
    scenes: int,
    seed: int,
    workers: int,
    held_out: bool = False,
    built_in_share: float = BUILT_IN_SHARE,
    crop: str = "lipstream",
    size: int = CROP,
    progress: Any = print,
) -> None:
    """Render the pictures, shard by shard; existing shards are kept.

    Each ``faces-*.npz`` (or ``held-*.npz``; for a detector's crop ``detector-faces-*.npz``, of 192 px
    ``fine-faces-*.npz``) holds ``images uint8[S, 5, size, size, 3]`` (blue first), ``mouths float32[S, 5, 13]``, the
    first at rest, and ``identity int[S]``.
    """
    stem = stem_of("held" if held_out else "faces", crop, size)
    tasks = [
        (folder, f"{stem}-{i:04d}.npz", seed * 100_003 + i, scenes, held_out, built_in_share, crop, size)
        for i in range(shards)
    ]
    # Graphics contexts do not survive a fork.
    with multiprocessing.get_context("spawn").Pool(workers, maxtasksperchild=8) as pool:
        for done, name in enumerate(pool.imap(_write_shard, tasks), 1):
            progress(f"{stem} {done}/{shards} {name}")

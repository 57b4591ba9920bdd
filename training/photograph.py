"""Evaluates weights on photographs and on built-in avatars, built like a user's avatar and speaking recorded prompts.

MediaPipe's face mesh, which is independent of this project, reads the lips in the frames.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import openvino as ov
from numpy.typing import NDArray

from lipstream.avatar_cache.clip_builder import BuildOptions
from lipstream.avatar_cache.store import AvatarStore
from lipstream.realtime.picture.i420 import i420_to_bgr
from lipstream.realtime.picture.mouth_painter import Box
from lipstream.realtime.render import Sound, render_pictures
from lipstream.realtime.workers.render_client import RenderWorker
from lipstream.realtime.workers.render_worker import WorkerSettings
from training.figures import best_lag, correlation
from training.geometry import lip_gap
from training.heads import Floats, HeadSet
from training.pairs import CROP
from training.recordings import PROMPTS, read_recording
from training.speech import closed_frames
from training.visemes import Phone, mouth_curve, spread_actions
from training.voices import RATE_HZ

Images = NDArray[np.uint8]

_SIDE = 192
_POINTS = 468
_UPPER_LIP, _LOWER_LIP, _BROW, _CHIN = 13, 14, 10, 152
_INNER_LIPS = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)
_SKIN = (200, 199, 205, 425)
"""Mesh points on chin and cheeks beside the mouth, where speech moves the skin and nothing covers it."""
_SKIN_RADIUS = 0.02
_SHUT = 0.2
_BRIGHT = 75
PORTRAIT_FIGURES = ("aperture r", "lag", "closures", "skin off", "teeth off", "teeth, 96 px")
_BARED = 0.015
"""Opening, as a share of the face's height, from which a mouth at rest shows teeth to compare with."""


class Prompt(NamedTuple):
    """Recorded speech.

    Attributes:
        sound: ``float32[n]``, 48 kHz.
        phones: Its aligned phones.
        mouths: The animation of these phones, ``float32[frames, 13]``.
    """

    sound: Sound
    phones: list[Phone]
    mouths: Floats


class FaceMesh:
    """468 landmarks of a face.

    Args:
        path: Path of ``face_landmark.tflite`` from MediaPipe's wheels.
    """

    def __init__(self, path: Path) -> None:
        self._model = ov.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def __call__(self, picture: Images, box: Box) -> Floats:
        """Return the points of the face in a picture ``uint8[H, W, 3]``, ``float32[468, 2]``.

        The first pass looks around the box, the second in a square around the points found.
        """
        centre = np.array([box.x + box.width / 2, box.y + box.height / 2])
        half = 0.75 * max(box.width, box.height)
        points = np.empty((_POINTS, 2), np.float32)
        for _ in range(3):
            to_crop = np.array([[1, 0, half - centre[0]], [0, 1, half - centre[1]]]) * (_SIDE / 2 / half)
            crop = cv2.warpAffine(picture, to_crop, (_SIDE, _SIDE), borderMode=cv2.BORDER_REPLICATE)
            given = crop[None, ..., ::-1].astype(np.float32) / 255
            found = self._model([given])[0].reshape(_POINTS, 3)[:, :2]
            points = (found / (_SIDE / 2 / half) + (centre - half)).astype(np.float32)
            low, high = points.min(axis=0), points.max(axis=0)
            centre, half = (low + high) / 2, 0.75 * float((high - low).max())
        return points


def opening(points: Floats) -> float:
    """Return the gap between the inner lips along the face's own axis, as a share of the face's height."""
    axis = points[_CHIN] - points[_BROW]
    return float((points[_LOWER_LIP] - points[_UPPER_LIP]) @ axis / (axis @ axis))


def skin_colour(picture: Images, points: Floats) -> Floats:
    """Return the mean colour of chin and cheeks, ``float32[3]``, blue first."""
    radius = max(1, round(_SKIN_RADIUS * float(np.linalg.norm(points[_CHIN] - points[_BROW]))))
    mask = np.zeros(picture.shape[:2], np.uint8)
    for x, y in points[list(_SKIN)].round().astype(int).tolist():
        cv2.circle(mask, (x, y), radius, 1, -1)
    colour: Floats = picture[mask > 0].mean(axis=0).astype(np.float32)
    return colour


def teeth_colour(picture: Images, points: Floats) -> Floats:
    """Return the mean colour of the brightest quarter between the lips, ``float32[3]``, blue first."""
    mask = np.zeros(picture.shape[:2], np.uint8)
    cv2.fillPoly(mask, [points[list(_INNER_LIPS)].round().astype(np.int32)], 1)
    inside = picture[mask > 0].astype(np.float32)
    if not len(inside):
        return np.zeros(3, np.float32)
    light = inside.sum(axis=1)
    colour: Floats = inside[light >= np.percentile(light, _BRIGHT)].mean(axis=0)
    return colour


@dataclass(frozen=True)
class Sitter:
    """An avatar of one person, with the mesh that reads its lips."""

    avatar_id: str
    worker: RenderWorker
    store: AvatarStore
    mesh: FaceMesh

    async def says(self, sound: Sound) -> tuple[list[Images], list[Floats]]:
        """Return the frames of the avatar speaking a sound (48 kHz), BGR, and their meshes."""
        frames = [
            i420_to_bgr(picture, top=0, left=0, height=picture.shape[0] * 2 // 3, width=picture.shape[1])
            async for _, picture in render_pictures(sound, self.worker, self.store, self.avatar_id)
        ]
        return frames, [self.mesh(frame, self.box) for frame in frames]

    @property
    def box(self) -> Box:
        """The face in the first frame; it is at nearly the same place in the others."""
        return self.store.load(self.avatar_id).manifest.boxes[0]


def through_crop(picture: Images, box: Box) -> Images:
    """Return a picture whose face was reduced to the network's size and enlarged again: what no such crop can keep."""
    rows, columns = slice(box.y, box.y + box.height), slice(box.x, box.x + box.width)
    face = picture[rows, columns]
    small = cv2.resize(face, (CROP, CROP), interpolation=cv2.INTER_AREA)
    through = picture.copy()
    through[rows, columns] = cv2.resize(small, face.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    return through


def wanted_opening(heads: HeadSet, mouths: Floats) -> Floats:
    """Return the opening of the first head's lips for mouths ``[T, 13]``, metres, ``float32[T]``."""
    moved = np.tensordot(spread_actions(mouths, heads.action_names), heads.actions, 1) + heads.vertices[0]
    return np.array([lip_gap(heads, vertices) for vertices in moved], np.float32)


async def _measure(sitter: Sitter, prompts: Sequence[Prompt], heads: HeadSet, plot: Path | None) -> dict[str, float]:
    longest = max((prompt.sound for prompt in prompts), key=len)
    _, at_rest = await sitter.says(np.zeros_like(longest))
    source: Images = np.asarray(cv2.VideoCapture(str(sitter.store.clip_path(sitter.avatar_id))).read()[1], np.uint8)
    points = sitter.mesh(source, sitter.box)
    skin, teeth = skin_colour(source, points), teeth_colour(source, points)
    bared = opening(points) > _BARED
    rows: list[dict[str, float]] = []
    for number, prompt in enumerate(prompts):
        spoken, meshes = await sitter.says(prompt.sound)
        found = np.array(
            [opening(mesh) - opening(rest) for mesh, rest in zip(meshes, at_rest, strict=False)], np.float32
        )
        truth, closed = wanted_opening(heads, prompt.mouths[: len(found)]), closed_frames(prompt.phones, len(found))
        wide = found >= np.percentile(found, 80)
        shown = [(frame, mesh) for frame, mesh, is_wide in zip(spoken, meshes, wide, strict=True) if is_wide]
        skins = np.array([skin_colour(frame, mesh) for frame, mesh in zip(spoken, meshes, strict=True)])
        rows.append(
            {
                "aperture r": correlation(found, truth),
                "lag": best_lag(found, truth),
                "closures": float((found[closed] < _SHUT * np.percentile(found, 95)).mean()),
                "skin off": float(np.abs(skins.mean(axis=0) - skin).max()),
            }
        )
        if bared:
            drawn = np.mean([teeth_colour(*one) for one in shown], axis=0)
            rows[-1]["teeth off"] = float(np.abs(drawn - teeth).max())
        if plot and number == 0:
            _write_frames(plot, spoken, meshes)
    figures = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
    if bared:
        kept = teeth_colour(through_crop(source, sitter.box), points)
        figures["teeth, 96 px"] = float(np.abs(kept - teeth).max())
    return figures


def _write_frames(path: Path, frames: list[Images], meshes: list[Floats]) -> None:
    """Write every second one of 32 consecutive frames of the face, in two rows."""
    low, high = np.concatenate(meshes).min(axis=0), np.concatenate(meshes).max(axis=0)
    (x0, y0), side = np.maximum(low - 0.1 * (high - low), 0).astype(int), int(1.2 * (high - low).max())
    first = len(frames) // 4
    faces = [
        cv2.resize(frame[y0 : y0 + side, x0 : x0 + side], (200, 200), interpolation=cv2.INTER_CUBIC)
        for frame in frames[first : first + 32 : 2]
    ]
    rows = [np.concatenate(faces[at : at + 8], axis=1) for at in range(0, len(faces) // 8 * 8, 8)]
    cv2.imwrite(str(path), np.concatenate(rows, axis=0), [cv2.IMWRITE_JPEG_QUALITY, 88])


def portrait_figures(
    weights: Path,
    folder: Path,
    photographs: Sequence[Path],
    mesh: Path,
    recordings: Path,
    *,
    avatars: Sequence[str] = (),
    plots: Path | None = None,
) -> dict[str, dict[str, float]]:
    """Return how well people follow recorded speech when they are built and driven like a user's avatar.

    Openings are relative to those of the same clip frame without speech; photographs rest with closed lips. Colours are
    compared with those of the clip's first frame.
    Teeth are compared where that frame bares them; beside it stands what is lost by reducing the face to 96 px, which
    bounds what any network of this size can keep of them.

    Args:
        weights: Weights file, safetensors.
        folder: Dataset; its ``heads.npz`` gives the wanted opening of a mouth.
        photographs: Photographs of one face each, with different names.
        mesh: Path of ``face_landmark.tflite``.
        recordings: Folder of the recorded prompts, see `training.recordings.PROMPTS`.
        avatars: Ids of built-in avatars to measure too.
        plots: Folder for a strip of frames of each person.

    Returns:
        `PORTRAIT_FIGURES` of each person, by the photograph's or the avatar's name: correlation, frames, recall, and
        colours of 255; who bares no teeth lacks the last two.
    """
    heads, prompts, found = HeadSet.load(folder / "heads.npz"), _read_prompts(recordings), FaceMesh(mesh)
    with tempfile.TemporaryDirectory() as scratch:
        store = AvatarStore(scratch)
        people = {avatar: avatar for avatar in avatars}
        for number, photograph in enumerate(photographs):
            people[photograph.stem] = f"photograph-{number}"
            # Whoever smiles with parted lips in pauses would seem to open them there.
            store.build(photograph, people[photograph.stem], options=BuildOptions(rest="closed"))
        worker = RenderWorker(WorkerSettings(weights=weights.absolute(), store=store.root))

        async def run() -> dict[str, dict[str, float]]:
            try:
                await worker.start()
                return {
                    name: await _measure(
                        Sitter(avatar_id, worker, store, found),
                        prompts,
                        heads,
                        plots and plots / f"speaks-{name}.jpg",
                    )
                    for name, avatar_id in people.items()
                }
            finally:
                await worker.close()

        return asyncio.run(run())


def _read_prompts(folder: Path) -> list[Prompt]:
    prompts = []
    for name, words in PROMPTS.items():
        samples, phones = read_recording(folder / f"{name}.wav", words)
        sound = np.interp(np.arange(3 * len(samples)) / 3, np.arange(len(samples)), samples).astype(np.float32)
        prompts.append(Prompt(sound, phones, mouth_curve(phones, len(samples) / RATE_HZ)))
    return prompts

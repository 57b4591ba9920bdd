"""The built-in avatars speaking a sentence, as evenly chosen frames for the model card."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lipstream.avatar_cache.store import BUILT_IN, AvatarStore
from lipstream.realtime.picture.i420 import i420_to_bgr
from lipstream.realtime.render import Sound, render_pictures
from lipstream.realtime.timeline import SAMPLE_RATE_HZ, SOUND_RATE_HZ
from lipstream.realtime.workers.render_client import RenderWorker
from lipstream.realtime.workers.render_worker import WorkerSettings
from training.drawn.mira import MIRA
from training.pathtraced.people import SITTERS
from training.voices import Manner, speak

Images = NDArray[np.uint8]

SENTENCE = "Please bring a map, a pen, and both of the blue books."
_COLUMNS, _ROWS, _SIDE = 7, 2, 170
_QUALITY = 78


def say_sentence() -> Sound:
    """Return the sentence spoken by flite's slt, a voice outside the training set, ``float32[n]``, 48 kHz."""
    samples = speak(SENTENCE, "flite", "slt", Manner(1.0, 170.0)).samples
    times = np.arange(len(samples) * SOUND_RATE_HZ // SAMPLE_RATE_HZ) * (SAMPLE_RATE_HZ / SOUND_RATE_HZ)
    sound: Sound = np.interp(times, np.arange(len(samples)), samples).astype(np.float32)
    return sound


def as_rows(frames: Images, box: tuple[int, int, int]) -> Images:
    """Return evenly chosen frames side by side, in rows.

    Args:
        frames: ``uint8[T, H, W, 3]``.
        box: Left, top and side of the square to show, px.
    """
    left, top, side = box
    chosen = frames[np.linspace(0, len(frames) - 1, _ROWS * _COLUMNS).round().astype(int)]
    faces = [cv2.resize(one[top : top + side, left : left + side], (_SIDE, _SIDE)) for one in chosen]
    rows = [np.concatenate(faces[at : at + _COLUMNS], axis=1) for at in range(0, len(faces), _COLUMNS)]
    return np.concatenate(rows, axis=0)


def write_portraits(weights: Path, out: Path) -> None:
    """Write the picture.

    Args:
        weights: Weights file, safetensors.
        out: Output path, a JPEG.
    """
    with tempfile.TemporaryDirectory() as scratch:
        store = AvatarStore(scratch)
        worker = RenderWorker(WorkerSettings(weights=weights.absolute(), store=store.root))

        async def run() -> list[Images]:
            try:
                await worker.start()
                return [await _says(avatar_id, worker, store) for avatar_id in _people()]
            finally:
                await worker.close()

        picture = np.concatenate(asyncio.run(run()), axis=0)
    cv2.imwrite(str(out), picture, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])


def _people() -> list[str]:
    """Return the ids of the built-in people, the drawn one last."""
    return [
        person for person in (*(sitter.id for sitter in SITTERS), MIRA) if (BUILT_IN / person / "avatar.json").exists()
    ]


async def _says(avatar_id: str, worker: RenderWorker, store: AvatarStore) -> Images:
    frames = [
        i420_to_bgr(picture, top=0, left=0, height=picture.shape[0] * 2 // 3, width=picture.shape[1])
        async for _, picture in render_pictures(say_sentence(), worker, store, avatar_id)
    ]
    face = store.load(avatar_id).manifest.boxes[0]
    side = round(1.05 * max(face.width, face.height))
    left, top = round(face.x + face.width / 2 - side / 2), round(face.y + face.height / 2 - 0.5 * side)
    return as_rows(np.stack(frames), (max(left, 0), max(top, 0), side))

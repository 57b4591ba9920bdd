"""Measures where weights draw the lips: through the server's own path, against the true picture of the same mouth.

A model is anything that can be filmed at rest and drawn with any mouth. It becomes an avatar, the weights drive it with
speech, and the truth is the model itself with the mouth that the weights' audio encoder has heard. So nothing but the
drawing is measured: crop, network, pasting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from lipstream.avatar_cache.crop_geometry import crop_geometry
from lipstream.avatar_cache.store import AvatarStore
from lipstream.realtime.errors import SettingsError, WeightsError
from lipstream.realtime.lipsync.metadata import Pads
from lipstream.realtime.lipsync.weights import load_weights, save_weights
from lipstream.realtime.packets import RenderJob
from lipstream.realtime.picture.i420 import i420_to_bgr
from lipstream.realtime.render import Sound, decide_frames, render_pictures
from lipstream.realtime.session.animator import ClipLoop
from lipstream.realtime.workers.render_client import RenderWorker
from lipstream.realtime.workers.render_worker import WorkerSettings
from training.codes import code_to_mouth
from training.heads import Floats
from training.pairs import CROP

Images = NDArray[np.uint8]

_LADDER = (0.0, 0.5, 1.0, 1.5)
"""Openings of the true pictures that a drawn mouth is compared with, as multiples of the mouth that was heard."""
_AROUND_PX, _MOST_ASIDE_PX, _MOST_DOWN_PX = 5, 10, 20
"""Margin of the lips' patch, and how far from its place it is looked for."""
_INNER_UPPER, _INNER_LOWER = 62, 66
_LIPS = slice(48, 68)


class Model(Protocol):
    """A face that can be filmed."""

    def build(self, store: AvatarStore, avatar_id: str) -> None:
        """Store the avatar, unless it is there. All frames of the clip show the mouth at rest."""

    def truth(self, frame: int, mouth: Floats) -> tuple[Images, Floats]:
        """Return the clip's frame with another mouth.

        Args:
            frame: Frame of the stored clip.
            mouth: ``float32[13]``, see `training.visemes.MOUTH_ACTIONS`.

        Returns:
            The picture, ``uint8[h, w, 3]``, BGR, and its 68 points, ``float32[68, 2]``, px.
        """


@dataclass(frozen=True)
class Lips:
    """How a drawn mouth differs from the true one, in px of a crop of 96 px.

    Attributes:
        aside, down: Distance from the true place, to the right and down.
        opening: Gap between the lips that is drawn.
        true_opening: Gap between the lips in the truth.
        likeness: Correlation of the most similar true mouth with what is drawn, -1..1.
    """

    aside: float
    down: float
    opening: float
    true_opening: float
    likeness: float


class Sight(NamedTuple):
    """One frame: its lips, and the true and the drawn picture, ``uint8[h, w, 3]``, BGR."""

    lips: Lips
    truth: Images
    drawn: Images


def _peak(scores: Sequence[float]) -> float:
    """Return where a parabola through three equidistant scores is highest, -1..1 around the middle one."""
    before, middle, after = (float(score) for score in scores)
    bend = before - 2 * middle + after
    return float(np.clip(0.5 * (before - after) / bend, -1, 1)) if bend < 0 else 0.0


def find_lips(drawn: Images, truths: Sequence[tuple[Images, Floats]], scale: tuple[float, float]) -> Lips:
    """Look in a drawn picture for the most similar of several true mouths, and for its place.

    Args:
        drawn: ``uint8[h, w, 3]``.
        truths: Pictures of the same size with their 68 points, px, by rising opening: that of `_LADDER`.
        scale: Factors, x and y, that turn the face box into a crop of 96 px.
    """

    def crop_sized(picture: Images) -> Images:
        resized = cv2.resize(picture, None, fx=scale[0], fy=scale[1], interpolation=cv2.INTER_AREA)
        return np.asarray(resized, np.uint8)

    lips = np.concatenate([points[_LIPS] for _, points in truths]) * scale
    left, top = (lips.min(axis=0) - _AROUND_PX).astype(int)
    right, bottom = (lips.max(axis=0) + _AROUND_PX).astype(int) + 1
    around = cv2.copyMakeBorder(
        crop_sized(drawn), _MOST_DOWN_PX, _MOST_DOWN_PX, _MOST_ASIDE_PX, _MOST_ASIDE_PX, cv2.BORDER_REPLICATE
    )[top : bottom + 2 * _MOST_DOWN_PX, left : right + 2 * _MOST_ASIDE_PX]
    maps = [
        cv2.matchTemplate(around, crop_sized(picture)[top:bottom, left:right], cv2.TM_CCOEFF_NORMED)
        for picture, _ in truths
    ]
    best = [float(found.max()) for found in maps]
    chosen = int(np.argmax(best))
    amid = int(np.clip(chosen, 1, len(best) - 2))
    gaps = [float(points[_INNER_LOWER, 1] - points[_INNER_UPPER, 1]) * scale[1] for _, points in truths]
    rung = amid + _peak(best[amid - 1 : amid + 2])
    found = maps[chosen]
    at = np.unravel_index(int(found.argmax()), found.shape)
    row, column = (int(np.clip(place, 1, side - 2)) for place, side in zip(at, found.shape, strict=True))
    return Lips(
        aside=column + _peak(found[row, column - 1 : column + 2]) - _MOST_ASIDE_PX,
        down=row + _peak(found[row - 1 : row + 2, column]) - _MOST_DOWN_PX,
        opening=float(np.interp(rung, np.arange(len(gaps)), gaps)),
        true_opening=gaps[_LADDER.index(1.0)],
        likeness=best[chosen],
    )


def with_crop(weights: Path, out: Path, crop: str) -> None:
    """Write a weights file whose metadata say a crop, and nothing of its code: mouths are drawn as they are heard.

    Raises:
        WeightsError: If the file is invalid.
    """
    network, metadata = load_weights(weights)
    save_weights(
        network,
        out,
        window_offset_samples=metadata.window_offset_samples,
        decoded_region=metadata.decoded_region,
        licence=metadata.licence,
        name=metadata.name,
        dtype=torch.float32,
        crop=crop,
        pads=metadata.pads if crop == metadata.crop == "detector" else None,
        code="unknown",
    )


def heard_mouths(weights: Path, jobs: Sequence[RenderJob]) -> Floats:
    """Return the mouth that the weights hear in the window of each job, ``float32[N, 13]``.

    Raises:
        WeightsError: If the file is invalid.
    """
    network, _ = load_weights(weights)
    windows = torch.from_numpy(np.stack([job.mel for job in jobs if job.mel is not None]))[:, None]
    with torch.no_grad():
        mouths: Floats = code_to_mouth(network.audio_encoder(windows)[:, :, 0, 0]).numpy()
    return mouths


@dataclass(frozen=True)
class Way:
    """A way to draw with the same network.

    Attributes:
        weights: Weights file; its audio encoder is that of the weights that are measured.
        pads: Replace its pads; ``None`` keeps them.
    """

    weights: Path
    pads: Pads | None = None


async def _drive(way: Way, sound: Sound, store: AvatarStore, avatars: Sequence[str]) -> list[list[Images]]:
    """Return the pictures of each avatar, ``uint8[h, w, 3]``, BGR, as ``lipstream render`` makes them."""
    settings = WorkerSettings(way.weights.absolute(), store.root, device="cpu", precision="fp32", pads=way.pads)
    worker = RenderWorker(settings)
    try:
        await worker.start()
        return [
            [i420_to_bgr(picture) async for _, picture in render_pictures(sound, worker, store, avatar)]
            for avatar in avatars
        ]
    finally:
        await worker.close()


def measure(
    models: Sequence[Model], weights: Path, sound: Sound, folder: Path, ways: Mapping[str, Way], *, frames: int = 12
) -> dict[str, list[Sight]]:
    """Drive models with speech and compare their lips with the truth.

    Args:
        weights: Weights with a detector's crop; their boxes are the measure of all lengths.
        sound: ``float32[n]``, 48 kHz mono.
        folder: Folder for the store of avatars.
        ways: Ways to draw, by name.
        frames: Number of frames to compare for each model, evenly chosen among those that speak.

    Returns:
        What was seen for each way, frame by frame.

    Raises:
        WeightsError: If a file is invalid or does not take a detector's crop.
        SettingsError: If the sound has too little speech.
    """
    _, metadata = load_weights(weights)
    if metadata.crop != "detector":
        raise WeightsError(f"{weights.name} takes the crop {metadata.crop!r}; a detector's is measured")
    store, names = AvatarStore(folder), [f"model-{number}" for number in range(len(models))]
    for model, name in zip(models, names, strict=True):
        model.build(store, name)
    shown = {way: asyncio.run(_drive(how, sound, store, names)) for way, how in ways.items()}
    seen: dict[str, list[Sight]] = {way: [] for way in ways}
    for number, (model, name) in enumerate(zip(models, names, strict=True)):
        manifest = store.load(name).manifest
        boxes = crop_geometry(manifest, metadata).boxes
        loop, offset = ClipLoop(manifest.loop_frames, manifest.loop), metadata.window_offset_samples
        jobs = decide_frames(sound, loop, window_offset_samples=offset)
        spoken = [job for job in jobs if job.mel is not None and job.spoken == 1]
        if len(spoken) < frames:
            raise SettingsError(f"the sound has {len(spoken)} frames of speech; at least {frames} are needed")
        chosen = [spoken[at] for at in np.linspace(0, len(spoken) - 1, frames).round().astype(int)]
        for job, mouth in zip(chosen, heard_mouths(weights, chosen), strict=True):
            box = boxes[job.clip_frame]
            truths = [model.truth(job.clip_frame, rung * mouth) for rung in _LADDER]
            for way, pictures in shown.items():
                drawn = pictures[number][job.frame]
                lips = find_lips(drawn, truths, (CROP / box.width, CROP / box.height))
                seen[way].append(Sight(lips, truths[_LADDER.index(1.0)][0], drawn))
    return seen


def figures_of(lips: Sequence[Lips]) -> dict[str, float]:
    """Return the errors of place and opening, px of a crop of 96 px."""
    down, aside = (np.array([getattr(one, name) for one in lips]) for name in ("down", "aside"))
    opening, truth = (np.array([getattr(one, name) for one in lips]) for name in ("opening", "true_opening"))
    away = np.hypot(down, aside)
    return {
        "place, median error (px of 96)": float(np.median(away)),
        "place, 90th percentile (px)": float(np.percentile(away, 90)),
        "too low by, median (px)": float(np.median(down)),
        "opening, median error (px)": float(np.median(np.abs(opening - truth))),
        "opening, correlation": float(np.corrcoef(opening, truth)[0, 1]),
        "likeness of the mouth, median": float(np.median([one.likeness for one in lips])),
        "frames": float(len(lips)),
    }

"""Prepares an avatar for a weights file: face features and rest mouths, once, for every frame of its clip."""

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt

from avatar_cache.avatar import FACTS, PREPARED_FORMAT, Avatar, PreparedAvatar, clip_sha256, load_prepared
from avatar_cache.manifest import Manifest
from realtime.audio.mel import SILENCE_LEVEL
from realtime.compositor import Box, MouthPainter
from realtime.errors import AvatarError
from realtime.i420 import Picture, i420_to_bgr
from realtime.lipsync.metadata import Region
from realtime.lipsync.predictor import MouthPredictor
from realtime.timeline import MEL_BANDS, WINDOW_COLUMNS

Progress = Callable[[float], None]

_BATCH = 8


def decode_clip(path: Path, manifest: Manifest) -> npt.NDArray[np.uint8]:
    """Return the frames of a clip, ``uint8[N, h * 3 // 2, w]``, I420.

    Raises:
        AvatarError: If it cannot be read or is not what the manifest says.
    """
    width, height = manifest.size
    frames = np.empty((manifest.frames, height * 3 // 2, width), np.uint8)
    count = 0
    try:
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                if (frame.width, frame.height) != (width, height):
                    raise AvatarError(f"{path} is {frame.width}x{frame.height}, its manifest says {width}x{height}")
                if count < manifest.frames:
                    frames[count] = frame.to_ndarray(format="yuv420p")
                count += 1
    except (av.FFmpegError, IndexError, OSError) as error:
        raise AvatarError(f"cannot read the clip {path}: {error}") from error
    if count != manifest.frames:
        raise AvatarError(f"{path} has {count} frames, its manifest {manifest.frames} boxes")
    return frames


def crop_face(frame: Picture, box: Box, size: int) -> npt.NDArray[np.uint8]:
    """Return the face of an I420 frame as the network sees it: ``uint8[size, size, 3]``, BGR."""
    face = i420_to_bgr(frame, top=box.y, left=box.x, height=box.height, width=box.width)
    interpolation = cv2.INTER_AREA if box.width >= size else cv2.INTER_CUBIC
    crop: npt.NDArray[np.uint8] = cv2.resize(face, (size, size), interpolation=interpolation)
    return crop


def prepare(avatar: Avatar, predictor: MouthPredictor, *, progress: Progress | None = None) -> PreparedAvatar:
    """Prepare an avatar for the predictor's weights, or map it if that was done before.

    All or nothing: a crash leaves the old state.

    Args:
        avatar: The stored avatar.
        predictor: The loaded network.
        progress: Called with 0..1.

    Raises:
        AvatarError: If the clip cannot be read.
    """
    fingerprint = predictor.metadata.fingerprint
    if avatar.is_prepared(fingerprint):
        return load_prepared(avatar, fingerprint)
    size, region = predictor.metadata.size, predictor.metadata.decoded_region
    report = progress or (lambda _: None)
    frames = decode_clip(avatar.clip, avatar.manifest)
    crops = np.stack([crop_face(f, b, size) for f, b in zip(frames, avatar.manifest.boxes, strict=True)])
    report(0.2)
    features = predictor.encode_faces(crops)
    report(0.5)
    mouths = []
    for start in range(0, len(frames), _BATCH):
        index = np.arange(start, min(start + _BATCH, len(frames)))
        silence = np.full((len(index), MEL_BANDS, WINDOW_COLUMNS), SILENCE_LEVEL, np.float32)
        mouths.append(predictor.predict(silence, features, index))
        report(0.5 + 0.4 * len(mouths) * _BATCH / len(frames))
    rest_mouths = np.concatenate(mouths)
    _rest(frames, crops, rest_mouths, avatar.manifest.boxes, region)
    arrays: dict[str, npt.NDArray[Any]] = {"frames": frames, "crops": crops, "rest_mouths": rest_mouths}
    arrays |= {f"level{i}": level for i, level in enumerate(features.levels)}
    facts = {
        "format": PREPARED_FORMAT,
        "clip": clip_sha256(avatar.clip),
        "region": list(region),
        "crop_size": size,
    }
    _write(avatar.prepared_folder(fingerprint), arrays, facts)
    report(1.0)
    return load_prepared(avatar, fingerprint)


def _rest(
    frames: npt.NDArray[np.uint8],
    crops: npt.NDArray[np.uint8],
    rest_mouths: npt.NDArray[np.uint8],
    boxes: tuple[Box, ...],
    region: Region,
) -> None:
    """Put the rest mouths into the frames, in place."""
    painter = MouthPainter(region, crops.shape[1])
    top, bottom, left, right = region
    for frame, box, crop, mouth in zip(frames, boxes, crops, rest_mouths, strict=True):
        painter.paint(frame, box, shown=crop[top:bottom, left:right], new=mouth)


def _write(folder: Path, arrays: dict[str, npt.NDArray[Any]], facts: dict[str, object]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".prepare-", dir=folder.parent))
    try:
        for name, array in arrays.items():
            np.save(scratch / f"{name}.npy", array, allow_pickle=False)
        (scratch / FACTS).write_text(json.dumps(facts))
        if folder.exists():
            shutil.rmtree(folder)
        scratch.replace(folder)
    except OSError:
        if not (folder / FACTS).exists():  # another process may have been first
            raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)

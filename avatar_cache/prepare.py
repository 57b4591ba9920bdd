"""Prepares an avatar for a weights file: encodes every face of its clip and paints the mouths at rest, once."""

import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt

from lipstream.avatar_cache.avatar import FACTS, PREPARED_FORMAT, Avatar, PreparedAvatar, file_sha256, load_prepared
from lipstream.avatar_cache.crop_geometry import CropGeometry, crop_face, crop_geometry
from lipstream.avatar_cache.manifest import Manifest
from lipstream.avatar_cache.mouth_cover import cover_weights
from lipstream.avatar_cache.scratch_folder import scratch_folder
from lipstream.realtime.audio.mel import SILENCE_LEVEL
from lipstream.realtime.errors import AvatarError
from lipstream.realtime.lipsync.fields import FLOW_BYTES, PIXEL_BYTES
from lipstream.realtime.lipsync.predictor import FaceFeatures, MouthPredictor, as_encoded, draw_with, largest_batch
from lipstream.realtime.lipsync.sealed_folder import sync_folder
from lipstream.realtime.picture.field_painter import FieldPainter
from lipstream.realtime.picture.i420 import Picture
from lipstream.realtime.picture.mouth_painter import Box, MouthPainter
from lipstream.realtime.timeline import MEL_BANDS, WINDOW_COLUMNS

logger = logging.getLogger(__name__)

Progress = Callable[[float], None]
_Mapped = np.memmap[Any, np.dtype[Any]]

_ENCODED_AT_ONCE = 64
_LEAST_MASK = 0.5
_FILMED_SHARE = 0.6
"""Share of the progress that filming takes, for a form of a built-in person without a clip."""


def decode_clip(path: Path, manifest: Manifest) -> Iterator[Picture]:
    """Yield the frames of an avatar, ``uint8[h * 3 // 2, w]``, I420; of several clips, one clip after the other.

    Args:
        path: Video file of the idle clip; those of other clips lie in the same folder.

    Raises:
        AvatarError: If a clip cannot be read or differs from its manifest.
    """
    counts = [clip.frames for clip in manifest.clips] or [manifest.frames]
    for file, count in zip(manifest.files(path), counts, strict=True):
        yield from _decode_file(file, manifest.size, count)


def _decode_file(path: Path, size: tuple[int, int], frames: int) -> Iterator[Picture]:
    count = 0
    try:
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                if (frame.width, frame.height) != size:
                    width, height = size
                    raise AvatarError(f"{path} is {frame.width}x{frame.height}, its manifest says {width}x{height}")
                count += 1
                if count <= frames:
                    yield np.asarray(frame.to_ndarray(format="yuv420p"), np.uint8)
    except (av.FFmpegError, IndexError, OSError) as error:
        raise AvatarError(f"cannot read the clip {path}: {error}") from error
    if count != frames:
        raise AvatarError(f"{path} has {count} frames, its manifest {frames} boxes")


def check_clip(path: Path, manifest: Manifest) -> None:
    """Decode a whole clip and discard the frames.

    Raises:
        AvatarError: If the clip cannot be read or differs from its manifest.
    """
    for _ in decode_clip(path, manifest):
        pass


def prepare(
    avatar: Avatar, predictor: MouthPredictor, *, progress: Progress | None = None, keeps_old: bool = False
) -> PreparedAvatar:
    """Prepare an avatar for the predictor's weights, or load it if it is prepared already and undamaged.

    An avatar whose mouths at rest are pixels is prepared again for a predictor that draws fields, and the other way
    round.

    A form of a built-in person is filmed first if it has no clip yet.

    A crash leaves the old state. Frames are written to disk one by one, so only the network's features take memory in
    proportion to the clip's length.

    Args:
        progress: Called with 0..1.
        keeps_old: Whether to load what an earlier version prepared, or what was prepared from earlier boxes; default
            false, which prepares it again.

    Raises:
        AvatarError: If the clip cannot be read.
    """
    report, filmed = progress or (lambda _: None), 0.0
    if avatar.form and not avatar.clip.exists():
        filmed = _FILMED_SHARE
        avatar.form.film(avatar.clip.parent, lambda share: report(filmed * share))
        avatar = replace(avatar, manifest=Manifest.read(avatar.clip.with_name("avatar.json")), form=None)
    fingerprint = predictor.metadata.fingerprint
    pixel_bytes = draw_with(predictor)[1]
    if avatar.is_prepared(fingerprint, pixel_bytes) and (keeps_old or avatar.is_current(predictor.metadata)):
        try:
            prepared = load_prepared(avatar, fingerprint)
            return replace(prepared, features=as_encoded(predictor, prepared.features))
        except AvatarError as error:
            logger.warning("%s: it is prepared again", error.message)
    folder = avatar.prepared_folder(fingerprint)
    geometry = crop_geometry(avatar.manifest, predictor.metadata)
    with scratch_folder(folder.parent) as scratch:
        _compute(avatar, predictor, geometry, scratch, lambda share: report(filmed + (1 - filmed) * share))
        if pixel_bytes != PIXEL_BYTES:
            _drop_empty_paint(scratch / "rest_mouths.npy")
        facts = {
            "format": PREPARED_FORMAT,
            "weights": fingerprint,
            "clip": avatar.clips_sha256(),
            "rest": avatar.manifest.rest,
            "region": list(predictor.metadata.decoded_region),
            "crop_size": predictor.metadata.size,
            "pixel_bytes": pixel_bytes,
            "crop": geometry.crop,
            "boxes": [[box.x, box.y, box.width, box.height] for box in geometry.boxes],
            "outline": geometry.outline,
            "sha256": {path.name: file_sha256(path) for path in sorted(scratch.glob("*.npy"))},
        }
        (scratch / FACTS).write_text(json.dumps(facts))
        if os.name == "posix":  # Windows could not remove them any more
            for path in scratch.glob("*.npy"):
                path.chmod(0o400)  # a file that is cut while it is mapped ends the processes that map it
        sync_folder(scratch)
        _replace(scratch, folder)
    report(1.0)
    return load_prepared(avatar, fingerprint)


def _compute(avatar: Avatar, predictor: MouthPredictor, geometry: CropGeometry, folder: Path, report: Progress) -> None:
    """Write the arrays of a prepared avatar into ``folder``."""
    manifest, size, region = avatar.manifest, predictor.metadata.size, predictor.metadata.decoded_region
    _, pixel_bytes = draw_with(predictor)
    painter = (MouthPainter if pixel_bytes == PIXEL_BYTES else FieldPainter)(
        region, size, geometry.outline, geometry.crop
    )
    if painter.feather.max() < _LEAST_MASK:
        raise AvatarError("the mouth lies outside what these weights draw: the face box is too high or too low")
    count, (width, height) = manifest.frames, manifest.size
    frames = _new(folder / "frames.npy", np.uint8, (count, height * 3 // 2, width))
    crops = _new(folder / "crops.npy", np.uint8, (count, size, size, 3))
    for index, frame in enumerate(decode_clip(avatar.clip, manifest)):
        frames[index] = frame
        crops[index] = crop_face(frame, geometry.boxes[index], size, geometry.crop)
    report(0.2)
    levels = _encode(predictor, crops, folder)
    report(0.5)
    arrays = [frames, crops, *levels]
    mouths = _new(folder / "rest_mouths.npy", np.uint8, (count, region.height, region.width, pixel_bytes))
    under: _Mapped | None = None
    if isinstance(painter, FieldPainter):
        under = _new(folder / "under.npy", np.uint8, (count, max(painter.size(box) for box in geometry.boxes)))
        arrays.append(under)
    cover = cover_weights(manifest.covered, manifest.ranges, count)
    for batch, shown, drawn in _rest_mouths(
        predictor, FaceFeatures(tuple(levels), crops), keeps=manifest.rest == "keep"
    ):
        mouths[batch] = drawn
        for i, before in zip(batch.tolist(), shown, strict=True):
            own = _paint_rest(
                *(painter, frames[i], geometry.boxes[i], before, mouths[i]),
                keeps=manifest.rest == "keep",
                filmed=float(cover[i]),
            )
            if under is not None:
                under[i, : own.size] = own
        report(0.5 + 0.45 * (int(batch[-1]) + 1) / count)
    for array in (*arrays, mouths):
        array.flush()


def _rest_mouths(
    predictor: MouthPredictor, features: FaceFeatures, *, keeps: bool
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8], npt.NDArray[np.uint8]]]:
    """Yield batches: indices of frames, the decoded regions of their crops, and the mouths at rest.

    Args:
        keeps: Whether the clip's own mouth is the one at rest.
    """
    region, (draw, pixel_bytes) = predictor.metadata.decoded_region, draw_with(predictor)
    count, at_once = len(features.crops), largest_batch(predictor)
    for start in range(0, count, at_once):
        batch = np.arange(start, min(start + at_once, count))
        shown = features.crops[batch, region.top : region.bottom, region.left : region.right]
        if not keeps:
            silence = np.full((len(batch), MEL_BANDS, WINDOW_COLUMNS), SILENCE_LEVEL, np.float32)
            yield batch, shown, draw(silence, features, batch)
        elif pixel_bytes == PIXEL_BYTES:
            yield batch, shown, shown
        else:  # fields that move and paint nothing are zeros
            yield batch, shown, np.zeros((*shown.shape[:-1], pixel_bytes), np.uint8)


def _drop_empty_paint(path: Path) -> None:
    """Write the flow of fields in their place, if none of them paints."""
    mouths = np.load(path, mmap_mode="r")
    if any(mouth[..., FLOW_BYTES:].any() for mouth in mouths):
        return
    narrow = path.with_suffix(".flow")
    flow = _new(narrow, np.uint8, (*mouths.shape[:-1], FLOW_BYTES))
    flow[:] = mouths[..., :FLOW_BYTES]
    flow.flush()
    del mouths, flow  # a file that is mapped cannot be replaced on Windows
    narrow.replace(path)


def _paint_rest(
    painter: FieldPainter | MouthPainter,
    frame: Picture,
    box: Box,
    shown: npt.NDArray[np.uint8],
    mouth: npt.NDArray[np.uint8],
    *,
    keeps: bool,
    filmed: float,
) -> npt.NDArray[np.uint8]:
    """Paint a mouth at rest into a frame of the clip, in place; return the frame's own pixels below fields.

    Args:
        filmed: Share of the clip's own mouth that stays, 0..1, because something covers it.
    """
    own, before = np.empty(0, np.uint8), frame.copy() if filmed else frame
    if isinstance(painter, FieldPainter):
        own = painter.cut(frame, box)
        painter.paint(frame, box, rest=mouth, new=mouth)
    elif not keeps:
        painter.paint(frame, box, shown=shown, new=mouth)
    if filmed:
        frame[:] = cv2.addWeighted(before, filmed, frame, 1 - filmed, 0)
    return own


def _encode(predictor: MouthPredictor, crops: npt.NDArray[np.uint8], folder: Path) -> list[_Mapped]:
    """Encode the crops in parts into mapped files: the features of a long clip are larger than its build may be."""
    levels: list[_Mapped] = []
    for start in range(0, len(crops), _ENCODED_AT_ONCE):
        part = predictor.encode_faces(np.asarray(crops[start : start + _ENCODED_AT_ONCE])).levels
        if not levels:
            shapes = ((len(crops), *level.shape[1:]) for level in part)
            levels = [_new(folder / f"level{number}.npy", np.float16, shape) for number, shape in enumerate(shapes)]
        for level, encoded in zip(levels, part, strict=True):
            level[start : start + len(encoded)] = encoded
    return levels


def _new(path: Path, dtype: type[np.uint8 | np.float16], shape: tuple[int, ...]) -> _Mapped:
    array: _Mapped = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    if hasattr(os, "posix_fallocate"):  # writing into a sparse mapped file on a full disk would end the process
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def _replace(scratch: Path, folder: Path) -> None:
    try:
        if folder.exists():
            shutil.rmtree(folder)
        scratch.replace(folder)
    except OSError:
        if not (folder / FACTS).exists():  # if it exists, another process has prepared the avatar meanwhile
            raise

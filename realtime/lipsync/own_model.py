"""Loads a lip model of the operator's own: Python code that draws mouths in the place of Lipstream's networks.

The code is named by a setting of the server or an option of a command, as ``package.module:factory`` or
``path/to/file.py:factory``, and by nothing else: no request, no avatar and no weights file can name code. The factory
takes :class:`ModelOptions` and returns a `lipstream.realtime.lipsync.predictor.MouthPredictor`. It runs in the render
worker and in the processes that prepare avatars, never in the server's own.
"""

import argparse
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lipstream.own_code import import_factory, parse_code_name
from lipstream.realtime.errors import LipstreamError, SettingsError
from lipstream.realtime.lipsync.alignment import window_fault
from lipstream.realtime.lipsync.metadata import Region, WeightsMetadata
from lipstream.realtime.lipsync.predictor import DeviceLostError, MouthPredictor

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """What a factory is told.

    Attributes:
        weights: File or folder that ``--weights`` names; the built-in weights if it names none.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``, as the operator chose.
        cache: Folder for what is computed once and kept, as 8-bit networks; it may not exist.
        threads: CPU cores that one call may use; ``None`` for all.
        precision: ``fp16``, ``bf16``, ``fp32`` or ``int8``; ``None`` for the fastest.
    """

    weights: Path
    device: str
    cache: Path
    threads: int | None = None
    precision: str | None = None


def model_metadata(
    name: str,
    *,
    made_of: Sequence[Path | bytes],
    size: int,
    region: Region,
    window_offset_samples: int,
    draws_fields: bool = False,
    paint_scale: int = 1,
    has_mouth_code: bool = False,
    crop: str = "lipstream",
    licence: str = "unknown",
) -> WeightsMetadata:
    """Return the metadata of a model that is no network of Lipstream's.

    Args:
        made_of: Files and bytes on which the mouths depend, as the model's source and its weights. What was prepared
            for a model is kept until these change.
        size: Side of the face crop that the model sees, px.
        region: Part of the crop that it draws, px of the crop.
        window_offset_samples: Samples (16 kHz) from a frame's start to that of its 200 ms of sound.
        draws_fields: Whether it has ``predict_fields``; otherwise its mouths are pixels.
        paint_scale: Pixels of paint for one of the flow, across and down: 1, or 2 for fine paint.
        has_mouth_code: Whether it has ``encode_speech``, ``draw_mouths`` and, with fields, ``draw_fields``, and its
            code is that of `lipstream.realtime.lipsync.mouth_code`.
        crop: ``lipstream`` for a square from the brows to under the chin, ``detector`` for a face detector's box.
        licence: SPDX identifier, or ``unknown``.

    Raises:
        SettingsError: If the region is not inside the crop, the window lies too early or too late, or a file cannot be
            read.
    """
    top, bottom, left, right = region
    if not (0 <= top < bottom <= size and 0 <= left < right <= size):
        raise SettingsError(f"the model {name}: its region {tuple(region)} is not inside its crop of {size} px")
    if fault := window_fault(window_offset_samples):
        raise SettingsError(f"the model {name}: {fault}")
    digest = hashlib.sha256()
    for part in made_of:
        try:
            data = part if isinstance(part, bytes) else part.read_bytes()
        except OSError as error:
            raise SettingsError(f"the model {name}: cannot read {part!s}: {error.strerror}") from error
        digest.update(len(data).to_bytes(8, "little") + data)
    return WeightsMetadata(
        name=name,
        width=1.0,
        audio_width=1.0,
        size=size,
        head="copy" if draws_fields else "paint",
        window_offset_samples=window_offset_samples,
        decoded_region=region,
        sha256=digest.hexdigest(),
        licence=licence,
        crop=crop,
        code="mouth" if has_mouth_code else "unknown",
        paint_scale=paint_scale,
    )


def model_argument(text: str) -> str:
    """Return the model that a command was given.

    Raises:
        argparse.ArgumentTypeError: If it names none.
    """
    try:
        return parse_code_name(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def load_model(name: str, options: ModelOptions) -> MouthPredictor:
    """Import the code that ``name`` names, and have it make a predictor.

    Args:
        name: As :func:`lipstream.own_code.parse_code_name` returns it.

    Raises:
        SettingsError: If there is no such code, it fails, or what it returns is no predictor.
    """
    try:
        predictor = import_factory(name)(options)
    except (LipstreamError, DeviceLostError, MemoryError):
        raise
    except Exception as error:
        logger.exception("the model %s failed", name)
        raise SettingsError(f"the model {name} cannot be loaded: {type(error).__name__}: {error}") from error
    missing = [part for part in ("device", "metadata", "encode_faces", "predict") if not hasattr(predictor, part)]
    if missing:
        raise SettingsError(f"the model {name} is no MouthPredictor: it lacks {', '.join(missing)}")
    if not isinstance(predictor.metadata, WeightsMetadata):
        raise SettingsError(f"the model {name}: its metadata are not what model_metadata returns")
    drawing: MouthPredictor = predictor
    return drawing

"""An avatar on disk, and the same avatar prepared for a weights file and mapped into memory."""

import hashlib
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import starmap
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lipstream.avatar_cache.crop_geometry import CropGeometry, crop_geometry
from lipstream.avatar_cache.manifest import Manifest
from lipstream.avatar_cache.mouth_cover import cover_weights
from lipstream.realtime.errors import AvatarError
from lipstream.realtime.lipsync.fields import FLOW_BYTES, PIXEL_BYTES
from lipstream.realtime.lipsync.metadata import Region, WeightsMetadata
from lipstream.realtime.lipsync.predictor import FaceFeatures
from lipstream.realtime.picture.compositor import Compositor, Origin
from lipstream.realtime.picture.field_painter import FieldPainter
from lipstream.realtime.picture.mark_style import MarkStyle
from lipstream.realtime.picture.mouth_painter import Box
from lipstream.realtime.picture.watermark import draw_mark

PREPARED_FORMAT = 5
_WHOLE_FORMAT = 4
"""Earlier format whose feature levels are whole, whatever of them the weights read."""
_PIXELS_FORMAT = 3
"""Earlier format whose mouths at rest are pixels, whatever the weights could draw."""
_SQUARES_FORMAT = 2
"""Earliest format, without boxes and outline: its crops are the squares of the manifest, Lipstream's own."""
FACTS = "prepared.json"

_loads = itertools.count()


class Filming(Protocol):
    """Makes the clips of an avatar that has none yet."""

    def picture(self) -> npt.NDArray[np.uint8]:
        """Return a picture of it, ``uint8[h, w, 3]``, without filming."""

    def film(self, folder: Path, progress: Callable[[float], None] | None = None) -> None:
        """Write the clips and their manifest into a new folder."""


@dataclass(frozen=True, slots=True)
class Avatar:
    """A stored avatar: its manifest, and its clip or the first of several. Nothing is decoded yet.

    Attributes:
        form: Films the clip when it is first prepared, for a form of a built-in person; ``None`` if the clip is there.
    """

    manifest: Manifest
    clip: Path
    prepared_root: Path
    form: Filming | None = None

    def clips_sha256(self) -> str:
        """Return the hexadecimal SHA-256 of the clip; of several, that of their checksums in order.

        Raises:
            AvatarError: If a file cannot be read.
        """
        sums = [file_sha256(path) for path in self.manifest.files(self.clip)]
        return sums[0] if len(sums) == 1 else hashlib.sha256("".join(sums).encode()).hexdigest()

    def prepared_folder(self, fingerprint: str) -> Path:
        """Return the folder for the avatar prepared for a weights file; it may not exist."""
        return self.prepared_root / fingerprint

    def is_prepared(self, fingerprint: str, pixel_bytes: int | None = None) -> bool:
        """Return whether the avatar is prepared for a weights file, in a known format and from this clip.

        Args:
            pixel_bytes: Bytes of one pixel that its mouths must have: 3 for BGR, 8 or 20 for fields; ``None`` for any.
        """
        try:
            facts = _read_facts(self.prepared_folder(fingerprint))
        except (OSError, ValueError):
            return False
        if facts.get("weights") != fingerprint or facts.get("rest", "closed") != self.manifest.rest:
            return False
        is_known = facts.get("format") in (PREPARED_FORMAT, _WHOLE_FORMAT, _PIXELS_FORMAT, _SQUARES_FORMAT)
        if pixel_bytes not in (None, facts.get("pixel_bytes", PIXEL_BYTES)):
            return False
        return bool(is_known and facts.get("clip") == self.clips_sha256())

    def is_current(self, metadata: WeightsMetadata) -> bool:
        """Return whether the avatar is prepared for these weights as :func:`prepare.prepare` would do it.

        Otherwise, an earlier version prepared it, or the detector's boxes have changed since.
        """
        if not self.is_prepared(metadata.fingerprint):
            return False
        try:
            facts = _read_facts(self.prepared_folder(metadata.fingerprint))
            boxes = crop_geometry(self.manifest, metadata).boxes
        except (OSError, ValueError, AvatarError):
            return False
        same = facts.get("boxes") == [[box.x, box.y, box.width, box.height] for box in boxes]
        return bool(facts["format"] == PREPARED_FORMAT and same)


@dataclass(frozen=True, slots=True, eq=False)
class PreparedAvatar:
    """An avatar prepared for one weights file. Every array is memory-mapped, so all processes share one copy.

    Attributes:
        frames: ``uint8[N, h * 3 // 2, w]``, I420, with the mouth at rest.
        rest_mouths: In the decoded region, ``uint8[N, h, w, 3]`` BGR, ``uint8[N, h, w, 8 or 20]`` fields, or
            ``uint8[N, h, w, 4]``, the flow of fields that paint nothing.
        under: ``uint8[N, n]``, the clip's own pixels below the painted mouths; ``None`` for mouths of pixels.
        region: Half-open rectangle of the face crop that the network decodes, px of the crop.
        crop_size: Side of the face crop, px.
        loaded: Serial number of the load; differs between loads under one id.
    """

    manifest: Manifest
    frames: npt.NDArray[np.uint8]
    rest_mouths: npt.NDArray[np.uint8]
    under: npt.NDArray[np.uint8] | None
    features: FaceFeatures
    geometry: CropGeometry
    region: Region
    crop_size: int
    fingerprint: str
    loaded: int

    def compositor(self, mark: MarkStyle | None = None) -> Compositor:
        """Return a compositor for these frames; ``mark`` is stamped on each of its pictures."""
        manifest = self.manifest
        stamp = draw_mark(mark, *manifest.size) if mark else None
        return Compositor(
            self.frames,
            self.rest_mouths,
            self.geometry.boxes,
            self.region,
            self.crop_size,
            self.geometry.outline,
            stamp,
            Origin(manifest.id, self.fingerprint, self.loaded, mark),
            self.geometry.crop,
            self.under,
            bares_teeth=manifest.rest == "keep",
            cover=cover_weights(manifest.covered, manifest.ranges, manifest.frames) if manifest.covered else None,
        )

    def bytes(self) -> dict[str, int]:
        """Return the bytes of each part: pictures for the server, crops and features for the render worker."""
        features = sum(level.nbytes for level in self.features.levels)
        return {
            "pictures": self.frames.nbytes + self.rest_mouths.nbytes + (0 if self.under is None else self.under.nbytes),
            "crops": self.features.crops.nbytes,
            "features": features,
        }


def file_sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file.

    Raises:
        AvatarError: If the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError) as error:  # ValueError: the name holds a zero byte
        raise AvatarError(f"cannot read {path}: {getattr(error, 'strerror', error)}") from error


def verify_prepared(avatar: Avatar, folder: Path) -> None:
    """Check every byte of an avatar prepared for one weights file.

    Raises:
        AvatarError: If a file is missing or changed, or belongs to other weights or another clip.
    """
    try:
        facts = _read_facts(folder)
        sums: dict[str, str] = dict(facts["sha256"].items())
    except (AttributeError, OSError, ValueError, KeyError) as error:
        raise AvatarError(f"{folder / FACTS} is missing or damaged: remove the folder, it is prepared again") from error
    if facts.get("weights") != folder.name:
        raise AvatarError(f"{folder} was prepared for weights {facts.get('weights')}: remove it, it is prepared again")
    if facts.get("clip") != avatar.clips_sha256():
        raise AvatarError(f"{folder} was prepared from another clip: remove it, it is prepared again")
    for name, known in sums.items():
        if file_sha256(folder / name) != known:
            raise AvatarError(f"{folder / name} was changed: remove the folder, it is prepared again")


def load_prepared(avatar: Avatar, fingerprint: str) -> PreparedAvatar:
    """Map a prepared avatar into memory.

    Raises:
        AvatarError: If the avatar is not prepared for these weights or is damaged.
    """
    folder = avatar.prepared_folder(fingerprint)
    if not avatar.is_prepared(fingerprint):
        raise AvatarError(f"avatar {avatar.manifest.id!r} is not prepared for weights {fingerprint}")
    try:
        facts = _read_facts(folder)
        arrays = {path.stem: _map(path) for path in folder.glob("*.npy")}
        levels = sum(name.startswith("level") for name in facts["sha256"])
        prepared = PreparedAvatar(
            manifest=avatar.manifest,
            frames=arrays["frames"],
            rest_mouths=arrays["rest_mouths"],
            under=arrays.get("under"),
            features=FaceFeatures(tuple(arrays[f"level{i}"] for i in range(levels)), arrays["crops"]),
            geometry=_geometry(avatar.manifest, facts),
            region=Region(*facts["region"]),
            crop_size=facts["crop_size"],
            fingerprint=fingerprint,
            loaded=next(_loads),
        )
        _check_shapes(prepared, facts.get("pixel_bytes", PIXEL_BYTES))
    except Exception as error:
        raise AvatarError(f"prepared avatar in {folder} is damaged: {error}") from error
    return prepared


def _read_facts(folder: Path) -> dict[str, Any]:
    """Return what is known of a prepared avatar.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is no JSON object.
    """
    try:
        facts = json.loads((folder / FACTS).read_text())
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(facts, dict):
        raise ValueError("it is no object")  # noqa: TRY004 (as for text that is no JSON)
    return facts


def _check_shapes(prepared: PreparedAvatar, pixel_bytes: int) -> None:
    """Raise ValueError unless each array has the type and shape that the manifest and the facts give it."""
    count, (width, height) = prepared.manifest.frames, prepared.manifest.size
    region, size, features = prepared.region, prepared.crop_size, prepared.features
    is_flow = pixel_bytes != PIXEL_BYTES and prepared.rest_mouths.shape[-1:] == (FLOW_BYTES,)
    rest_bytes = FLOW_BYTES if is_flow else pixel_bytes
    expected = {
        "frames": (prepared.frames, np.uint8, (count, height * 3 // 2, width)),
        "rest_mouths": (prepared.rest_mouths, np.uint8, (count, region.height, region.width, rest_bytes)),
        "crops": (features.crops, np.uint8, (count, size, size, 3)),
    }
    if pixel_bytes != PIXEL_BYTES:
        geometry = prepared.geometry
        painter = FieldPainter(region, size, geometry.outline, geometry.crop)
        most = painter.size(max(geometry.boxes, key=lambda box: box.width * box.height))
        under = prepared.under
        if under is None or under.dtype != np.uint8 or under.ndim != 2 or len(under) != count or under.shape[1] < most:
            raise ValueError("the clip's pixels below the mouths are missing or have another shape")
    for name, (array, dtype, shape) in expected.items():
        if array.dtype != dtype or array.shape != shape:
            raise ValueError(f"{name} is {array.dtype}{array.shape}")
    are_levels = [level.dtype == np.float16 and level.ndim == 4 and len(level) == count for level in features.levels]
    if not are_levels or not all(are_levels):
        raise ValueError("the face features have another shape")
    if len(prepared.geometry.boxes) != count:
        raise ValueError(f"{len(prepared.geometry.boxes)} boxes for {count} frames")


def _map(path: Path) -> npt.NDArray[Any]:
    """Map a file as a plain array: each view of a ``memmap`` would cost microseconds more."""
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))


def _geometry(manifest: Manifest, facts: dict[str, Any]) -> CropGeometry:
    if facts["format"] == _SQUARES_FORMAT:
        return CropGeometry("lipstream", manifest.boxes, manifest.outline)
    outline = tuple((float(x), float(y)) for x, y in facts["outline"])
    return CropGeometry(facts["crop"], tuple(starmap(Box, facts["boxes"])), outline)

"""An avatar in memory: what the server composites, and what the render worker draws with."""

import hashlib
import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lipstream.avatar_cache.manifest import Manifest
from lipstream.realtime.errors import AvatarError
from lipstream.realtime.lipsync.metadata import Region
from lipstream.realtime.lipsync.predictor import FaceFeatures
from lipstream.realtime.picture.compositor import Compositor, Origin
from lipstream.realtime.picture.watermark import MarkStyle, draw_mark

PREPARED_FORMAT = 2
FACTS = "prepared.json"

_loads = itertools.count()


@dataclass(frozen=True, slots=True)
class Avatar:
    """A stored avatar: a clip and its manifest; nothing is decoded yet.

    Attributes:
        manifest: Its facts.
        clip: The video file.
        prepared_root: Where what was computed for each weights file lies.
    """

    manifest: Manifest
    clip: Path
    prepared_root: Path

    def prepared_folder(self, fingerprint: str) -> Path:
        """Return where the avatar as prepared for a weights file lies, there or not."""
        return self.prepared_root / fingerprint

    def is_prepared(self, fingerprint: str) -> bool:
        """Return whether the avatar was prepared for a weights file, in this format, from this clip."""
        try:
            facts = json.loads((self.prepared_folder(fingerprint) / FACTS).read_text())
        except (OSError, ValueError):
            return False
        if facts.get("weights") != fingerprint:
            return False
        return bool(facts.get("format") == PREPARED_FORMAT and facts.get("clip") == file_sha256(self.clip))


@dataclass(frozen=True, slots=True, eq=False)
class PreparedAvatar:
    """An avatar prepared for one weights file; every array is memory-mapped, so all processes share one copy.

    Attributes:
        manifest: The avatar's facts.
        frames: ``uint8[N, h * 3 // 2, w]``, I420, the mouth at rest.
        rest_mouths: ``uint8[N, h, w, 3]``, BGR, in the decoded region.
        features: What the predictor draws with.
        region: The decoded region.
        crop_size: Side of the face crop, px.
        fingerprint: Of the weights file.
        loaded: Tells it from what was loaded under its id before.
    """

    manifest: Manifest
    frames: npt.NDArray[np.uint8]
    rest_mouths: npt.NDArray[np.uint8]
    features: FaceFeatures
    region: Region
    crop_size: int
    fingerprint: str
    loaded: int

    def compositor(self, mark: MarkStyle | None = None) -> Compositor:
        """Return a compositor over these frames, which stamps a mark on each of its pictures if there is one."""
        manifest = self.manifest
        stamp = draw_mark(mark, *manifest.size) if mark else None
        return Compositor(
            self.frames,
            self.rest_mouths,
            manifest.boxes,
            self.region,
            self.crop_size,
            manifest.outline,
            stamp,
            Origin(manifest.id, self.fingerprint, self.loaded, mark),
        )

    def bytes(self) -> dict[str, int]:
        """Return the size of each level: what the server maps, and what the worker maps or keeps on its device."""
        features = sum(level.nbytes for level in self.features.levels)
        return {
            "pictures": self.frames.nbytes + self.rest_mouths.nbytes,
            "crops": self.features.crops.nbytes,
            "features": features,
        }


def file_sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file.

    Raises:
        AvatarError: If it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise AvatarError(f"cannot read {path}: {error.strerror}") from error


def verify_prepared(avatar: Avatar, folder: Path) -> None:
    """Check every byte that was prepared of an avatar for one weights file.

    Raises:
        AvatarError: Naming the file that is missing or changed, or what it was prepared for instead.
    """
    try:
        facts: dict[str, Any] = json.loads((folder / FACTS).read_text())
        sums: dict[str, str] = facts["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AvatarError(f"{folder / FACTS} is missing or damaged: remove the folder, it is made again") from error
    if facts.get("weights") != folder.name:
        raise AvatarError(f"{folder} was prepared for weights {facts.get('weights')}: remove it, it is made again")
    if facts.get("clip") != file_sha256(avatar.clip):
        raise AvatarError(f"{folder} was prepared from another clip: remove it, it is made again")
    for name, known in sums.items():
        if file_sha256(folder / name) != known:
            raise AvatarError(f"{folder / name} was changed: remove the folder, it is made again")


def load_prepared(avatar: Avatar, fingerprint: str) -> PreparedAvatar:
    """Map a prepared avatar into memory.

    Raises:
        AvatarError: If it was not prepared for these weights, or is damaged.
    """
    folder = avatar.prepared_folder(fingerprint)
    if not avatar.is_prepared(fingerprint):
        raise AvatarError(f"avatar {avatar.manifest.id!r} is not prepared for weights {fingerprint}")
    try:
        facts: dict[str, Any] = json.loads((folder / FACTS).read_text())
        arrays = {path.stem: _map(path) for path in folder.glob("*.npy")}
        levels = sum(name.startswith("level") for name in facts["sha256"])
        return PreparedAvatar(
            manifest=avatar.manifest,
            frames=arrays["frames"],
            rest_mouths=arrays["rest_mouths"],
            features=FaceFeatures(tuple(arrays[f"level{i}"] for i in range(levels)), arrays["crops"]),
            region=Region(*facts["region"]),
            crop_size=facts["crop_size"],
            fingerprint=fingerprint,
            loaded=next(_loads),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AvatarError(f"prepared avatar in {folder} is damaged: {error}") from error


def _map(path: Path) -> npt.NDArray[Any]:
    """Map a file as a plain array: each view of a ``memmap`` costs microseconds more."""
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))

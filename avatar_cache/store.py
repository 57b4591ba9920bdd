"""The shelf of avatars: the built-in ones, and those in the store's folder."""

import dataclasses
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np

from avatar_cache.avatar import Avatar
from avatar_cache.builder import decode_clip
from avatar_cache.manifest import Manifest, check_id
from realtime.errors import AvatarError, NotFoundError
from realtime.i420 import i420_to_bgr

BUILT_IN = Path(__file__).parent / "builtin"

_CLIP, _MANIFEST, _PREVIEW = "clip.mp4", "avatar.json", "preview.jpg"


def default_root() -> Path:
    """Return ``$LIPSTREAM_STORE``, else ``$XDG_DATA_HOME/lipstream``, else ``~/.local/share/lipstream``."""
    if chosen := os.environ.get("LIPSTREAM_STORE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "lipstream"


class AvatarStore:
    """Avatars under a folder.

    Args:
        root: The store; made when something is first written.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    @property
    def graphs(self) -> Path:
        """Folder of the compiled networks."""
        return self.root / "graphs"

    def list(self) -> list[Manifest]:
        """Return the manifests of all avatars, by id; unreadable ones are left out."""
        found = {}
        for folder in (*BUILT_IN.glob("*/"), *self._avatars.glob("[a-z0-9]*/")):
            try:
                found[folder.name] = Manifest.read(folder / _MANIFEST)
            except AvatarError:
                continue
        return [found[avatar_id] for avatar_id in sorted(found)]

    def first(self) -> str:
        """Return the id of the avatar that is shown where none is named.

        Raises:
            NotFoundError: If there is no avatar at all.
        """
        manifests = self.list()
        if not manifests:
            raise NotFoundError("there is no avatar")
        return manifests[0].id

    def load(self, avatar_id: str) -> Avatar:
        """Return an avatar; one of the store hides a built-in one of the same id.

        Raises:
            NotFoundError: If there is none.
            AvatarError: If its manifest is damaged.
        """
        folder = self._folder(avatar_id)
        return Avatar(Manifest.read(folder / _MANIFEST), folder / _CLIP, self.root / "prepared" / avatar_id)

    def preview(self, avatar_id: str) -> bytes:
        """Return the first frame of an avatar's clip as a JPEG.

        Raises:
            NotFoundError: If there is no such avatar.
            AvatarError: If its clip cannot be read.
        """
        folder = self._folder(avatar_id)
        try:
            with av.open(str(folder / _CLIP)) as container:
                frame = next(container.decode(video=0)).to_ndarray(format="yuv420p")
        except (av.FFmpegError, OSError, IndexError, StopIteration) as error:
            raise AvatarError(f"cannot read the clip of avatar {avatar_id!r}") from error
        written, jpeg = cv2.imencode(".jpg", i420_to_bgr(np.asarray(frame, np.uint8)), [cv2.IMWRITE_JPEG_QUALITY, 90])
        if not written:
            raise AvatarError(f"cannot make a preview of avatar {avatar_id!r}")
        return jpeg.tobytes()

    def build(self, source: str | Path, avatar_id: str, *, progress: Callable[[float], None] | None = None) -> Avatar:
        """Store an avatar from a folder that holds ``clip.mp4`` and ``avatar.json``.

        All or nothing: a crash leaves the old avatar or none.

        Raises:
            AvatarError: If the folder is not an avatar, or the clip is not what the manifest says.
        """
        check_id(avatar_id)
        source = Path(source)
        manifest = Manifest.read(source / _MANIFEST)
        decode_clip(source / _CLIP, manifest)
        self._avatars.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".build-", dir=self._avatars))
        try:
            shutil.copyfile(source / _CLIP, scratch / _CLIP)
            (scratch / _MANIFEST).write_text(dataclasses.replace(manifest, id=avatar_id).to_json())
            self.remove(avatar_id, missing_ok=True)
            scratch.replace(self._avatars / avatar_id)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        if progress:
            progress(1.0)
        return self.load(avatar_id)

    def verify(self, avatar_id: str) -> None:
        """Check that an avatar's clip decodes to what its manifest says.

        Raises:
            NotFoundError: If there is no such avatar.
            AvatarError: Naming what is wrong.
        """
        avatar = self.load(avatar_id)
        decode_clip(avatar.clip, avatar.manifest)

    def remove(self, avatar_id: str, *, missing_ok: bool = False) -> None:
        """Remove an avatar of the store and what was prepared for it.

        Raises:
            NotFoundError: If the store has none of this id (unless ``missing_ok``).
        """
        folder = self._avatars / check_id(avatar_id)
        if not folder.exists() and not missing_ok:
            raise NotFoundError(f"the store has no avatar {avatar_id!r}")
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(self.root / "prepared" / avatar_id, ignore_errors=True)

    @property
    def _avatars(self) -> Path:
        return self.root / "avatars"

    def _folder(self, avatar_id: str) -> Path:
        try:
            check_id(avatar_id)
        except AvatarError as error:
            raise NotFoundError(f"there is no avatar {avatar_id!r}") from error
        for root in (self._avatars, BUILT_IN):
            if (root / avatar_id / _MANIFEST).exists():
                return root / avatar_id
        raise NotFoundError(f"there is no avatar {avatar_id!r}")

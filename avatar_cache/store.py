"""The avatar store: built-in avatars, and those in the store's folder."""

import contextlib
import dataclasses
import json
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

import av
import cv2
import numpy as np

from lipstream.avatar_cache.avatar import Avatar, file_sha256, verify_prepared
from lipstream.avatar_cache.clip_builder import BuildOptions, ingest
from lipstream.avatar_cache.crop_change import CropChange, change_crop, write_manifest
from lipstream.avatar_cache.forms import FormOf, all_forms, form_of
from lipstream.avatar_cache.manifest import CLIP_FILE, Manifest, check_id
from lipstream.avatar_cache.motion_builder import add_motions
from lipstream.avatar_cache.photo import Bgr
from lipstream.avatar_cache.prepare import check_clip
from lipstream.avatar_cache.scratch_folder import scratch_folder
from lipstream.avatar_cache.store_root import default_root
from lipstream.realtime.errors import AvatarError, NotFoundError
from lipstream.realtime.lipsync.sealed_folder import sync_folder
from lipstream.realtime.picture.i420 import i420_to_bgr

__all__ = ["BUILT_IN", "AvatarStore", "default_root"]

BUILT_IN = Path(__file__).parent / "builtin"

_CLIP, _MANIFEST, _REPORT = CLIP_FILE, "avatar.json", "report.json"


class AvatarStore:
    """Avatars in a folder, with the built-in ones."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    @property
    def graphs(self) -> Path:
        """Folder for 8-bit networks."""
        return self.root / "graphs"

    def list(self) -> list[Manifest]:
        """Return the manifests of all avatars, sorted by id, without unreadable ones and without unfilmed forms."""
        found = {}
        for folder, _ in self.folders():
            try:
                found[folder.name] = Manifest.read(self.manifest_path(folder))
            except AvatarError:
                continue
        return [found[avatar_id] for avatar_id in sorted(found)]

    def folders(self) -> Iterator[tuple[Path, bool]]:
        """Yield the folder of each avatar, and whether it is the store's own; those hide built-in ones of one id."""
        yield from ((folder, False) for folder in BUILT_IN.glob("*/"))
        yield from ((folder, True) for folder in self._avatars.glob("[a-z0-9]*/"))

    def unfilmed(self) -> Iterator[FormOf]:
        """Yield the forms of built-in people that nobody has asked for; `load` and `preview` know their ids."""
        yield from (form for form in all_forms(BUILT_IN) if not self._is_filmed(form.id))

    def manifest_path(self, folder: Path) -> Path:
        """Return the path of the manifest in an avatar's folder."""
        return folder / _MANIFEST

    def used_bytes(self) -> int:
        """Return the size of all files of the store, bytes, without those that end meanwhile."""
        total = 0
        for folder, _, names in os.walk(self.root):
            for name in names:
                with contextlib.suppress(OSError):
                    total += os.lstat(os.path.join(folder, name)).st_size  # noqa: PTH118 (a store may hold many files)
        return total

    def report_path(self, folder: Path) -> Path:
        """Return the path of the preflight report in an avatar's folder; the file may be missing."""
        return folder / _REPORT

    def clip_path(self, avatar_id: str) -> Path:
        """Return the path of an avatar's clip; that of an unfilmed form is missing.

        Raises:
            NotFoundError: If there is no such avatar.
        """
        root = self._avatars / avatar_id if self._unfilmed_form(avatar_id) else self._folder(avatar_id)
        return root / _CLIP

    def first(self) -> str:
        """Return the id of the default avatar.

        Raises:
            NotFoundError: If there is no avatar.
        """
        manifests = self.list()
        if not manifests:
            raise NotFoundError("there is no avatar")
        return manifests[0].id

    def has(self, avatar_id: str) -> bool:
        """Return whether there is an avatar, damaged ones and unfilmed forms included."""
        try:
            self.clip_path(avatar_id)
        except NotFoundError:
            return False
        return True

    def is_own(self, avatar_id: str) -> bool:
        """Return whether an avatar lies in the store's folder, and is not built in."""
        return (self._avatars / check_id(avatar_id)).exists()

    def load(self, avatar_id: str) -> Avatar:
        """Return an avatar; one in the store's folder hides a built-in one with the same id.

        A form of a built-in person is an avatar too: the first `prepare.prepare` films it.

        Raises:
            NotFoundError: If there is no such avatar.
            AvatarError: If its manifest is damaged.
        """
        prepared = self.root / "prepared" / avatar_id
        if form := self._unfilmed_form(avatar_id):
            return Avatar(form.manifest(), self._avatars / avatar_id / _CLIP, prepared, form)
        folder = self._folder(avatar_id)
        return Avatar(Manifest.read(folder / _MANIFEST), folder / _CLIP, prepared)

    def preview(self, avatar_id: str) -> bytes:
        """Return the first frame of an avatar's clip as a JPEG.

        Raises:
            NotFoundError: If there is no such avatar.
            AvatarError: If the clip cannot be read.
        """
        if form := self._unfilmed_form(avatar_id):
            picture = form.picture()
        else:
            picture = self._first_picture(self._folder(avatar_id) / _CLIP, avatar_id)
        written, jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 90])
        if not written:
            raise AvatarError(f"cannot make a preview of avatar {avatar_id!r}")
        return jpeg.tobytes()

    def build(
        self,
        source: str | Path,
        avatar_id: str,
        *,
        options: BuildOptions | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> Avatar:
        """Store an avatar made from a video, a photograph, or a folder with ``clip.mp4`` and ``avatar.json``.

        A crash leaves the old avatar or none.

        Args:
            avatar_id: Form ``[a-z0-9][a-z0-9-]{0,62}``; an avatar with this id is replaced.
            progress: Called with 0..1; an exception from it ends the work.

        Raises:
            AvatarError: If no avatar can be made from the source.
            UnsupportedTypeError: If the source is no video or photograph.
            TooLargeError: If the source exceeds a limit of the options.
        """
        check_id(avatar_id)
        source, report = Path(source), progress or (lambda _: None)
        with scratch_folder(self._avatars) as scratch:
            if source.is_dir():
                manifest = Manifest.read(source / _MANIFEST)
                check_clip(source / _CLIP, manifest)
                for path in manifest.files(source / _CLIP):
                    shutil.copyfile(path, scratch / path.name)
                (scratch / _MANIFEST).write_text(dataclasses.replace(manifest, id=avatar_id).to_json())
            else:
                ingest(source, avatar_id, scratch, options or BuildOptions(), report)
            self._put(scratch, avatar_id)
        report(1.0)
        return self.load(avatar_id)

    def add_motions(
        self,
        avatar_id: str,
        sources: Mapping[str, Path],
        *,
        options: BuildOptions | None = None,
        without: Collection[str] = (),
        progress: Callable[[float], None] | None = None,
    ) -> Avatar:
        """Add clips to an avatar of the store: `listening`, `speaking`, and motions by any other name.

        A crash leaves the avatar as it was. It is prepared again when it is next used.

        Args:
            sources: Videos by the names of their clips; a clip of the same name is replaced.
            options: Face, box and detector, as for the avatar.
            without: Names of clips that are removed; an avatar that keeps one clip is one of a single clip again.
            progress: Called with 0..1; an exception from it ends the work.

        Raises:
            NotFoundError: If there is no such avatar.
            AvatarError: If the avatar is built in, a name is invalid, or no clip can be made of a video.
            UnsupportedTypeError: If a source is no video.
            TooLargeError: If a source exceeds a limit of the options.
        """
        avatar, told = self._own(avatar_id), progress or (lambda _: None)
        with scratch_folder(self._avatars) as scratch:
            found = options or BuildOptions()
            add_motions(avatar, self.report(avatar_id), sources, scratch, found, told, without=without)
            self._put(scratch, avatar_id)
        told(1.0)
        return self.load(avatar_id)

    def adopt(self, avatar_id: str, fill: Callable[[Path], None]) -> None:
        """Store an avatar that was built elsewhere, in place of one with its id. A crash leaves the old one or none.

        Args:
            fill: Writes the clip and its manifest into an empty folder.

        Raises:
            AvatarError: If what was written is no avatar with this id.
        """
        check_id(avatar_id)
        with scratch_folder(self._avatars) as scratch:
            fill(scratch)
            manifest = Manifest.read(scratch / _MANIFEST)
            if manifest.id != avatar_id:
                raise AvatarError(f"this is the avatar {manifest.id!r}, not {avatar_id!r}")
            check_clip(scratch / _CLIP, manifest)
            self._put(scratch, avatar_id)

    def change_crop(
        self, avatar_id: str, change: CropChange, *, progress: Callable[[float], None] | None = None
    ) -> Avatar:
        """Change the boxes of the detector of an avatar of the store. What is prepared from them is prepared again.

        Args:
            progress: Called with 0..1.

        Raises:
            NotFoundError: If there is no such avatar.
            AvatarError: If the avatar is built in or has no face, or the box leaves too little of the picture.
            SettingsError: If the detector is unknown or not installed.
        """
        avatar = self._own(avatar_id)
        changed = change_crop(avatar.manifest, avatar.clip, change, progress)
        write_manifest(changed, avatar.clip.with_name(_MANIFEST))
        return self.load(avatar_id)

    def report(self, avatar_id: str) -> str | None:
        """Return the preflight report of an avatar as JSON; ``None`` if it has none or a damaged one.

        Raises:
            NotFoundError: If there is no such avatar.
        """
        path = self._folder(avatar_id) / _REPORT
        try:
            text = path.read_text()
            return text if isinstance(json.loads(text), dict) else None
        except (OSError, ValueError, RecursionError):
            return None

    def verify(self, avatar_id: str) -> None:
        """Check an avatar and its prepared forms, byte by byte where a checksum is known.

        Raises:
            NotFoundError: If there is no such avatar.
            AvatarError: If anything is damaged; the message names it.
        """
        avatar = self.load(avatar_id)
        if avatar.form:
            raise AvatarError(f"{avatar_id!r} is filmed when it is first prepared: there is nothing to check yet")
        sums = [clip.clip_sha256 for clip in avatar.manifest.clips] or [avatar.manifest.clip_sha256]
        for path, known in zip(avatar.manifest.files(avatar.clip), sums, strict=True):
            if known and file_sha256(path) != known:
                raise AvatarError(f"{path} is not the clip that was built: its checksum differs")
        check_clip(avatar.clip, avatar.manifest)
        for folder in sorted(avatar.prepared_root.glob("[0-9a-f]*/")):
            verify_prepared(avatar, folder)

    def remove(self, avatar_id: str, *, missing_ok: bool = False) -> None:
        """Remove an avatar of the store with its prepared forms.

        Raises:
            NotFoundError: If the store has no such avatar (unless ``missing_ok``).
        """
        folder = self._avatars / check_id(avatar_id)
        if not folder.exists() and not missing_ok:
            raise NotFoundError(f"the store has no avatar {avatar_id!r}")
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(self.root / "prepared" / avatar_id, ignore_errors=True)

    def _own(self, avatar_id: str) -> Avatar:
        """Return an avatar that may be changed."""
        avatar = self.load(avatar_id)
        if not self.is_own(avatar_id):
            raise AvatarError(f"the avatar {avatar_id!r} is built in: build one of its folder under another id")
        return avatar

    def _put(self, scratch: Path, avatar_id: str) -> None:
        """Move a finished folder to its place, instead of the one that is there."""
        sync_folder(scratch)
        self.remove(avatar_id, missing_ok=True)
        scratch.replace(self._avatars / avatar_id)

    @property
    def _avatars(self) -> Path:
        return self.root / "avatars"

    def _first_picture(self, clip: Path, avatar_id: str) -> Bgr:
        try:
            with av.open(str(clip)) as container:
                frame = next(container.decode(video=0)).to_ndarray(format="yuv420p")
        except (av.FFmpegError, OSError, IndexError, StopIteration) as error:
            raise AvatarError(f"cannot read the clip of avatar {avatar_id!r}") from error
        return i420_to_bgr(np.asarray(frame, np.uint8))

    def _is_filmed(self, avatar_id: str) -> bool:
        return any((root / avatar_id / _MANIFEST).exists() for root in (self._avatars, BUILT_IN))

    def _unfilmed_form(self, avatar_id: str) -> FormOf | None:
        """Return the form of a built-in person that an id names, if there is no such avatar yet."""
        form = form_of(avatar_id, BUILT_IN)
        return None if form is None or self._is_filmed(avatar_id) else form

    def _folder(self, avatar_id: str) -> Path:
        try:
            check_id(avatar_id)
        except AvatarError as error:
            raise NotFoundError(f"there is no avatar {avatar_id!r}") from error
        for root in (self._avatars, BUILT_IN):
            if (root / avatar_id / _MANIFEST).exists():
                return root / avatar_id
        raise NotFoundError(f"there is no avatar {avatar_id!r}")

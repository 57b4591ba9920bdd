"""What is said and shown of avatars, from memory: the store is read again only where a file has changed.

Clips are decoded one after the other, in a thread of the event loop's pool, whose threads have a low priority: the
same machine draws pictures every 40 ms.
"""

import asyncio
import contextlib
import hashlib
import json
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lipstream.avatar_cache.manifest import Manifest
from lipstream.avatar_cache.store import AvatarStore
from lipstream.realtime.errors import AvatarError, LipstreamError, UnavailableError

MOST_WAITING = 8
"""Previews that wait to be decoded, the one being decoded included."""
MOST_PREPARED = 32
"""Previews that are decoded at the start."""
MOST_PREVIEW_BYTES = 64 << 20
FRESH_S = 1.0
"""Time after which the store is looked at again, for avatars that another program made or removed."""
_TAG_DIGITS = 32
Stamp = tuple[int, int]
"""Time of change, ns, and size of a file, bytes."""


@dataclass(frozen=True, slots=True)
class ListedAvatar:
    """An avatar of the store.

    Attributes:
        own: Whether it lies in the store's folder, and is not built in.
        report: The report of its build; ``None`` without one.
        forms: Ids of its forms that are not filmed.
    """

    manifest: Manifest
    own: bool
    report: dict[str, Any] | None
    forms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Preview:
    """A picture of an avatar.

    Attributes:
        jpeg: The file.
        tag: Names this content, for ``ETag``.
    """

    jpeg: bytes
    tag: str


class AvatarCatalog:
    """The avatars of a store, for those who choose one."""

    def __init__(self, store: AvatarStore) -> None:
        self._store = store
        self._one = asyncio.Lock()  # held while a clip is decoded
        self._read: dict[Path, tuple[Stamp, ListedAvatar | None]] = {}
        self._avatars: dict[str, ListedAvatar] = {}
        self._looked_s: float | None = None
        self._looking = asyncio.Lock()
        self._previews: OrderedDict[str, tuple[Stamp, Preview | LipstreamError]] = OrderedDict()
        self._preview_bytes = 0
        self._decoding: dict[str, asyncio.Task[Preview | LipstreamError]] = {}

    def forget(self) -> None:
        """Look at the store again at the next request: an avatar was made or removed."""
        self._looked_s = None

    async def all(self) -> dict[str, ListedAvatar]:
        """Return the avatars by id, in order, without unreadable ones."""
        async with self._looking:
            now_s = asyncio.get_running_loop().time()
            if self._looked_s is None or now_s - self._looked_s > FRESH_S:
                self._looked_s = now_s  # before the look: what changes meanwhile may be missed by it
                self._avatars = await asyncio.to_thread(self._look)
        return self._avatars

    async def get(self, avatar_id: str) -> ListedAvatar:
        """Return an avatar.

        Raises:
            NotFoundError: If there is no such avatar.
            AvatarError: If its manifest is damaged.
        """
        if listed := (await self.all()).get(avatar_id):
            return listed
        manifest = (await asyncio.to_thread(self._store.load, avatar_id)).manifest  # or it says why not
        return ListedAvatar(manifest, self._store.is_own(avatar_id), None)

    async def preview(self, avatar_id: str) -> Preview:
        """Return a picture of an avatar, decoded at most once for each content of its clip.

        Raises:
            NotFoundError: If there is no such avatar.
            AvatarError: If its clip cannot be read.
            UnavailableError: If too many clips wait to be decoded.
        """
        stamp = _stamp(self._store.clip_path(avatar_id))
        known = self._previews.get(avatar_id)
        if known and known[0] == stamp:
            self._previews.move_to_end(avatar_id)
            return _unless_failed(known[1])
        if avatar_id not in self._decoding:
            if len(self._decoding) >= MOST_WAITING:
                raise UnavailableError("too many pictures wait to be made", reason="busy", retry_after_s=1)
            task = asyncio.create_task(self._decode(avatar_id, stamp), name="preview")
            self._decoding[avatar_id] = task
            task.add_done_callback(lambda _: self._decoding.pop(avatar_id, None))
        return _unless_failed(await asyncio.shield(self._decoding[avatar_id]))

    async def prepare(self) -> None:
        """Decode the pictures of the first avatars, so that the first visitor does not wait for them."""
        for avatar_id in list(await self.all())[:MOST_PREPARED]:
            with contextlib.suppress(LipstreamError):  # whoever asks for it is told
                await self.preview(avatar_id)

    def close(self) -> None:
        """Drop what waits to be decoded."""
        for task in self._decoding.values():
            task.cancel()

    async def _decode(self, avatar_id: str, stamp: Stamp) -> Preview | LipstreamError:
        made: Preview | LipstreamError
        try:
            async with self._one:
                jpeg = await asyncio.to_thread(self._store.preview, avatar_id)
            made = Preview(jpeg, hashlib.sha256(jpeg).hexdigest()[:_TAG_DIGITS])
        except LipstreamError as error:  # kept too: a clip that cannot be read costs as much as one that can
            made = error
        self._drop(avatar_id)
        self._previews[avatar_id] = (stamp, made)
        self._preview_bytes += _size(made)
        while self._preview_bytes > MOST_PREVIEW_BYTES and len(self._previews) > 1:
            self._drop(next(iter(self._previews)))
        return made

    def _drop(self, avatar_id: str) -> None:
        if known := self._previews.pop(avatar_id, None):
            self._preview_bytes -= _size(known[1])

    def _look(self) -> dict[str, ListedAvatar]:
        """Read the manifests that have changed; runs in a thread."""
        found: dict[str, ListedAvatar] = {}
        read: dict[Path, tuple[Stamp, ListedAvatar | None]] = {}
        for folder, own in self._store.folders():
            path = self._store.manifest_path(folder)
            stamp, known = _stamp(path), self._read.get(folder)
            read[folder] = known if known and known[0] == stamp else (stamp, self._read_folder(folder, own=own))
            if listed := read[folder][1]:
                found[listed.manifest.id] = listed
        self._read = read
        for form in self._store.unfilmed():
            if listed := found.get(form.person.name):
                found[form.person.name] = replace(listed, forms=(*listed.forms, form.id))
        return {avatar_id: found[avatar_id] for avatar_id in sorted(found)}

    def _read_folder(self, folder: Path, *, own: bool) -> ListedAvatar | None:
        try:
            manifest = Manifest.read(self._store.manifest_path(folder))
        except AvatarError:
            return None
        report = None
        with contextlib.suppress(OSError, ValueError):
            report = json.loads(self._store.report_path(folder).read_text())
        return ListedAvatar(manifest, own, report if isinstance(report, dict) else None)


def _stamp(path: Path) -> Stamp:
    try:
        found = path.stat()
    except OSError:
        return (0, 0)
    return (found.st_mtime_ns, found.st_size)


def _size(made: Preview | LipstreamError) -> int:
    return len(made.jpeg) if isinstance(made, Preview) else 0


def _unless_failed(made: Preview | LipstreamError) -> Preview:
    if isinstance(made, LipstreamError):
        raise made
    return made

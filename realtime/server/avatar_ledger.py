"""What a worker of a cluster tells of its avatars, and how they travel: as an archive of the files that were built.

Prepared forms stay where they are: they take a hundred megabytes and belong to the weights of a worker.
"""

import asyncio
import hashlib
import io
import json
import os
import re
import tarfile
from pathlib import Path
from typing import BinaryIO

from lipstream.avatar_cache.avatar import file_sha256
from lipstream.avatar_cache.manifest import check_id
from lipstream.avatar_cache.store import AvatarStore
from lipstream.realtime.errors import AvatarError, NotFoundError

FILE = "removed.json"
"""Name in the store of the list of removed avatars."""
MOST_REMOVED = 10_000
_LOOK_S = 1.0
_FILES = re.compile(r"(clip|between|motion-[a-z0-9-]{1,31})\.mp4|avatar\.json|report\.json")
"""Names of the files that make an avatar."""
Entry = tuple[int, str]
"""When an avatar was built or removed (Unix time, ns), and its digest; empty if it was removed."""


class AvatarLedger:
    """The avatars of one store, without built-in ones, and those that were removed from it."""

    def __init__(self, store: AvatarStore) -> None:
        self._store = store
        self._path = store.root / FILE
        self.known: dict[str, Entry] = {}
        """What `entries` returned last."""
        self.looked = asyncio.Event()
        self.turn = asyncio.Lock()
        """Held while the store is changed: several ingresses may order the same."""
        self._digests: dict[str, tuple[tuple[tuple[int, int], ...], str]] = {}

    async def run(self) -> None:
        """Look at the store each second until cancelled: other programs make avatars too."""
        while True:
            self.known = await asyncio.to_thread(self.entries)
            self.looked.set()
            await asyncio.sleep(_LOOK_S)

    def entries(self) -> dict[str, Entry]:
        """Return the last thing that happened to each avatar. Clips are read only after a change."""
        entries: dict[str, Entry] = {name: (at_ns, "") for name, at_ns in self._removed().items()}
        for folder, own in self._store.folders():
            if own:
                try:
                    entry = self._entry(folder)
                except (OSError, AvatarError):  # it is being removed
                    continue
                entries[folder.name] = max(entry, entries.get(folder.name, entry))
        return entries

    def knows(self, avatar_id: str, entry: Entry) -> bool:
        """Return whether this entry of an avatar, or a later one, is there."""
        known = self.entries().get(avatar_id)
        return known is not None and known >= entry

    def archive(self, avatar_id: str) -> bytes:
        """Return an avatar as a tar archive.

        Raises:
            NotFoundError: If the store has no such avatar.
        """
        if not self._store.is_own(avatar_id):
            raise NotFoundError(f"the store has no avatar {avatar_id!r}")
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for path in self._files(self._folder(avatar_id)):
                archive.add(path, path.name, recursive=False)
        return buffer.getvalue()

    def take(self, avatar_id: str, archive: BinaryIO, entry: Entry) -> bool:
        """Store an avatar from an archive unless a later entry is there; return whether it was stored.

        Raises:
            AvatarError: If the archive holds another content than the entry says, or is none.
        """
        check_id(avatar_id)
        if self.knows(avatar_id, entry):
            return False
        self._store.adopt(avatar_id, lambda folder: _unpack(archive, folder, entry))
        return True

    def note_removed(self, avatar_id: str, at_ns: int) -> None:
        """Remember that an avatar was removed, so that no other worker's copy brings it back."""
        removed = self._removed()
        removed[avatar_id] = max(at_ns, removed.get(avatar_id, 0))
        for name in sorted(removed, key=lambda name: removed[name])[: max(0, len(removed) - MOST_REMOVED)]:
            del removed[name]
        self._store.root.mkdir(parents=True, exist_ok=True)
        scratch = self._path.with_suffix(".part")
        scratch.write_text(json.dumps(removed))
        scratch.replace(self._path)

    def _removed(self) -> dict[str, int]:
        try:
            kept = json.loads(self._path.read_text())
            return {str(name): int(at_ns) for name, at_ns in kept.items()}
        except (OSError, ValueError, AttributeError, TypeError):
            return {}

    def _folder(self, avatar_id: str) -> Path:
        return self._store.clip_path(avatar_id).parent

    def _files(self, folder: Path) -> list[Path]:
        """Return the files that make an avatar, in a fixed order."""
        return sorted(path for path in folder.iterdir() if _FILES.fullmatch(path.name) and path.is_file())

    def _entry(self, folder: Path) -> Entry:
        files = self._files(folder)
        stamp = tuple((facts.st_mtime_ns, facts.st_size) for facts in (path.stat() for path in files))
        if (known := self._digests.get(folder.name)) is None or known[0] != stamp:
            known = self._digests[folder.name] = stamp, digest_of(files)
        return self._store.manifest_path(folder).stat().st_mtime_ns, known[1]


def digest_of(files: list[Path]) -> str:
    """Return the SHA-256 of the names and contents of files, hex."""
    whole = hashlib.sha256()
    for path in files:
        whole.update(f"{path.name} {file_sha256(path)}\n".encode())
    return whole.hexdigest()


def _unpack(archive: BinaryIO, folder: Path, entry: Entry) -> None:
    try:
        with tarfile.open(fileobj=archive, mode="r:") as opened:
            for member in opened:
                if not _FILES.fullmatch(member.name) or not member.isfile() or member.issparse():
                    raise AvatarError(f"the archive of an avatar holds {member.name!r}")
                content = opened.extractfile(member)
                assert content is not None
                with content, (folder / member.name).open("xb") as file:
                    while piece := content.read(1 << 20):
                        file.write(piece)
    except (tarfile.TarError, OSError) as error:
        raise AvatarError(f"the archive of an avatar cannot be read: {error}") from error
    if digest_of(sorted(folder.iterdir())) != entry[1]:
        raise AvatarError("the archive of an avatar is not what was sent: its checksum differs")
    os.utime(folder / "avatar.json", ns=(entry[0], entry[0]))

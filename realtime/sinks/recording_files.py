"""The files of recordings: their names, what there is, and how long it is kept."""

import re
import stat
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from lipstream.realtime.errors import NotFoundError
from lipstream.realtime.option_values import Retention

PICTURE_SUFFIX, TRANSCRIPT_SUFFIX = ".mp4", ".jsonl"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}-[0-9]{8}T[0-9]{6}Z(-[0-9]{1,4})?")
_FILE = re.compile(rf"({_NAME.pattern})(\{PICTURE_SUFFIX}|\{TRANSCRIPT_SUFFIX})")


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A stored recording.

    Attributes:
        name: File names without their suffix; starts with the session's id.
        bytes: Size of both files, bytes.
        changed_s: Unix time of the last write, s.
    """

    name: str
    bytes: int
    changed_s: float


def overdue(kept: Iterable[KeptFile], retention: Retention, now_s: float) -> list[KeptFile]:
    """Return the recordings to delete at Unix time ``now_s``: those too old, and the oldest of those too large."""
    total, over = 0, []
    for one in sorted(kept, key=lambda one: one.changed_s, reverse=True):
        total += one.bytes
        too_old = retention.seconds is not None and now_s - one.changed_s > retention.seconds
        if too_old or (retention.bytes is not None and total > retention.bytes):
            over.append(one)
    return over


def kept_recordings(folder: Path) -> list[KeptFile]:
    """Return the recordings in a folder, the latest first; other files are ignored."""
    found: dict[str, KeptFile] = {}
    if not folder.is_dir():
        return []
    for path in folder.iterdir():
        if not (match := _FILE.fullmatch(path.name)):
            continue
        try:
            facts = path.lstat()
        except OSError:  # deleted meanwhile
            continue
        if stat.S_ISREG(facts.st_mode):
            name, before = match[1], found.get(match[1])
            size, changed_s = facts.st_size, facts.st_mtime
            if before:
                size, changed_s = size + before.bytes, max(changed_s, before.changed_s)
            found[name] = KeptFile(name, size, changed_s)
    return sorted(found.values(), key=lambda one: one.changed_s, reverse=True)


def recorded_file(folder: Path, file: str) -> Path:
    """Return the path of one file of a recording.

    Raises:
        NotFoundError: If there is no such file, or it has another name than recordings have.
    """
    path = folder / file
    if not _FILE.fullmatch(file) or path.is_symlink() or not path.is_file():
        raise NotFoundError("there is no such recording")
    return path


def remove_recording(folder: Path, name: str) -> None:
    """Delete both files of a recording.

    Raises:
        NotFoundError: If there is none with this name.
    """
    if not _NAME.fullmatch(name):
        raise NotFoundError("there is no such recording")
    removed = False
    for suffix in (PICTURE_SUFFIX, TRANSCRIPT_SUFFIX):
        try:
            (folder / f"{name}{suffix}").unlink()
            removed = True
        except FileNotFoundError:
            continue
    if not removed:
        raise NotFoundError("there is no such recording")


def remove_overdue(folder: Path, retention: Retention, now_s: float, *, written: Collection[str]) -> list[str]:
    """Delete the recordings that are kept no longer; return their names.

    Args:
        now_s: Unix time, s.
        written: Names of those that are being written, which stay.
    """
    kept = [one for one in kept_recordings(folder) if one.name not in written]
    names = [one.name for one in overdue(kept, retention, now_s)]
    for name in names:
        remove_recording(folder, name)
    return names

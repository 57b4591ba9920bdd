"""Folders of derived files that survive a power cut: written to the disk before they are moved, checked when read."""

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Write a folder and its files to the disk, so that a later rename never shows them half written.

    Raises:
        OSError: If the disk fails.
    """
    for path in (*folder.iterdir(), folder):
        _sync(path)


def _sync(path: Path) -> None:
    if os.name == "nt" and path.is_dir():  # Windows opens no folders
        return
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def seal(folder: Path, seal_name: str, names: Iterable[str]) -> None:
    """Write the SHA-256 of some files of a folder into one more file of it.

    Raises:
        OSError: If a file cannot be read or written.
    """
    (folder / seal_name).write_text(json.dumps({name: _sha256(folder / name) for name in names}))


def is_whole(folder: Path, seal_name: str, names: Iterable[str]) -> bool:
    """Return whether files are as they were when they were sealed. Files without a seal only have to be there."""
    names = tuple(names)
    try:
        if not (folder / seal_name).exists():
            return all((folder / name).is_file() for name in names)
        known = json.loads((folder / seal_name).read_text())
        return isinstance(known, dict) and all(_sha256(folder / name) == known.get(name) for name in names)
    except (OSError, ValueError):
        return False


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

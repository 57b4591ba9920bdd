"""Folders in which something is made before it takes its place."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PREFIX = ".build-"
_FORGOTTEN_S = 24 * 3600
"""Age at which a folder belongs to no process any more."""


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """Make a folder beside where its content will go, and remove it at the end if it is still there.

    Its name holds the process's number, so that whoever ended the process can remove it. What a killed process left
    behind a day ago is removed as well.
    """
    parent.mkdir(parents=True, exist_ok=True)
    for left in parent.glob(f"{_PREFIX}*"):
        if left.exists() and time.time() - left.stat().st_mtime > _FORGOTTEN_S:
            shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)

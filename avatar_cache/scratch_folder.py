"""Temporary folders for content that is moved into place when it is complete."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PREFIX = ".build-"
_FORGOTTEN_S = 24 * 3600
"""Age after which a leftover folder belongs to no running process."""


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """Create a folder in ``parent``, and remove it at the end unless it was moved.

    Its name contains the process id, so that the parent process can remove the folder of a killed child. Leftover
    folders older than a day are removed too.
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

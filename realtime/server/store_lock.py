"""Keeps a second server out of a store: both would build into it, and remove what the other one shows."""

import json
import logging
import os
import sys
from pathlib import Path
from typing import IO, Self

from lipstream.realtime.errors import ConflictError, SettingsError

logger = logging.getLogger(__name__)

LOCK_NAME = "server.lock"


class StoreLock:
    """Holds a store for this process while the context is open. The lock ends with the process, however it ends.

    The file contains JSON with ``pid`` and ``url``, for the message of a second server and for ``lipstream health``.

    Args:
        url: Address at which this machine reaches the server.
    """

    def __init__(self, root: Path, url: str) -> None:
        self._root, self._url = root, url
        self._file: IO[str] | None = None

    def __enter__(self) -> Self:
        """Take the lock.

        Raises:
            ConflictError: If another server holds it.
            SettingsError: If the store cannot be written to.
        """
        path = self._root / LOCK_NAME
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            self._file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+")
        except OSError as error:
            raise SettingsError(f"the store {self._root} cannot be written to: {error.strerror}") from error
        if not _lock(self._file):
            self._file.close()
            raise ConflictError(_taken(self._root))
        self._file.truncate(0)
        self._file.write(json.dumps({"pid": os.getpid(), "url": self._url}))
        self._file.flush()
        return self

    def __exit__(self, *_: object) -> None:
        """Release the lock."""
        if self._file:
            self._file.truncate(0)
            self._file.close()


def local_url(host: str, port: int, *, tls: bool) -> str:
    """Return the address at which this machine reaches a server that listens on ``host``."""
    name = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104 (compared, not bound)
    return f"{'https' if tls else 'http'}://{f'[{name}]' if ':' in name else name}:{port}"


def served_url(root: Path) -> str | None:
    """Return the address of the server that holds a store; ``None`` if none is known."""
    url = _facts(root).get("url")
    return url if isinstance(url, str) else None


def _taken(root: Path) -> str:
    pid = _facts(root).get("pid")
    other = f"another server, process {pid}," if isinstance(pid, int) else "another server"
    return f"{other} uses the store {root}: stop it, or give this server a --store of its own"


def _facts(root: Path) -> dict[str, object]:
    try:
        facts = json.loads((root / LOCK_NAME).read_text())
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _lock(file: IO[str]) -> bool:
    """Lock an open file; return false if another process holds it."""
    if sys.platform == "win32":
        return True
    import fcntl  # noqa: PLC0415 (missing on Windows)

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:  # some network file systems have no locks
        logger.warning("the store cannot be locked against a second server: %s", error.strerror)
    return True

"""The addresses of the workers: as the settings name them, or from a file that is read again when it changes."""

import logging
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from lipstream.realtime.errors import SettingsError

logger = logging.getLogger(__name__)


class WorkerList:
    """The workers that the setting ``workers`` names.

    Args:
        text: Addresses, comma-separated, or the path of a file with one a line; ``#`` begins a comment there.

    Raises:
        SettingsError: If the file cannot be read, or an address is none of ``http`` or ``https``.
    """

    def __init__(self, text: str) -> None:
        self._path = None if "://" in text else Path(text)
        self._stamp: tuple[int, int] | None = None
        self.urls: tuple[str, ...] = () if self._path else parse_urls(text.split(","))
        if self._path:
            try:
                self._read(self._path)
            except OSError as error:
                raise SettingsError(f"the list of workers {self._path} cannot be read: {error}") from error

    def look(self) -> tuple[str, ...]:
        """Return the addresses; a file that cannot be read or makes no sense leaves those of before."""
        if self._path:
            try:
                self._read(self._path)
            except (OSError, SettingsError) as error:
                logger.warning("the list of workers %s stays as it was: %s", self._path, error)
        return self.urls

    def _read(self, path: Path) -> None:
        facts = path.stat()
        stamp = facts.st_mtime_ns, facts.st_size
        if stamp != self._stamp:
            self._stamp = stamp  # a damaged file is told of once
            self.urls = parse_urls(line.partition("#")[0] for line in path.read_text().splitlines())


def parse_urls(texts: Iterable[str]) -> tuple[str, ...]:
    """Return addresses without repetition, in order; blank ones are left out.

    Raises:
        SettingsError: If one is no address of ``http`` or ``https`` without a path.
    """
    urls: dict[str, None] = {}
    for text in texts:
        if not (text := text.strip()):
            continue
        try:
            parts = urlsplit(text)
            fits = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and not parts.username
        except ValueError:
            fits = False
        if not fits or parts.path.strip("/") or parts.query or parts.fragment:
            raise SettingsError(f"workers: {text!r} is no address such as http://10.0.0.7:8080")
        urls[f"{parts.scheme}://{parts.netloc}"] = None
    return tuple(urls)

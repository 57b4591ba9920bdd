"""API keys of the secret file, each with a name and with scopes: what it opens."""

import hashlib
import hmac
import re
from dataclasses import dataclass
from enum import StrEnum

from lipstream.realtime.errors import SettingsError

SHORTEST_KEY = 16
_SCOPED = re.compile(r"([A-Za-z0-9][\w.-]{0,31})\s+([\w,]+)\s+(\S+)")


class Scope(StrEnum):
    """What an API key opens, beside the list of avatars."""

    ADMIN = "admin"
    """Everything, tokens for others included."""
    PUBLISH = "publish"
    """Begin sessions, by WHIP or otherwise, and use those that it began."""
    WATCH = "watch"
    """List sessions and watch any of them."""
    METRICS = "metrics"
    """Read the metrics."""
    RECORD = "record"
    """Record sessions."""
    STREAM = "stream"
    """Send sessions to other servers."""
    UPLOAD = "upload"
    """Make and remove avatars."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key of the secret file.

    Attributes:
        name: Name for the audit log: the one in the file, or ``key-N`` of the Nth line that holds a key.
        secret: Text of the key, at least 16 characters.
    """

    name: str
    scopes: frozenset[Scope]
    secret: str

    @property
    def digest(self) -> bytes:
        """SHA-256 of the key."""
        return hashlib.sha256(self.secret.encode()).digest()

    def is_admin(self) -> bool:
        """Return whether it opens everything."""
        return Scope.ADMIN in self.scopes


def parse_keys(text: str) -> list[ApiKey]:
    """Return the keys of a secret file's text.

    A line is a key, which opens everything, or ``NAME SCOPE[,SCOPE] KEY``. A line whose second word names no scope is
    a key with spaces in it. Blank lines and lines that begin with ``#`` hold none.

    Raises:
        SettingsError: If a key is short, a name is used twice, or a list of scopes holds an unknown word. The message
            repeats no key.
    """
    keys: list[ApiKey] = []
    for number, line in enumerate(text.splitlines(), 1):
        if (line := line.strip()) and not line.startswith("#"):
            keys.append(_parse_line(line, number, len(keys) + 1))
    names = [key.name for key in keys]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise SettingsError(f"the secret file names two keys {twice!r}")
    return keys


def find_key(keys: list[ApiKey], secret: str) -> ApiKey | None:
    """Return the key with a text; every key is compared, so that the time tells nothing."""
    digest, found = hashlib.sha256(secret.encode()).digest(), None
    for key in keys:
        if hmac.compare_digest(digest, key.digest):
            found = key
    return found


def _parse_line(line: str, number: int, place: int) -> ApiKey:
    name, scopes, secret = f"key-{place}", frozenset((Scope.ADMIN,)), line
    if match := _SCOPED.fullmatch(line):
        words = match[2].split(",")
        known = set(Scope)
        if unknown := [word for word in words if word not in known]:
            if len(unknown) < len(words):
                raise SettingsError(
                    f"line {number} of the secret file: {unknown[0]!r} is no scope; there are {', '.join(Scope)}"
                )
        else:
            name, scopes, secret = match[1], frozenset(map(Scope, words)), match[3]
    if len(secret) < SHORTEST_KEY:
        raise SettingsError(f"the secret file holds a key of less than {SHORTEST_KEY} characters (line {number})")
    return ApiKey(name, scopes, secret)

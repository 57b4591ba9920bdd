"""Bearer tokens: API keys of operators, and join tokens for guests.

A join token is ``BODY.SIGNATURE``, both base64url. The body is JSON with ``exp`` (Unix time, s) and a random ``id``.
The signature is HMAC-SHA256 of the body (RFC 2104) under a key derived from an API key. The token has no header, so it
cannot name another algorithm. Session and viewer tokens are random and stored with their session.
"""

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from collections.abc import Sequence
from enum import Enum, auto
from pathlib import Path
from typing import Any

from lipstream.realtime.errors import ConflictError, SettingsError

JOIN_TOKEN_S = 300
KIOSK_TOKEN_S = 366 * 24 * 3600
"""A kiosk must reconnect by itself for a year without maintenance. A change of the API key ends its token sooner."""
SHORTEST_KEY = 16
_PURPOSE = b"lipstream join token 1"


class Role(Enum):
    """Role of a caller, given by its token."""

    OPERATOR = auto()
    GUEST = auto()
    NOBODY = auto()


class Tokens:
    """The server's API keys, and the join tokens that they sign.

    Args:
        keys: API keys; the first one signs join tokens. Empty admits every caller.
    """

    def __init__(self, keys: Sequence[str] = ()) -> None:
        self._digests = [hashlib.sha256(key.encode()).digest() for key in keys]
        self._signing = [hmac.digest(key.encode(), _PURPOSE, "sha256") for key in keys]

    @classmethod
    def read(cls, secret_file: Path | None) -> "Tokens":
        """Read the API keys from a secret file: one per line, without blank lines and ``#`` comments.

        Args:
            secret_file: Path of the file; ``None`` for no keys.

        Raises:
            SettingsError: If the file cannot be read, holds no key, or holds a key of less than 16 characters.
        """
        if secret_file is None:
            return cls()
        try:
            lines = [line.strip() for line in secret_file.read_text().splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"the secret file {secret_file} cannot be read: {error}") from error
        keys = [line for line in lines if line and not line.startswith("#")]
        if not keys:
            raise SettingsError(f"the secret file {secret_file} holds no key: put one into it, a line each")
        if min(map(len, keys)) < SHORTEST_KEY:
            raise SettingsError(f"the secret file {secret_file} holds a key of less than {SHORTEST_KEY} characters")
        return cls(keys)

    @property
    def required(self) -> bool:
        """Whether callers need a token."""
        return bool(self._digests)

    def role_of(self, token: str, now_s: float) -> Role:
        """Return the role that a token gives at Unix time ``now_s``."""
        digest = hashlib.sha256(token.encode()).digest()
        if any(hmac.compare_digest(digest, key) for key in self._digests):
            return Role.OPERATOR
        return Role.GUEST if self._is_join_token(token, now_s) else Role.NOBODY

    def join_token(self, now_s: float, *, kiosk: bool = False) -> str:
        """Return a new join token, valid for :data:`JOIN_TOKEN_S`, or :data:`KIOSK_TOKEN_S` for a kiosk.

        Raises:
            ConflictError: If the server has no API key to sign the token.
        """
        if not self._signing:
            raise ConflictError("this server asks for no tokens: it has no secret file")
        good_for_s = KIOSK_TOKEN_S if kiosk else JOIN_TOKEN_S
        claims = {"exp": int(now_s) + good_for_s, "id": secrets.token_urlsafe(9), **({"kiosk": True} if kiosk else {})}
        body = _encode(json.dumps(claims).encode())
        return f"{body}.{_sign(self._signing[0], body)}"

    def _is_join_token(self, token: str, now_s: float) -> bool:
        body, _, signature = token.partition(".")
        if not any(hmac.compare_digest(_sign(key, body).encode(), signature.encode()) for key in self._signing):
            return False
        try:
            claims: Any = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        except (ValueError, binascii.Error):  # signed by another version with another format
            return False
        expires = claims.get("exp") if isinstance(claims, dict) else None
        longest_s = KIOSK_TOKEN_S if isinstance(claims, dict) and claims.get("kiosk") is True else JOIN_TOKEN_S
        return isinstance(expires, int) and now_s < expires <= now_s + 2 * longest_s


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _sign(key: bytes, body: str) -> str:
    return _encode(hmac.digest(key, body.encode(), "sha256"))

"""Who a bearer token is: an operator with an API key, or a guest with a join token that an operator signed.

A join token is ``BODY.SIGNATURE``, both base64url: the body is JSON with ``exp`` (Unix time, s) and a random ``id``,
the signature HMAC-SHA256 of the body (RFC 2104) under a key derived from an API key. There is one algorithm and no
header that could name another. Session and viewer tokens are random, belong to one session and are kept with it.
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
"""A screen that nobody looks after for a year must come back by itself; another key ends it sooner."""
SHORTEST_KEY = 16
_PURPOSE = b"lipstream join token 1"


class Role(Enum):
    """Whom a token makes its bearer."""

    OPERATOR = auto()
    GUEST = auto()
    NOBODY = auto()


class Tokens:
    """The server's API keys, and the join tokens that they sign.

    Args:
        keys: API keys; without any, nothing is asked for. The first signs.
    """

    def __init__(self, keys: Sequence[str] = ()) -> None:
        self._digests = [hashlib.sha256(key.encode()).digest() for key in keys]
        self._signing = [hmac.digest(key.encode(), _PURPOSE, "sha256") for key in keys]

    @classmethod
    def read(cls, secret_file: Path | None) -> "Tokens":
        """Return the access that a secret file gives: an API key a line; blank lines and ``#`` comments are skipped.

        Raises:
            SettingsError: If it cannot be read, or holds no key, or one that is too short.
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
        """Whether a token is asked for at all."""
        return bool(self._digests)

    def role_of(self, token: str, now_s: float) -> Role:
        """Return whom a token makes its bearer at a Unix time."""
        digest = hashlib.sha256(token.encode()).digest()
        if any(hmac.compare_digest(digest, key) for key in self._digests):
            return Role.OPERATOR
        return Role.GUEST if self._is_join_token(token, now_s) else Role.NOBODY

    def join_token(self, now_s: float, *, kiosk: bool = False) -> str:
        """Return a new join token, good for :data:`JOIN_TOKEN_S`, or for a kiosk for :data:`KIOSK_TOKEN_S`.

        Raises:
            ConflictError: If there is no key to sign it with.
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
        except (ValueError, binascii.Error):  # signed, but by another version
            return False
        expires = claims.get("exp") if isinstance(claims, dict) else None
        longest_s = KIOSK_TOKEN_S if isinstance(claims, dict) and claims.get("kiosk") is True else JOIN_TOKEN_S
        return isinstance(expires, int) and now_s < expires <= now_s + 2 * longest_s


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _sign(key: bytes, body: str) -> str:
    return _encode(hmac.digest(key, body.encode(), "sha256"))

"""Bearer tokens: API keys of operators and programs, and join tokens for guests.

A join token is ``BODY.SIGNATURE``, both base64url. The body is JSON with ``exp`` (Unix time, s), a random ``id`` and
what the token grants. The signature is HMAC-SHA256 of the body (RFC 2104) under a key derived from an API key. The
token has no header, so it cannot name another algorithm. Session and viewer tokens are random and stored with their
session.
"""

import base64
import binascii
import hmac
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import Any

from lipstream.realtime.api.keys import ApiKey, Scope, find_key, parse_keys
from lipstream.realtime.errors import ConflictError, SettingsError

JOIN_TOKEN_S = 300
KIOSK_TOKEN_S = 366 * 24 * 3600
"""A kiosk must reconnect by itself for a year without maintenance. A change of the API key ends its token sooner."""
MOST_SESSIONS = 1000
_PURPOSE = b"lipstream join token 1"
_LONGEST_ID = 64


class Role(Enum):
    """Role of a caller, given by its token."""

    OPERATOR = auto()
    """An API key that opens everything."""
    KEY = auto()
    """An API key that opens what its scopes say."""
    GUEST = auto()
    """A join token."""
    NOBODY = auto()


@dataclass(frozen=True, slots=True)
class Invitation:
    """What a join token grants.

    Attributes:
        id: Names the token; empty in a token of an earlier version without one.
        expires_s: Unix time, s.
        kiosk: Whether it lasts for a kiosk's year.
        max_sessions: Most sessions at once; ``None`` for no limit, as in tokens of earlier versions.
        max_minutes: Longest session, minutes; ``None`` for the server's own limit.
        avatars: Ids of the avatars that its sessions may show; ``None`` for all.
        conversation: Whether its sessions may be conversations.
        once: Whether it begins one session in all.
        local_audio: Whether its sessions may use microphone and loudspeaker of the server's machine.
        motions: Whether its sessions may ask for motions of the avatar.
    """

    id: str
    expires_s: int
    kiosk: bool = False
    max_sessions: int | None = 1
    max_minutes: float | None = None
    avatars: tuple[str, ...] | None = None
    conversation: bool = True
    once: bool = False
    local_audio: bool = False
    motions: bool = False

    def claims(self) -> dict[str, Any]:
        """Return the claims of the token's body; what equals the absence of a claim is left out."""
        claims: dict[str, Any] = {"exp": self.expires_s, "id": self.id}
        if self.max_sessions is not None:
            claims["sessions"] = self.max_sessions
        if self.max_minutes is not None:
            claims["minutes"] = self.max_minutes
        if self.avatars is not None:
            claims["avatars"] = list(self.avatars)
        if not self.conversation:
            claims["conversation"] = False
        flags = {"kiosk": self.kiosk, "once": self.once, "local_audio": self.local_audio, "motions": self.motions}
        return claims | {name: True for name, is_set in flags.items() if is_set}

    @classmethod
    def parse(cls, claims: object) -> "Invitation | None":
        """Return what signed claims grant; ``None`` if one of them has no meaning here."""
        if not isinstance(claims, dict):
            return None
        expires_s, token_id = claims.get("exp"), claims.get("id", "")
        most, minutes, avatars = claims.get("sessions"), claims.get("minutes"), claims.get("avatars")
        if type(expires_s) is not int:
            return None
        makes_sense = (
            isinstance(token_id, str)
            and len(token_id) <= _LONGEST_ID
            and (most is None or (type(most) is int and most >= 1))
            and (minutes is None or (type(minutes) in (int, float) and minutes > 0))
            and (avatars is None or (isinstance(avatars, list) and all(isinstance(name, str) for name in avatars)))
        )
        if not makes_sense:
            return None
        return cls(
            id=token_id,
            expires_s=expires_s,
            kiosk=claims.get("kiosk") is True,
            max_sessions=most,
            max_minutes=minutes,
            avatars=None if avatars is None else tuple(avatars),
            conversation=claims.get("conversation") is not False,
            once=claims.get("once") is True,
            local_audio=claims.get("local_audio") is True,
            motions=claims.get("motions") is True,
        )


@dataclass(frozen=True, slots=True)
class Caller:
    """The holder of a token.

    Attributes:
        key: Name of the API key; empty for other callers.
        invitation: What a join token grants; ``None`` for other callers.
    """

    role: Role
    key: str = ""
    scopes: frozenset[Scope] = field(default_factory=frozenset)
    invitation: Invitation | None = None

    def may(self, scope: Scope) -> bool:
        """Return whether an API key opens a scope."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


NOBODY = Caller(Role.NOBODY)
ANYBODY = Caller(Role.OPERATOR, scopes=frozenset((Scope.ADMIN,)))
"""Every caller of a server without keys."""


class Tokens:
    """The server's API keys, and the join tokens that they sign.

    Args:
        keys: API keys, or texts of keys that open everything. The first key that opens everything signs join tokens,
            and all of those verify them. Empty admits every caller.
    """

    def __init__(self, keys: Sequence[ApiKey | str] = ()) -> None:
        everything = frozenset((Scope.ADMIN,))
        self._keys = [
            key if isinstance(key, ApiKey) else ApiKey(f"key-{place}", everything, key)
            for place, key in enumerate(keys, 1)
        ]
        self._signing = [hmac.digest(key.secret.encode(), _PURPOSE, "sha256") for key in self._keys if key.is_admin()]

    @classmethod
    def read(cls, secret_file: Path | None) -> "Tokens":
        """Read the API keys from a secret file; :func:`realtime.api.keys.parse_keys` tells its form.

        Args:
            secret_file: Path of the file; ``None`` for no keys.

        Raises:
            SettingsError: If the file cannot be read, holds no key, or a line of it makes no sense.
        """
        if secret_file is None:
            return cls()
        try:
            keys = parse_keys(secret_file.read_text())
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"the secret file {secret_file} cannot be read: {error}") from error
        if not keys:
            raise SettingsError(f"the secret file {secret_file} holds no key: put one into it, a line each")
        return cls(keys)

    @property
    def required(self) -> bool:
        """Whether callers need a token."""
        return bool(self._keys)

    def caller_of(self, token: str, now_s: float) -> Caller:
        """Return the holder of a token at Unix time ``now_s``."""
        if key := find_key(self._keys, token):
            return Caller(Role.OPERATOR if key.is_admin() else Role.KEY, key.name, key.scopes)
        invitation = self._invitation(token, now_s)
        return Caller(Role.GUEST, invitation=invitation) if invitation else NOBODY

    def role_of(self, token: str, now_s: float) -> Role:
        """Return the role that a token gives at Unix time ``now_s``."""
        return self.caller_of(token, now_s).role

    def invite(self, now_s: float, *, kiosk: bool = False, **grants: Any) -> tuple[str, Invitation]:
        """Return a new join token and what it grants.

        It is valid for :data:`JOIN_TOKEN_S`, or :data:`KIOSK_TOKEN_S` for a kiosk.

        Args:
            grants: Further fields of :class:`Invitation`.

        Raises:
            ConflictError: If the server has no API key to sign the token.
        """
        if not self._keys:
            raise ConflictError("this server asks for no tokens: it has no secret file")
        if not self._signing:
            raise ConflictError("the secret file has no key of scope admin, which would sign tokens")
        expires_s = int(now_s) + (KIOSK_TOKEN_S if kiosk else JOIN_TOKEN_S)
        invitation = Invitation(secrets.token_urlsafe(9), expires_s, kiosk=kiosk, **grants)
        body = _encode(json.dumps(invitation.claims(), separators=(",", ":")).encode())
        return f"{body}.{_sign(self._signing[0], body)}", invitation

    def join_token(self, now_s: float, *, kiosk: bool = False) -> str:
        """Return a new join token that grants what :class:`Invitation` says by default.

        Raises:
            ConflictError: If the server has no API key to sign the token.
        """
        return self.invite(now_s, kiosk=kiosk)[0]

    def _invitation(self, token: str, now_s: float) -> Invitation | None:
        body, _, signature = token.partition(".")
        if not any(hmac.compare_digest(_sign(key, body).encode(), signature.encode()) for key in self._signing):
            return None
        try:
            claims: object = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        except (ValueError, binascii.Error):  # signed by another version with another format
            return None
        invitation = Invitation.parse(claims)
        if invitation is None:
            return None
        longest_s = KIOSK_TOKEN_S if invitation.kiosk else JOIN_TOKEN_S
        return invitation if now_s < invitation.expires_s <= now_s + 2 * longest_s else None


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _sign(key: bytes, body: str) -> str:
    return _encode(hmac.digest(key, body.encode(), "sha256"))

"""Time-limited credentials for a TURN server that shares a secret with this server.

The username holds the expiry, the password is a signature of the username, so the two servers need not communicate
(draft-uberti-behave-turn-rest-00; coturn's ``use-auth-secret``).
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lipstream.realtime.errors import SettingsError
from lipstream.realtime.wire.session_answers import IceServer

LONGEST_S = 600
SHORTEST_SECRET = 16
"""Every guest gets a username with its signature and could search for a short secret offline."""


@dataclass(frozen=True, slots=True)
class TurnSecret:
    """The secret that signs credentials.

    Attributes:
        urls: ``turn:`` and ``turns:`` addresses in the order of preference.
        secret: Secret shared with the TURN server, 16 characters or more.
        ttl_s: Time in which a credential can open a relay, s, default 600; an open relay stays.
    """

    urls: tuple[str, ...]
    secret: str = field(repr=False)
    ttl_s: int = LONGEST_S

    @classmethod
    def read(cls, urls: Sequence[str], path: Path | None, ttl_s: int) -> "TurnSecret | None":
        """Return the secret in the file's first line, with the addresses; ``None`` without a file.

        Raises:
            SettingsError: If the file cannot be read, or its first line is too short.
        """
        if path is None:
            return None
        try:
            first = path.read_text().partition("\n")[0].strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"the TURN secret file {path} cannot be read: {error}") from error
        if len(first) < SHORTEST_SECRET:
            raise SettingsError(f"the TURN secret file {path} holds a secret of less than {SHORTEST_SECRET} characters")
        return cls(tuple(urls), first, ttl_s)

    def ice_server(self, user: str, now_s: float) -> IceServer:
        """Return an entry of ``iceServers`` for one user.

        Args:
            now_s: Unix time, s.
        """
        username = f"{int(now_s) + self.ttl_s}:{user}"
        signature = hmac.digest(self.secret.encode(), username.encode(), hashlib.sha1)
        return {"urls": list(self.urls), "username": username, "credential": base64.b64encode(signature).decode()}


def quota_user(session_id: str) -> str:
    """Return the name of a session at the TURN server; unlike the session's id, it grants no access."""
    return hashlib.sha256(session_id.encode()).hexdigest()[:16]

"""Time-limited credentials of a TURN server that shares a secret with this one.

The username says until when it is good, the password is a signature of it, so the two servers need not talk
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
"""Every guest holds a username and its signature, and could try short secrets at leisure."""


@dataclass(frozen=True, slots=True)
class TurnSecret:
    """What signs the credentials.

    Attributes:
        urls: ``turn:`` and ``turns:`` addresses, the one that most clients should use first.
        secret: Shared with the TURN server.
        ttl_s: How long a credential opens a new relay; one that is open stays.
    """

    urls: tuple[str, ...]
    secret: str = field(repr=False)
    ttl_s: int = LONGEST_S

    @classmethod
    def read(cls, urls: Sequence[str], path: Path | None, ttl_s: int) -> "TurnSecret | None":
        """Return what a secret file and addresses give; ``None`` where there is no file.

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
            user: Whom the TURN server's quota counts, over all credentials; it stands in that server's log.
            now_s: Unix time.
        """
        username = f"{int(now_s) + self.ttl_s}:{user}"
        signature = hmac.digest(self.secret.encode(), username.encode(), hashlib.sha1)
        return {"urls": list(self.urls), "username": username, "credential": base64.b64encode(signature).decode()}


def quota_user(session_id: str) -> str:
    """Return the name under which a session uses a relay: it opens nothing, unlike the session's id."""
    return hashlib.sha256(session_id.encode()).hexdigest()[:16]

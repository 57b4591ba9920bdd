"""Ids and tokens of sessions. In a cluster the id ends with the worker's, so any ingress knows where a session is.

The worker's id is eight characters, drawn at each start of a server: a restarted one is another worker, since its
sessions are gone. What comes before is the session's *name*, which it keeps when it is begun again elsewhere; the log
names sessions by its first characters.
"""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from lipstream.realtime.session.cluster_secret import ClusterSecret

WORKER_CHARACTERS = 8
_NAME_BYTES, _TOKEN_BYTES = 16, 24


@dataclass(frozen=True, slots=True)
class SessionName:
    """What a session is called, and what opens it.

    Attributes:
        former_id: Id of the session that it continues; empty for a new one.
    """

    id: str
    token: str
    viewer_token: str
    former_id: str = ""


def split_id(session_id: str) -> tuple[str, str]:
    """Return the worker and the name in the id of a session of a cluster."""
    return session_id[-WORKER_CHARACTERS:], session_id[:-WORKER_CHARACTERS]


class SessionNames:
    """Names the sessions of one server.

    Args:
        secret: The cluster's; ``None`` for a server on its own.

    Attributes:
        worker: What the ids of its sessions end with; empty for a server on its own.
    """

    def __init__(self, secret: ClusterSecret | None = None) -> None:
        self.secret = secret
        self.worker = secrets.token_hex(WORKER_CHARACTERS // 2) if secret else ""

    def new(self) -> SessionName:
        """Return the name of a new session."""
        name = secrets.token_urlsafe(_NAME_BYTES)
        if self.secret:
            return self._derived(self.secret, name, "")
        return SessionName(name, secrets.token_urlsafe(_TOKEN_BYTES), secrets.token_urlsafe(_TOKEN_BYTES))

    def continued(self, former_id: str, token: str, taken: Iterable[str]) -> SessionName:
        """Return the name of a session that continues a lost one of the cluster, with the same tokens.

        It is that of a new session if the token is not the lost session's, if the session is not lost, or without a
        cluster: a client that has lost its session needs one in any case.

        Args:
            token: Token of the lost session's owner.
            taken: Ids of the sessions that this server has.
        """
        _, name = split_id(former_id)
        if not self.secret or not name or not self.secret.opens(token, self.secret.owner_token(name)):
            return self.new()
        if any(split_id(session_id)[1] == name for session_id in taken):
            return self.new()
        return self._derived(self.secret, name, former_id)

    def _derived(self, secret: ClusterSecret, name: str, former_id: str) -> SessionName:
        return SessionName(name + self.worker, secret.owner_token(name), secret.viewer_token(name), former_id)

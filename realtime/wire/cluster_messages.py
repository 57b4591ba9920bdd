"""What a worker of a cluster tells its ingresses: one JSON object a line, each second and at each change."""

from typing import NotRequired

from typing_extensions import TypedDict

from lipstream.realtime.errors import UnreadyReason

ANNOUNCE_S = 1.0
"""Longest time between two announcements, s."""
SECRET_HEADER, CLIENT_HEADER = "lipstream-cluster", "lipstream-client"
"""Names of the headers with what proves an ingress, and with the address of the client that it speaks for."""


class Announcement(TypedDict):
    """The state of a worker.

    Attributes:
        worker: Eight characters that end the ids of its sessions.
        node: Name of its machine.
        model: Fingerprint of its weights; empty until they are loaded.
        reason: Why it takes no session; ``null`` if it does.
        capacity: Sessions that it has room for in all.
        free: Sessions that it has room for now.
        sessions: Number of sessions.
        begun: Number of sessions that it has begun since its start; workers of earlier versions tell nothing of it.
        continued: Ids of the sessions that it continues for lost workers.
        prepared: Ids of avatars that it shows without preparing them.
        shown: Ids of avatars that sessions show.
        avatars: Of each avatar of its store, by id: when it was built (Unix time, ns) and what it is (SHA-256, hex;
            empty if it was removed).
        tokens: Names the state of its list of revoked and used join tokens.
        keyed: Whether it asks its callers for keys or tokens.
        held: Number of sessions of each join token that is limited, by the token's id.
    """

    worker: str
    node: str
    model: str
    reason: UnreadyReason | None
    capacity: int
    free: int
    sessions: int
    begun: NotRequired[int]
    continued: list[str]
    prepared: list[str]
    shown: list[str]
    avatars: dict[str, tuple[int, str]]
    tokens: str
    keyed: bool
    held: dict[str, int]


class TokenLists(TypedDict):
    """Join tokens that open nothing more, each with the Unix time at which it expires, s.

    Attributes:
        revoked: Those that were taken back.
        used: Those for one session that have begun it.
    """

    revoked: dict[str, int]
    used: dict[str, int]


class TokenClaim(TypedDict):
    """A session that is about to begin with a join token.

    Attributes:
        most: Most sessions at once of the token.
        held: Number of its sessions on all workers, as the ingress knows it.
        once: Whether it begins one session in all.
    """

    most: int
    held: int
    once: bool

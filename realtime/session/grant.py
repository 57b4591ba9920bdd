"""Who began a session and what it may do, and when it has lasted too long. The module is pure."""

from dataclasses import dataclass
from typing import Literal

WARNING_S = 60.0
"""Time before the end of the longest call at which clients are told of it."""

EndReason = Literal["longest_call", "idle", "revoked"]
"""Limit that ends a session."""


@dataclass(frozen=True, slots=True)
class Grant:
    """Who began a session, and what that allows.

    Attributes:
        key: Name of the API key; empty without one.
        token_id: Id of the join token; empty without one.
        address: Address of the client that began it; empty for the server itself.
        expires_s: Unix time at which the join token expires, s; 0 without one.
        max_sessions: Most sessions at once of the join token; 0 for no limit.
        longest_s: Longest session, s; 0 for no limit.
        idle_s: Longest time in which nothing is said or heard, s; 0 for no limit.
        avatars: Ids of the avatars that the session may show; ``None`` for all.
        motions: Whether its clients may ask for motions.
    """

    key: str = ""
    token_id: str = ""
    address: str = ""
    expires_s: int = 0
    max_sessions: int = 0
    longest_s: float = 0.0
    idle_s: float = 0.0
    avatars: tuple[str, ...] | None = None
    motions: bool = True

    def allows_avatar(self, avatar_id: str) -> bool:
        """Return whether the session may show an avatar."""
        return self.avatars is None or avatar_id in self.avatars

    def left_s(self, began_s: float, now_s: float) -> float | None:
        """Return the time until the longest call is over, s; ``None`` without such a limit.

        Args:
            began_s: Monotonic time of the session's begin, s.
            now_s: Monotonic time, s.
        """
        return began_s + self.longest_s - now_s if self.longest_s else None

    def end_reason(self, began_s: float, active_s: float, now_s: float) -> EndReason | None:
        """Return the limit that is exceeded; ``None`` if there is none.

        Args:
            began_s: Monotonic time of the session's begin, s.
            active_s: Monotonic time at which something was said or heard last, s.
            now_s: Monotonic time, s.
        """
        left_s = self.left_s(began_s, now_s)
        if left_s is not None and left_s <= 0:
            return "longest_call"
        return "idle" if self.idle_s and now_s - active_s >= self.idle_s else None


NO_LIMITS = Grant()
"""Grant of the server's own sessions."""

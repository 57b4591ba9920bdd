"""Sessions of join tokens that are about to begin on some worker of a cluster, counted by one worker for all.

A worker counts the sessions of a token exactly, but only its own, and what the others tell of theirs is up to a second
old. So an ingress asks the token's home, which is the same worker for every ingress, before it places a session. The
module is pure: the time is an argument.
"""

from collections import deque
from dataclasses import dataclass, field

CLAIM_S = 5.0
"""Time for which a claim counts, unless the ingresses hear of its session before, s."""
USED_CLAIM_S = 30.0
"""The same for a token that begins one session in all: until all workers have its name, s."""


@dataclass(slots=True)
class _Claimed:
    held: int = 0  # sessions that were known of at the last claim
    claims: "deque[float]" = field(default_factory=deque)  # times at which they end


class TokenClaims:
    """The claims of the tokens whose home is this worker."""

    def __init__(self) -> None:
        self._tokens: dict[str, _Claimed] = {}

    def take(self, token_id: str, *, most: int, held: int, once: bool, now_s: float) -> bool:
        """Claim a session; return whether the token may have one more.

        Args:
            most: Most sessions at once of the token.
            held: Number of its sessions on all workers, as the ingress knows it. A session that has come since the last
                claim is the one that was claimed first.
            once: Whether the token begins one session in all.
            now_s: Monotonic time, s.
        """
        self._forget(now_s)
        known = self._tokens.setdefault(token_id, _Claimed(held))
        for _ in range(0 if once else min(len(known.claims), held - known.held)):
            known.claims.popleft()
        known.held = held
        if (0 if once else held) + len(known.claims) >= (1 if once else most):
            return False
        known.claims.append(now_s + (USED_CLAIM_S if once else CLAIM_S))
        return True

    def give_back(self, token_id: str) -> None:
        """Forget the latest claim of a token, since no session came of it."""
        if (known := self._tokens.get(token_id)) and known.claims:
            known.claims.pop()

    def _forget(self, now_s: float) -> None:
        for known in self._tokens.values():
            while known.claims and known.claims[0] <= now_s:
                known.claims.popleft()
        self._tokens = {name: known for name, known in self._tokens.items() if known.claims}

"""Keeps the limits of join tokens over all workers, also when sessions begin at once by several ingresses."""

import hashlib
import logging
from collections.abc import Iterable
from urllib.parse import quote

from lipstream.realtime.api.tokens import Invitation
from lipstream.realtime.cluster.forwarding import Forwarder, UnreachableError
from lipstream.realtime.errors import UnavailableError
from lipstream.realtime.wire.cluster_messages import Announcement, TokenClaim

logger = logging.getLogger(__name__)

_CLAIM_S = 2.0
"""Time for a token's home to answer, s."""
_RETRY_S = 2
_CONFLICT = 409


class Claim:
    """A session of a join token that is about to be placed."""

    def __init__(self, forwarder: Forwarder, path: str) -> None:
        self._forwarder, self._path = forwarder, path

    async def give_back(self) -> None:
        """Let the token have another session: none came of this claim."""
        try:
            await self._forwarder.order("DELETE", self._path, timeout=_CLAIM_S)
        except UnreachableError:
            logger.info("a claim could not be given back: it ends by itself")


async def claim_session(
    forwarder: Forwarder, there: Iterable[Announcement], urls: dict[str, str], invitation: Invitation
) -> Claim | None:
    """Claim a session of a join token at the token's home.

    Args:
        there: Announcements of the workers that are there.
        urls: Addresses of these workers, by their id.

    Returns:
        The claim; ``None`` for a token without a limit, or if there is one worker, which counts exactly.

    Raises:
        UnavailableError: If the token has as many sessions as it may, counting those that are about to begin.
    """
    told = list(there)
    if not (invitation.max_sessions or invitation.once) or len(told) < 2:
        return None
    held = sum(one["held"].get(invitation.id, 0) for one in told)
    claim = TokenClaim(most=invitation.max_sessions or held + 1, held=held, once=invitation.once)
    for worker in homes_of(invitation.id, urls):
        path = f"{urls[worker]}/api/cluster/tokens/{quote(invitation.id, safe='')}/claims"
        try:
            answer = await forwarder.order("POST", path, json=claim, timeout=_CLAIM_S)
        except UnreachableError:
            continue
        if answer.status_code == _CONFLICT:
            message = "the invitation has as many calls as it is for: another one is about to begin"
            raise UnavailableError(message, reason="invitation_in_use", retry_after_s=_RETRY_S)
        return Claim(forwarder, path) if answer.is_success else None
    return None


def homes_of(token_id: str, workers: Iterable[str]) -> list[str]:
    """Return workers in the order in which they are a token's home, the same for every ingress (rendezvous hashing)."""
    return sorted(workers, key=lambda worker: hashlib.sha256(f"{token_id} {worker}".encode()).digest())

"""Makes what workers keep the same on all of them: avatars, removals, and lists of join tokens that open nothing."""

import logging
from urllib.parse import quote

from lipstream.realtime.cluster.avatar_plan import Copy, plan
from lipstream.realtime.cluster.forwarding import Forwarder, UnreachableError
from lipstream.realtime.cluster.membership import Members
from lipstream.realtime.wire.cluster_messages import TokenLists

logger = logging.getLogger(__name__)

_TOKENS_S = 5.0
"""Time for a worker to take part in an exchange of tokens; one that takes longer must not keep them from others."""


class Exchange:
    """Compares what the workers announce, and orders what is missing. Several ingresses may do so at once."""

    def __init__(self, forwarder: Forwarder, members: Members) -> None:
        self._forwarder, self._members = forwarder, members

    async def exchange_avatars(self, now_s: float) -> None:
        """Order what is missing, one after the other; what fails is ordered again by the next call."""
        nodes = {url: told["node"] for url, told in self._members.there(now_s).items()}
        for one in plan(self._members.avatars(now_s), nodes):
            path = f"{one.target}/api/cluster/avatars/{quote(one.avatar_id, safe='')}"
            params: dict[str, str | int] = {"at_ns": one.entry.at_ns}
            if isinstance(one, Copy):
                params |= {"digest": one.entry.digest, "source": one.source}
            try:
                method = "POST" if isinstance(one, Copy) else "DELETE"
                answer = await self._forwarder.order(method, path, params=params)
            except UnreachableError:
                continue
            if answer.is_error:
                logger.info("avatar %s: worker %s answers with %d", one.avatar_id, one.target, answer.status_code)

    async def exchange_tokens(self, now_s: float) -> None:
        """Tell every worker of the tokens that open nothing more on another one."""
        fresh = self._members.there(now_s)
        if len({told["tokens"] for told in fresh.values()}) < 2:
            return
        whole = TokenLists(revoked={}, used={})
        for url in fresh:
            try:
                answer = await self._forwarder.order("GET", f"{url}/api/cluster/tokens", timeout=_TOKENS_S)
            except UnreachableError:
                continue
            if answer.is_success:
                merge_lists(whole, answer.json())
        for url in fresh:
            try:
                await self._forwarder.order("PUT", f"{url}/api/cluster/tokens", json=whole, timeout=_TOKENS_S)
            except UnreachableError:
                continue


def merge_lists(whole: TokenLists, more: TokenLists) -> None:
    """Add the tokens of a list to another; the later expiry of a token counts."""
    for own, others in ((whole["revoked"], more["revoked"]), (whole["used"], more["used"])):
        for name, expires_s in others.items():
            own[name] = max(own.get(name, 0), expires_s)

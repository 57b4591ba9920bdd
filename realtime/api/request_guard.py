"""Refuses requests above the limits on their rate, before the application sees them.

A refusal is answered late, so that a client which sends its next request after an answer, or many requests at once on
one connection, sends few. Only a bounded number of refusals wait; others are answered at once and end their connection.
"""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable

from starlette.types import Scope

from lipstream.realtime.api.connections import network_of
from lipstream.realtime.api.request_limits import Identity, RequestLimits, cost_of
from lipstream.realtime.errors import RateLimitError

MOST_WAITING, MOST_WAITING_HERE = 64, 16
"""Refusals that wait at once, in all and of one address or /64 of IPv6."""
DELAY_S = 1.0


class RequestGuard:
    """The limits on the rate of requests of one server.

    Args:
        identify: Returns who sends a request; ``None`` for one that is not limited.
        delay_s: Time for which a refusal waits, s.
    """

    def __init__(self, identify: Callable[[Scope], Identity | None], *, delay_s: float = DELAY_S) -> None:
        self.limits = RequestLimits()
        self._identify, self._delay_s = identify, delay_s
        self._waiting: Counter[str] = Counter()

    async def refusal(self, scope: Scope) -> RateLimitError | None:
        """Count a request of type ``http`` or ``websocket``; return the refusal if it is one too many.

        Its answer must end the connection if ``at_once`` is set.
        """
        if (identity := self._identify(scope)) is None:
            return None
        address = scope["client"][0] if scope.get("client") else ""
        cost = cost_of("WEBSOCKET" if scope["type"] == "websocket" else scope["method"], scope["path"])
        wait_s = self.limits.take(identity, address, cost, time.monotonic())
        if not wait_s:
            return None
        refusal = RateLimitError("too many requests", retry_after_s=math.ceil(wait_s))
        network = network_of(address)
        if self._waiting[network] >= MOST_WAITING_HERE or self._waiting.total() >= MOST_WAITING:
            refusal.at_once = True
            return refusal
        self._waiting[network] += 1
        try:
            await asyncio.sleep(self._delay_s)
        finally:
            self._waiting[network] -= 1
            if not self._waiting[network]:
                del self._waiting[network]
        return refusal

"""Bounds how fast the clients of a session may send control messages."""

import math

from lipstream.realtime.errors import RateLimitError
from lipstream.realtime.rate_limit import RateLimit

CONTROL_BURST, CONTROL_PER_S = 50, 20.0
"""Control messages of a session at once, and per second in the long run; those above are dropped."""


class MessageRate:
    """Counts the control messages of a session."""

    def __init__(self) -> None:
        self._rate = RateLimit(CONTROL_BURST, CONTROL_PER_S)
        self._told_s = -math.inf  # monotonic time at which a client was told last that its messages are dropped

    def admits(self, now_s: float) -> bool:
        """Count a message at monotonic time ``now_s``; return whether it may be carried out.

        Raises:
            RateLimitError: Once a second instead of ``False``, so that the client learns of it.
        """
        wait_s = self._rate.take("", now_s)
        if not wait_s:
            return True
        if now_s - self._told_s < 1:
            return False
        self._told_s = now_s
        raise RateLimitError("messages come too fast; some are dropped", retry_after_s=math.ceil(wait_s))

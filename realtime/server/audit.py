"""The audit log: who began, recorded, streamed, uploaded, revoked and ended what.

Each line is one JSON object with ``time`` (UTC), ``audit`` (the action) and facts: the name of the API key or the id of
the join token, the address, the session. It holds no key, token, word or face. Lines go to the log's output in either
format, and the log's level does not suppress them. docs/DEPLOY.md says how long they are kept.
"""

import json
import logging
import time
from collections.abc import Callable

from lipstream.realtime.log_format import AUDIT, NAME_LENGTH
from lipstream.realtime.rate_limit import RateLimit

BURST, PER_SECOND = 200, 20.0
"""Lines at once, and per second in the long run, so that no caller can fill the disk."""
_LONGEST_FACT = 120


class Audit:
    """Writes the audit log of one process, below a rate.

    Args:
        clock: Returns the monotonic time, s.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._logger = logging.getLogger(AUDIT)
        self._logger.setLevel(logging.INFO)
        self._rate = RateLimit(BURST, PER_SECOND)
        self._left_out = 0

    def note(self, action: str, *, session: str = "", **facts: str | float | None) -> None:
        """Write a line; above the rate only count it, and tell the number in the next line.

        Args:
            action: A word such as ``session_began``.
            session: Id of the session; empty if the action concerns none.
            facts: Further fields; empty ones and ``None`` are left out, long texts are cut.
        """
        if self._rate.take("", self._clock()):
            self._left_out += 1
            return
        line: dict[str, str | float] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "audit": action,
        }
        if session:
            line["session"] = session[:NAME_LENGTH]
        for name, fact in facts.items():
            if fact is not None and fact != "":
                line[name] = fact[:_LONGEST_FACT] if isinstance(fact, str) else fact
        if self._left_out:
            line["left_out"], self._left_out = self._left_out, 0
        self._logger.info("%s", json.dumps(line))


audit = Audit()

"""The audit log: who began, recorded, streamed, uploaded, revoked and ended what.

Each line is one JSON object with ``time`` (UTC), ``audit`` (the action) and facts: the name of the API key or the id of
the join token, the address, the session. It holds no key, token, word or face. Lines go to the log's output in either
format, and the log's level does not suppress them. docs/DEPLOY.md says how long they are kept.
"""

import json
import logging
import time
from collections import Counter
from collections.abc import Callable

from lipstream.realtime.log_format import AUDIT, NAME_LENGTH
from lipstream.realtime.rate_limit import RateLimit

BURST, PER_SECOND = 100, 5.0
"""Lines of one action at once, and per second in the long run, so that no caller can fill the disk."""
REFUSED = "token_refused"
REFUSED_BURST, REFUSED_PER_S = 20, 0.5
"""The same for refused tokens: strangers cause these lines."""
_LONGEST_FACT = 120


class Audit:
    """Writes the audit log of one process, below a rate for each action: a flood of one does not hide another.

    Args:
        clock: Returns the monotonic time, s.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._logger = logging.getLogger(AUDIT)
        self._logger.setLevel(logging.INFO)
        self._rate, self._refused = RateLimit(BURST, PER_SECOND), RateLimit(REFUSED_BURST, REFUSED_PER_S)
        self._left_out: Counter[str] = Counter()

    def note(self, action: str, *, session: str = "", **facts: str | float | None) -> None:
        """Write a line; above the rate only count it, and tell the number in the next line of this action.

        Args:
            action: A word such as ``session_began``.
            session: Id of the session; empty if the action concerns none.
            facts: Further fields; empty ones and ``None`` are left out, long texts are cut.
        """
        rate = self._refused if action == REFUSED else self._rate
        if rate.take(action, self._clock()):
            self._left_out[action] += 1
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
        if left_out := self._left_out.pop(action, 0):
            line["left_out"] = left_out
        self._logger.info("%s", json.dumps(line))


audit = Audit()

"""Bounds what guests have said and answered at the operator's cost: characters and turns an hour.

The module is pure: the clock is passed in.
"""

from collections.abc import Callable

from lipstream.realtime.errors import RateLimitError
from lipstream.realtime.rate_limit import RateLimit

HOUR_S = 3600.0
SPENT = "this call has used up what it may have said and answered for now"


class Budget:
    """What one session may still spend; its join token's other sessions spend from the same.

    Args:
        payers: Names that pay, the session and its token, each with the number of sessions that it pays for.
        clock: Returns the monotonic time, s.
    """

    def __init__(self, spending: "Spending", payers: dict[str, int], clock: Callable[[], float]) -> None:
        self._spending, self._payers, self._clock = spending, payers, clock

    def pay_characters(self, count: int) -> None:
        """Pay for a text that is spoken.

        Raises:
            RateLimitError: If the hour's characters are used up.
        """
        self._pay(self._spending.characters, count)

    def pay_turn(self) -> None:
        """Pay for an answer to a visitor.

        Raises:
            RateLimitError: If the hour's turns are used up.
        """
        self._pay(self._spending.turns, 1)

    def _pay(self, limit: RateLimit | None, cost: float) -> None:
        if limit is None:
            return
        for name, sessions in self._payers.items():
            if wait_s := limit.take(name, self._clock(), cost / sessions):
                raise RateLimitError(SPENT, retry_after_s=max(1, round(wait_s)))


class Spending:
    """The budgets of one server's guests: an hour's worth at once, which refills within an hour.

    Args:
        turns_per_hour: Answers to a visitor, for each session; 0 for no bound.
        characters_per_hour: Characters that are spoken, for each session; 0 for no bound.
    """

    def __init__(self, turns_per_hour: int, characters_per_hour: int) -> None:
        self.turns = RateLimit(turns_per_hour, turns_per_hour / HOUR_S) if turns_per_hour else None
        self.characters = RateLimit(characters_per_hour, characters_per_hour / HOUR_S) if characters_per_hour else None

    def budget(self, session_id: str, token_id: str, sessions: int, clock: Callable[[], float]) -> Budget:
        """Return the budget of a new session.

        Args:
            sessions: Number of sessions for which the token pays at once.
        """
        return Budget(self, {f"session {session_id}": 1, f"token {token_id}": sessions}, clock)

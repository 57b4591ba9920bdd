"""How long to leave something alone that does not work, before it is tried again."""

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0
STEADY_S = 10.0
"""What has worked for so long has proved itself: the next wait is the first one again."""


class Backoff:
    """Doubles the wait from one failure to the next."""

    def __init__(self) -> None:
        self._failures = 0
        self._works_since_s: float | None = None

    def works(self, now_s: float) -> None:
        """Note that it began to work."""
        self._works_since_s = now_s

    def fails(self, now_s: float, chance: float) -> float:
        """Return how long to wait, after a failure; ``chance`` in 0..1 keeps many from coming back at once."""
        if self._works_since_s is not None and now_s - self._works_since_s >= STEADY_S:
            self._failures = 0
        self._works_since_s = None
        wait_s = FIRST_WAIT_S * 2.0 ** min(self._failures, 16)
        self._failures += 1
        return float(min(LONGEST_WAIT_S, wait_s) * (1 - 0.25 * chance))

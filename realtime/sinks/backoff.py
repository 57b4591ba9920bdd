"""Waiting times before the next attempt at something that fails."""

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0
STEADY_S = 10.0
"""Success of this length resets the wait to the first one."""


class Backoff:
    """Doubles the wait from one failure to the next."""

    def __init__(self) -> None:
        self._failures = 0
        self._works_since_s: float | None = None

    def works(self, now_s: float) -> None:
        """Note that it works from ``now_s`` on."""
        self._works_since_s = now_s

    def fails(self, now_s: float, chance: float) -> float:
        """Return the wait after a failure, s; a random ``chance`` in 0..1 spreads the attempts of many clients."""
        if self._works_since_s is not None and now_s - self._works_since_s >= STEADY_S:
            self._failures = 0
        self._works_since_s = None
        wait_s = FIRST_WAIT_S * 2.0 ** min(self._failures, 16)
        self._failures += 1
        return float(min(LONGEST_WAIT_S, wait_s) * (1 - 0.25 * chance))

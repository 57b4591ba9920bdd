"""Percentiles, and figures of the last seconds."""

from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np

from lipstream.realtime.wire.session_answers import Percentiles


def percentiles(values: Sequence[float]) -> Percentiles:
    """Return ``{p50, p95, p99}`` of some values; ``None`` each where there are none."""
    if not values:
        return {"p50": None, "p95": None, "p99": None}
    p50, p95, p99 = (round(float(p), 1) for p in np.percentile(values, (50, 95, 99)))
    return {"p50": p50, "p95": p95, "p99": p99}


RECENT_S = 30.0


class Recent:
    """Figures of the last 30 seconds, at most 2000 of them."""

    def __init__(self) -> None:
        self._entries: deque[tuple[float, float]] = deque(maxlen=2000)

    def add(self, value: float, now_s: float) -> None:
        """Take in a figure at monotonic time ``now_s``."""
        self._entries.append((now_s, value))
        self._forget(now_s)

    def values(self, now_s: float) -> list[float]:
        """Return the figures of the 30 s before ``now_s``."""
        self._forget(now_s)
        return list(self)

    def count_since(self, since_s: float) -> int:
        """Return how many figures came after ``since_s``."""
        return sum(at_s > since_s for at_s, _ in self._entries)

    def clear(self) -> None:
        """Forget all."""
        self._entries.clear()

    def __iter__(self) -> Iterator[float]:
        return (value for _, value in self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def _forget(self, now_s: float) -> None:
        while self._entries and self._entries[0][0] < now_s - RECENT_S:
            self._entries.popleft()

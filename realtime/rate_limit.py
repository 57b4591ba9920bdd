"""How often somebody may ask: a token bucket each, for a bounded number of callers."""

from collections import OrderedDict
from dataclasses import dataclass

_REMEMBERED = 10_000


@dataclass(slots=True)
class _Bucket:
    level: float
    at_s: float


class RateLimit:
    """Lets each caller ask ``burst`` times at once and ``per_second`` times a second in the long run.

    Args:
        burst: What a caller who has not asked for long may ask at once.
        per_second: How fast that comes back.
    """

    def __init__(self, burst: int, per_second: float) -> None:
        self._burst, self._per_second = burst, per_second
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()  # who asked longest ago comes first

    def take(self, caller: str, now_s: float) -> float:
        """Count a request.

        Args:
            caller: Whose.
            now_s: Monotonic time.

        Returns:
            0 if it may pass, else the seconds after which the next one may.
        """
        bucket = self._buckets.pop(caller, None) or _Bucket(self._burst, now_s)
        bucket.level = min(self._burst, bucket.level + (now_s - bucket.at_s) * self._per_second)
        bucket.at_s = now_s
        self._buckets[caller] = bucket
        while len(self._buckets) > _REMEMBERED:
            self._buckets.popitem(last=False)
        if bucket.level < 1:
            return (1 - bucket.level) / self._per_second
        bucket.level -= 1
        return 0.0

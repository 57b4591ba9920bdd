"""Rate limits: one token bucket per caller, for a bounded number of callers."""

from collections import OrderedDict
from dataclasses import dataclass

_REMEMBERED = 10_000


@dataclass(slots=True)
class _Bucket:
    level: float
    at_s: float


class RateLimit:
    """Lets each caller make ``burst`` requests at once and ``per_second`` requests a second in the long run.

    Args:
        burst: Size of a full bucket, requests.
        per_second: Rate at which a bucket refills, requests per second.
    """

    def __init__(self, burst: int, per_second: float) -> None:
        self._burst, self._per_second = burst, per_second
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()  # least recent caller first

    def take(self, caller: str, now_s: float) -> float:
        """Count a request.

        Args:
            now_s: Monotonic time, s.

        Returns:
            0 if the request may pass, else the seconds until the next one may.
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

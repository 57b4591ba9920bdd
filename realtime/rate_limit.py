"""Rate limits: one token bucket per caller, for a bounded number of callers."""

import secrets
from collections import OrderedDict
from dataclasses import dataclass

_REMEMBERED = 10_000
_SHARED = 1024
"""Number of buckets that further callers share while the table is full."""
_FORGOTTEN_AT_ONCE = 2


@dataclass(slots=True)
class _Bucket:
    level: float
    at_s: float


class RateLimit:
    """Lets each caller make ``burst`` requests at once and ``per_second`` requests a second in the long run.

    A bucket is forgotten only when it is full again, since it then says no more than a new one. While the table is
    full of others, further callers share buckets by a hash. So no number of addresses makes the limit forget a caller.

    Args:
        burst: Size of a full bucket, requests.
        per_second: Rate at which a bucket refills, requests per second.
    """

    def __init__(self, burst: float, per_second: float) -> None:
        self._burst, self._per_second = burst, per_second
        self._buckets: OrderedDict[str | int, _Bucket] = OrderedDict()  # least recent caller first
        self._salt = secrets.token_bytes(8)  # otherwise a caller could choose whose bucket it shares

    def take(self, caller: str, now_s: float, cost: float = 1) -> float:
        """Count a request.

        Args:
            now_s: Monotonic time, s.
            cost: Share of the bucket that the request takes; default 1. One above ``burst`` never passes.

        Returns:
            0 if the request may pass, else the seconds until it may. A request that may not pass costs nothing.
        """
        self._forget_full(now_s)
        key: str | int = caller
        if caller not in self._buckets and len(self._buckets) >= _REMEMBERED:
            key = hash((self._salt, caller)) % _SHARED
        bucket = self._buckets.pop(key, None) or _Bucket(self._burst, now_s)
        bucket.level, bucket.at_s = self._level(bucket, now_s), now_s
        self._buckets[key] = bucket
        if bucket.level < cost:
            return (cost - bucket.level) / self._per_second
        bucket.level -= cost
        return 0.0

    def _forget_full(self, now_s: float) -> None:
        """Forget the least recent callers whose buckets are full again."""
        for _ in range(min(_FORGOTTEN_AT_ONCE, len(self._buckets))):
            oldest = next(iter(self._buckets))
            if self._level(self._buckets[oldest], now_s) < self._burst:
                return
            del self._buckets[oldest]

    def _level(self, bucket: _Bucket, now_s: float) -> float:
        return min(self._burst, bucket.level + (now_s - bucket.at_s) * self._per_second)

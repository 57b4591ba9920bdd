from hypothesis import given
from hypothesis import strategies as st

from lipstream.realtime.rate_limit import RateLimit


def test_a_burst_passes_and_then_one_a_second() -> None:
    limit = RateLimit(burst=3, per_second=1.0)
    assert [limit.take("ann", 100.0) for _ in range(4)] == [0, 0, 0, 1]
    assert limit.take("bob", 100.0) == 0
    assert limit.take("ann", 100.5) == 0.5
    assert limit.take("ann", 101.0) == 0
    assert [limit.take("ann", 1000.0) for _ in range(4)] == [0, 0, 0, 1]


@given(st.lists(st.floats(0, 2), min_size=1, max_size=200))
def test_nobody_gets_more_than_the_burst_and_the_rate(pauses: list[float]) -> None:
    limit, now_s, passed = RateLimit(burst=5, per_second=2.0), 0.0, 0
    for pause in pauses:
        now_s += pause
        passed += limit.take("ann", now_s) == 0
    assert passed <= 5 + 2.0 * now_s + 1e-6


def test_those_who_asked_longest_ago_are_forgotten() -> None:
    limit = RateLimit(burst=1, per_second=0.001)
    assert limit.take("ann", 0.0) == 0
    assert limit.take("ann", 0.0) > 0
    for caller in range(10_000):
        limit.take(str(caller), 0.0)
    assert limit.take("ann", 0.0) == 0
    assert len(limit._buckets) == 10_000

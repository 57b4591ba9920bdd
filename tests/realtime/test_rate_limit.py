import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipstream.realtime.rate_limit import _REMEMBERED, _SHARED, RateLimit


def test_a_burst_passes_and_then_one_a_second() -> None:
    limit = RateLimit(burst=3, per_second=1.0)
    assert [limit.take("ann", 100.0) for _ in range(4)] == [0, 0, 0, 1]
    assert limit.take("bob", 100.0) == 0
    assert limit.take("ann", 100.5) == 0.5
    assert limit.take("ann", 101.0) == 0
    assert [limit.take("ann", 1000.0) for _ in range(4)] == [0, 0, 0, 1]


@given(st.lists(st.tuples(st.floats(0, 2), st.floats(0.1, 6)), min_size=1, max_size=200))
def test_nobody_gets_more_than_the_burst_and_the_rate(asked: list[tuple[float, float]]) -> None:
    limit, now_s, passed = RateLimit(burst=5, per_second=2.0), 0.0, 0.0
    for pause, cost in asked:
        now_s += pause
        if limit.take("ann", now_s, cost) == 0:
            passed += cost
    assert passed <= 5 + 2.0 * now_s + 1e-6


def test_a_costly_request_takes_its_share_and_waits_for_it() -> None:
    limit = RateLimit(burst=100, per_second=10.0)
    assert limit.take("ann", 0.0, 70) == 0
    assert limit.take("ann", 0.0, 40) == pytest.approx(1.0)
    assert limit.take("ann", 0.0, 30) == 0


def test_no_number_of_callers_makes_the_limit_forget_one() -> None:
    limit = RateLimit(burst=1, per_second=0.001)
    assert limit.take("ann", 0.0) == 0
    for caller in range(3 * _REMEMBERED):
        limit.take(str(caller), 0.0)
    assert limit.take("ann", 0.0) > 0
    assert len(limit._buckets) <= _REMEMBERED + _SHARED


def test_callers_beyond_the_table_share_buckets_and_most_of_them_pass() -> None:
    limit = RateLimit(burst=1, per_second=0.001)
    for caller in range(_REMEMBERED):
        limit.take(str(caller), 0.0)
    passed = sum(limit.take(f"late {n}", 0.0) == 0 for n in range(_SHARED // 4))
    assert passed > _SHARED // 8
    assert sum(limit.take("late 0", 0.0) == 0 for _ in range(10)) == 0


def test_those_who_may_do_all_again_are_forgotten() -> None:
    limit = RateLimit(burst=2, per_second=1.0)
    for caller in range(1000):
        limit.take(str(caller), 0.0)
    for n in range(600):
        limit.take("ann", 10.0 + n)
    assert len(limit._buckets) == 1

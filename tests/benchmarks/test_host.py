"""The host's gaps, and what they say of lateness."""

import sys

import pytest

from benchmarks.host import MOST_A_MINUTE, HostGaps, describe, host_gaps, proves_lateness


@pytest.mark.skipif(sys.platform != "linux", reason="spins on named cores")
def test_each_core_is_watched() -> None:
    gaps = host_gaps(0.3)
    assert gaps
    for core in gaps:
        assert core.seconds == pytest.approx(0.3, abs=0.29) or core.seconds > 0.3
        assert list(core.over) == sorted(core.over, reverse=True)


def test_frequent_gaps_make_lateness_prove_nothing() -> None:
    calm = HostGaps(10.0, (30, MOST_A_MINUTE * 10 // 60, 0), 6.0)
    taken = HostGaps(10.0, (30, 2 + MOST_A_MINUTE * 10 // 60, 1), 45.0)
    assert proves_lateness([calm, calm])
    assert not proves_lateness([calm, taken])
    assert describe([calm]) == "core 0: 6 a minute over 5 ms, longest 6.0 ms"
    assert describe([taken]).endswith(": lateness proves nothing")

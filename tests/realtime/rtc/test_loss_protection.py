"""Pictures are sent twice on a long lossy link, and cost no more than the link carries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipstream.realtime.encoding.rate_control import START_BITRATE, RateControl
from lipstream.realtime.rtc.loss_protection import (
    BEGIN_LOSS,
    BEGIN_SHARE,
    END_SHARE,
    LEAST_ROUND_TRIP_S,
    LEAST_S,
    LossProtection,
)

LONG_TRIP_S = 0.08


class ReportingReceiver:
    """A receiver that reports a hundred packets a second."""

    def __init__(self) -> None:
        self.rate, self.protection = RateControl(), LossProtection()
        self.rate.start(512 * 512)
        self.now_s, self._lost, self._sequence = 10.0, 0, 0

    def report(self, seconds: int, *, lost: float, round_trip_s: float | None = LONG_TRIP_S) -> bool:
        """Report once a second; return whether pictures are sent twice from then on."""
        for _ in range(seconds):
            self.now_s += 1.01
            self._sequence += 100
            self._lost += round(100 * lost)
            self.rate.report(
                packets_lost=self._lost, highest_sequence=self._sequence, round_trip_s=round_trip_s, now_s=self.now_s
            )
            self.protection.update(self.rate, round_trip_s=round_trip_s, now_s=self.now_s)
        return self.protection.active


@pytest.mark.parametrize(("lost", "doubled"), [(0.0, False), (0.02, False), (0.05, True), (0.1, True)])
def test_many_lost_packets_begin_it(lost: float, doubled: bool) -> None:
    assert ReportingReceiver().report(20, lost=lost) == doubled


def test_one_bad_second_does_not() -> None:
    receiver = ReportingReceiver()
    receiver.report(10, lost=0.0)
    assert not receiver.report(1, lost=0.1)


@pytest.mark.parametrize("round_trip_s", [None, 0.9 * LEAST_ROUND_TRIP_S])
def test_a_short_or_unknown_round_trip_needs_none(round_trip_s: float | None) -> None:
    assert not ReportingReceiver().report(20, lost=0.08, round_trip_s=round_trip_s)


def test_a_full_link_gets_none() -> None:
    receiver = ReportingReceiver()
    receiver.report(5, lost=0.0)
    assert not receiver.report(4, lost=0.08, round_trip_s=4 * LONG_TRIP_S)


def test_it_ends_with_the_loss_and_not_at_once() -> None:
    receiver = ReportingReceiver()
    assert receiver.report(20, lost=0.05)
    assert receiver.report(3, lost=BEGIN_LOSS / 3)
    receiver = ReportingReceiver()
    while not receiver.report(1, lost=0.05):
        pass
    assert receiver.report(int(LEAST_S) - 1, lost=0.0)
    assert not receiver.report(5, lost=0.0)


def test_a_narrow_link_keeps_its_bitrate_for_one_copy() -> None:
    receiver = ReportingReceiver()
    receiver.rate.target = int(0.95 * BEGIN_SHARE * START_BITRATE)
    assert not receiver.report(20, lost=0.05)
    receiver.rate.target = START_BITRATE
    assert receiver.report(1, lost=0.05)
    receiver.rate.target = int(0.95 * END_SHARE * START_BITRATE)
    assert not receiver.report(1, lost=0.05)


@given(target=st.none() | st.integers(1, 3_000_000), active=st.booleans(), others=st.integers(1, 3_000_000))
def test_copies_never_exceed_what_the_link_carries(target: int | None, active: bool, others: int) -> None:
    protection = LossProtection()
    assert protection.encode_bitrate(target) == target
    assert not protection.covers(others, target)
    protection.active = active
    own = protection.encode_bitrate(target)
    if target is None or own is None:
        assert own is None
        assert not protection.covers(others, target)
        return
    assert not active or protection.covers(own, target)
    assert not protection.covers(others, target) or 2 * others <= target

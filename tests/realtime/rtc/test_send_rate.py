import pytest

from realtime.rtc.send_rate import (
    BASE_MEMORY_S,
    MAX_BITRATE,
    MIN_BITRATE,
    RETRANSMIT_SHARE,
    START_BITRATE,
    RetransmitBudget,
    SendRate,
    start_bitrate,
)


def started() -> SendRate:
    rate = SendRate()
    rate.start(512 * 512)
    rate.report(lost=0.0, round_trip_s=0.04, now_s=0.0)
    return rate


def queueing() -> SendRate:
    rate = started()
    for now_s in (1.0, 2.0):
        rate.report(lost=0.0, round_trip_s=0.3, now_s=now_s)
    return rate


def test_the_start_fits_the_picture() -> None:
    assert start_bitrate(512 * 512) == START_BITRATE
    assert start_bitrate(16) == MIN_BITRATE
    assert start_bitrate(4000 * 4000) == MAX_BITRATE


def test_an_estimate_from_an_easy_link_is_held_off() -> None:
    rate = started()
    rate.estimate(300_000, 1.0)
    rate.report(lost=0.05, round_trip_s=0.09, now_s=1.5)
    rate.estimate(300_000, 2.0)
    assert rate.target == START_BITRATE


def test_one_long_round_trip_is_no_sign() -> None:
    rate = started()
    rate.report(lost=0.0, round_trip_s=0.5, now_s=1.0)
    rate.estimate(300_000, 1.0)
    rate.report(lost=0.0, round_trip_s=0.04, now_s=2.0)
    rate.estimate(300_000, 2.0)
    assert rate.target == START_BITRATE


def test_a_queue_brings_the_target_down_to_the_estimate() -> None:
    rate = queueing()
    assert rate.target == pytest.approx(0.85 * START_BITRATE)
    rate.estimate(400_000, 2.1)
    assert rate.target == 400_000
    rate.estimate(900_000, 3.0)
    assert rate.target == 400_000, "no growth under strain"


def test_heavy_loss_brings_the_target_down_and_keeps_it_there() -> None:
    rate = started()
    rate.report(lost=0.5, round_trip_s=None, now_s=1.0)
    rate.report(lost=0.5, round_trip_s=None, now_s=1.1)
    assert rate.target == 750_000, "one step at a time"
    rate.report(lost=0.5, round_trip_s=None, now_s=2.0)
    rate.estimate(2_000_000, 2.1)
    assert rate.target == 562_500


def test_growth_is_gradual() -> None:
    rate = queueing()
    rate.estimate(400_000, 2.1)
    rate.report(lost=0.0, round_trip_s=0.05, now_s=6.0)
    rate.estimate(2_000_000, 6.0)
    assert 400_000 < rate.target <= 460_000
    for tenth in range(61, 160):
        rate.estimate(2_000_000, tenth / 10)
    assert 1_500_000 < rate.target <= 2_000_000
    rate.estimate(rate.target + 1000, 16.5)
    assert rate.target <= 2_001_000


def test_a_link_that_has_become_longer_is_believed() -> None:
    rate = started()
    for second in range(1, 60):
        rate.report(lost=0.0, round_trip_s=0.3, now_s=float(second))
    held = rate.target
    rate.estimate(MIN_BITRATE, 60.0)
    assert rate.target == held
    assert BASE_MEMORY_S < 59


def test_the_target_stays_within_bounds() -> None:
    rate = started()
    for second in range(60):
        rate.estimate(50_000_000, float(second))
    assert rate.target == MAX_BITRATE
    for second in range(60, 120):
        rate.report(lost=1.0, round_trip_s=None, now_s=float(second))
    assert rate.target == MIN_BITRATE


def test_before_the_first_picture_nothing_has_a_meaning() -> None:
    rate = SendRate()
    rate.estimate(100_000, 0.0)
    rate.report(lost=1.0, round_trip_s=0.1, now_s=0.0)
    assert rate.start(512 * 512) == START_BITRATE


def test_what_is_sent_again_has_its_share_only() -> None:
    budget, sent = RetransmitBudget(), 0
    for millisecond in range(10_000):
        if budget.take(1200, target_bitrate=1_000_000, now_s=millisecond / 1000):
            sent += 1200
    share = RETRANSMIT_SHARE * 1_000_000 / 8
    assert 10 * share <= sent <= 11 * share

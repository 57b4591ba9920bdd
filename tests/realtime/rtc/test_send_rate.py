from realtime.rtc.send_rate import BASE_MEMORY_S, MAX_BITRATE, MIN_BITRATE, START_BITRATE, SendRate, start_bitrate


def started() -> SendRate:
    rate = SendRate()
    rate.start(512 * 512)
    rate.report(lost=0.0, round_trip_s=0.04, now_s=0.0)
    return rate


def test_the_start_fits_the_picture() -> None:
    assert start_bitrate(512 * 512) == START_BITRATE
    assert start_bitrate(16) == MIN_BITRATE
    assert start_bitrate(4000 * 4000) == MAX_BITRATE


def test_an_estimate_from_an_easy_link_is_held_off() -> None:
    rate = started()
    rate.estimate(300_000, 1.0)
    rate.report(lost=0.04, round_trip_s=0.09, now_s=1.5)
    rate.estimate(300_000, 2.0)
    assert rate.target == START_BITRATE


def test_loss_lets_the_estimate_through_for_a_while() -> None:
    rate = started()
    rate.report(lost=0.1, round_trip_s=None, now_s=1.0)
    rate.estimate(310_000, 2.0)
    assert rate.target == 310_000
    rate.estimate(250_000, 10.0)
    assert rate.target == 310_000


def test_a_growing_round_trip_lets_the_estimate_through() -> None:
    rate = started()
    rate.report(lost=0.0, round_trip_s=0.3, now_s=1.0)
    rate.estimate(400_000, 1.2)
    assert rate.target == START_BITRATE, "once is no sign"
    rate.report(lost=0.0, round_trip_s=0.3, now_s=1.4)
    rate.estimate(400_000, 1.5)
    assert rate.target == 400_000
    rate.estimate(900_000, 2.0)
    assert rate.target == 400_000, "no growth under strain"
    rate.report(lost=0.0, round_trip_s=0.05, now_s=5.0)
    rate.estimate(430_000, 5.0)
    assert rate.target == 430_000


def test_a_link_that_has_become_longer_is_believed() -> None:
    rate = started()
    for second in range(1, 60):
        rate.report(lost=0.0, round_trip_s=0.3, now_s=float(second))
    rate.estimate(100_000, 60.0)
    assert rate.target == START_BITRATE
    assert BASE_MEMORY_S < 59


def test_the_estimate_stays_within_bounds() -> None:
    rate = started()
    rate.estimate(50_000_000, 1.0)
    assert rate.target == MAX_BITRATE
    rate.report(lost=1.0, round_trip_s=None, now_s=2.0)
    rate.estimate(1, 2.0)
    assert rate.target == MIN_BITRATE


def test_before_the_first_picture_an_estimate_means_nothing() -> None:
    rate = SendRate()
    rate.estimate(100_000, 0.0)
    assert rate.start(512 * 512) == START_BITRATE

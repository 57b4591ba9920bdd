from realtime.rtc.send_rate import MAX_BITRATE, MIN_BITRATE, START_BITRATE, SendRate, start_bitrate

PIXELS = 512 * 512


def sending(bitrate: int, *, seconds: float = 3.0) -> tuple[SendRate, float]:
    """Return a rate that has sent pictures at ``bitrate`` for a while, and the time."""
    rate = SendRate()
    rate.start(PIXELS)
    frames = int(seconds * 25)
    for n in range(frames):
        rate.sent(bitrate // 200, n / 25)
    return rate, frames / 25


def test_the_start_fits_the_picture() -> None:
    assert start_bitrate(PIXELS) == START_BITRATE
    assert start_bitrate(16) == MIN_BITRATE
    assert start_bitrate(4000 * 4000) == MAX_BITRATE


def test_an_estimate_that_only_mirrors_a_calm_picture_is_held_off() -> None:
    rate, now_s = sending(200_000)
    rate.estimate(310_000, now_s)
    assert rate.target == START_BITRATE


def test_an_estimate_below_what_is_sent_means_a_full_link() -> None:
    rate, now_s = sending(1_000_000)
    rate.estimate(600_000, now_s)
    assert rate.target == 600_000


def test_loss_lets_the_estimate_through_for_a_while() -> None:
    rate, now_s = sending(200_000)
    rate.loss(0.02, now_s)
    rate.estimate(310_000, now_s)
    assert rate.target == START_BITRATE
    rate.loss(0.1, now_s)
    rate.estimate(310_000, now_s + 1)
    assert rate.target == 310_000
    rate.estimate(250_000, now_s + 10)
    assert rate.target == 310_000


def test_the_estimate_may_always_rise_within_bounds() -> None:
    rate, now_s = sending(200_000)
    rate.estimate(1_500_000, now_s)
    assert rate.target == 1_500_000
    rate.estimate(50_000_000, now_s)
    assert rate.target == MAX_BITRATE
    rate.loss(1.0, now_s)
    rate.estimate(1, now_s)
    assert rate.target == MIN_BITRATE


def test_before_the_first_picture_an_estimate_means_nothing() -> None:
    rate = SendRate()
    rate.estimate(100_000, 0.0)
    assert rate.start(PIXELS) == START_BITRATE

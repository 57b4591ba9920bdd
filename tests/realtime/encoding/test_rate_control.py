import pytest

from lipstream.realtime.encoding.rate_control import (
    BASE_MEMORY_S,
    HEADROOM,
    LEAST_START,
    MAX_BITRATE,
    MIN_BITRATE,
    RETRANSMIT_SHARE,
    START_BITRATE,
    RateControl,
    RetransmitBudget,
    start_bitrate,
)


class SimulatedLink(RateControl):
    """A rate with a link whose reports can be asked for: a hundred packets each."""

    def __init__(self) -> None:
        super().__init__()
        self.start(512 * 512)
        self.lost = self.sequence = 0
        self.heard(0.0)

    def heard(self, now_s: float, *, lost: float = 0.0, round_trip_s: float | None = 0.04, packets: int = 100) -> None:
        self.lost += round(lost * packets)
        self.sequence += packets
        self.report(
            packets_lost=self.lost,
            highest_sequence=self.sequence % 65536,
            round_trip_s=round_trip_s,
            now_s=now_s,
        )


def target_of(rate: RateControl) -> int:
    assert rate.target is not None
    return rate.target


def queueing() -> SimulatedLink:
    rate = SimulatedLink()
    for now_s in (1.0, 2.0):
        rate.heard(now_s, round_trip_s=0.3)
    return rate


def test_the_start_fits_the_picture() -> None:
    assert start_bitrate(512 * 512) == START_BITRATE
    assert start_bitrate(16) == LEAST_START
    assert start_bitrate(4000 * 4000) == MAX_BITRATE


@pytest.mark.parametrize(
    ("known", "begins"),
    [(None, START_BITRATE), (2 * START_BITRATE, START_BITRATE), (200_000, 200_000), (1, MIN_BITRATE)],
)
def test_a_link_that_is_known_is_not_filled_again(known: int | None, begins: int) -> None:
    rate = RateControl()
    rate.known = known
    assert rate.start(512 * 512) == begins
    for now_s in range(60):
        rate.estimate(MAX_BITRATE, float(now_s))
    assert rate.target == HEADROOM * START_BITRATE, "and grows to where any other does"


def test_an_estimate_from_an_easy_link_is_held_off() -> None:
    rate = SimulatedLink()
    rate.estimate(300_000, 1.0)
    rate.heard(1.5, lost=0.05, round_trip_s=0.09)
    rate.estimate(300_000, 2.0)
    assert rate.target == START_BITRATE


def test_one_long_round_trip_is_no_sign() -> None:
    rate = SimulatedLink()
    rate.heard(1.0, round_trip_s=0.5)
    rate.estimate(300_000, 1.0)
    rate.heard(2.0)
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
    rate = SimulatedLink()
    rate.heard(1.0, lost=0.5, round_trip_s=None)
    rate.heard(1.1, lost=0.5, round_trip_s=None)
    assert rate.target == 0.75 * START_BITRATE, "one step at a time"
    rate.heard(2.0, lost=0.5, round_trip_s=None)
    rate.estimate(2_000_000, 2.1)
    assert rate.target == 0.75**2 * START_BITRATE


def test_one_packet_of_a_short_report_is_no_heavy_loss() -> None:
    rate = SimulatedLink()
    for n in range(1, 100):
        rate.heard(n / 10, lost=0.25 if n % 10 == 0 else 0.0, packets=4)
    assert rate.target == START_BITRATE


def test_sequence_numbers_wrap() -> None:
    rate = SimulatedLink()
    for second in range(1, 1000):
        rate.heard(float(second), lost=0.05)
    assert rate.target == START_BITRATE


def test_growth_is_gradual() -> None:
    rate = queueing()
    rate.estimate(400_000, 2.1)
    rate.heard(6.0, round_trip_s=0.05)
    rate.estimate(2_000_000, 6.0)
    assert 400_000 < target_of(rate) <= 460_000
    for tenth in range(61, 160):
        rate.estimate(800_000, tenth / 10)
    assert rate.target == 800_000


def test_a_link_that_has_become_longer_is_believed() -> None:
    rate = SimulatedLink()
    for second in range(1, 60):
        rate.heard(float(second), round_trip_s=0.3)
    held = rate.target
    rate.estimate(MIN_BITRATE, 60.0)
    assert rate.target == held
    assert BASE_MEMORY_S < 59


def test_a_round_trip_that_nothing_shortens_is_the_links_own() -> None:
    rate = SimulatedLink()
    for second in range(1, 12):
        rate.heard(float(second), lost=0.05, round_trip_s=0.12)
    assert target_of(rate) > 0.3 * START_BITRATE
    for second in range(12, 25):
        rate.heard(float(second), lost=0.05, round_trip_s=0.12)
        rate.estimate(2_000_000, float(second))
    assert target_of(rate) >= START_BITRATE


def test_a_queue_that_drains_is_ours() -> None:
    rate, queue_bits, least = SimulatedLink(), 0.0, START_BITRATE
    for tenth in range(10, 300):
        queue_bits = max(0.0, queue_bits + (target_of(rate) - 100_000) / 10)
        rate.heard(tenth / 10, round_trip_s=0.04 + queue_bits / 100_000)
        least = min(least, target_of(rate))
    assert least < 100_000


def test_the_target_stays_within_bounds() -> None:
    rate = SimulatedLink()
    for second in range(60):
        rate.estimate(50_000_000, float(second))
    assert rate.target == HEADROOM * START_BITRATE
    for second in range(60, 120):
        rate.heard(float(second), lost=1.0, round_trip_s=None)
    assert rate.target == MIN_BITRATE


def test_before_the_first_picture_nothing_has_a_meaning() -> None:
    rate = RateControl()
    rate.estimate(100_000, 0.0)
    rate.report(packets_lost=9, highest_sequence=9, round_trip_s=0.1, now_s=0.0)
    assert rate.start(512 * 512) == START_BITRATE


def test_what_is_sent_again_has_its_share_only() -> None:
    budget, sent = RetransmitBudget(), 0
    for millisecond in range(10_000):
        if budget.take(1200, target_bitrate=1_000_000, now_s=millisecond / 1000):
            sent += 1200
    share = RETRANSMIT_SHARE * 1_000_000 / 8
    assert 10 * share <= sent <= 11 * share


def test_loss_at_the_limit_is_noise_whose_windows_are_above_it_by_chance() -> None:
    noisy, full = SimulatedLink(), SimulatedLink()
    for second in range(1, 61):
        noisy.heard(second * 1.01, lost=0.1 + 0.02 * (-1) ** second)
        full.heard(second * 1.01, lost=0.15)
    assert target_of(noisy) == START_BITRATE
    assert target_of(full) < START_BITRATE / 10
    assert noisy.loss == pytest.approx(0.1, abs=0.02)


def test_few_packets_show_more_loss_by_chance() -> None:
    few, many = SimulatedLink(), SimulatedLink()
    few.heard(1.01, lost=0.15, packets=20)
    many.heard(1.01, lost=0.15, packets=200)
    assert target_of(few) == START_BITRATE > target_of(many)

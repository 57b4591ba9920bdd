"""Each receiver gets pictures from a key frame on, and no delta frame that it cannot decode."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from lipstream.realtime.rtc.receiver_adaptation import (
    ASK_INTERVAL_S,
    FIRST_REST_S,
    FOLLOW_SHARE,
    LONGEST_REST_S,
    ReceiverAdaptation,
)

PIXELS = 512 * 512
BITRATE = 600_000
FRAME_S = 0.04


class SharedEncodeLink:
    """A receiver and the pictures that it is offered, 25 a second."""

    def __init__(self, *, leads: bool = False) -> None:
        self.adaptation = ReceiverAdaptation(leads=leads)
        self.now_s = 100.0

    def picture(self, *, key: bool = False, bitrate: int = BITRATE) -> bool:
        self.now_s += FRAME_S
        return self.adaptation.passes(key=key, pixels=PIXELS, bitrate=bitrate, now_s=self.now_s)

    def break_down(self) -> None:
        """Report that most packets are lost, until the link's own rate is low."""
        lost, highest = 0, 0
        while (self.adaptation.rate.target or 0) > 0.5 * FOLLOW_SHARE * BITRATE:
            self.now_s += 1.1
            lost, highest = lost + 60, highest + 100
            self.adaptation.rate.report(
                packets_lost=lost, highest_sequence=highest, round_trip_s=None, now_s=self.now_s
            )


def test_one_that_has_just_come_wants_a_key_frame_at_once_and_nothing_before_it() -> None:
    link = SharedEncodeLink()
    assert link.adaptation.wants_key(link.now_s)
    assert not link.picture()
    assert link.picture(key=True)
    assert link.picture()
    assert not link.adaptation.wants_key(link.now_s)


@pytest.mark.parametrize(("leads", "wait_s"), [(True, 0.0), (False, ASK_INTERVAL_S)])
def test_one_who_only_watches_may_not_ask_all_the_time(leads: bool, wait_s: float) -> None:
    link = SharedEncodeLink(leads=leads)
    link.picture(key=True)
    link.adaptation.ask()
    assert link.adaptation.wants_key(link.now_s) == leads
    assert link.adaptation.wants_key(link.now_s + wait_s)
    link.picture(key=True)
    assert not link.adaptation.wants_key(link.now_s + wait_s)


def test_one_that_cannot_follow_gets_key_frames_alone_and_another_try() -> None:
    link = SharedEncodeLink()
    link.picture(key=True)
    link.break_down()
    assert not link.picture()
    assert link.adaptation.key_frames_only
    assert not link.adaptation.wants_key(link.now_s)
    assert link.picture(key=True), "a still picture"
    assert not link.picture(key=True), "but not many of them"
    assert not link.picture()
    link.now_s += FIRST_REST_S
    assert link.adaptation.wants_key(link.now_s)
    assert link.picture(key=True)
    assert not link.adaptation.key_frames_only
    assert link.picture()
    assert (link.adaptation.rate.target or 0) >= BITRATE


def test_each_failed_try_makes_the_next_wait_longer_up_to_a_limit() -> None:
    link, rests = SharedEncodeLink(), []
    link.picture(key=True)
    for _ in range(6):
        link.break_down()
        assert not link.picture()
        begun_s = link.now_s
        while not link.adaptation.wants_key(link.now_s):
            link.now_s += 0.5
        rests.append(link.now_s - begun_s)
        assert link.picture(key=True)
        assert link.picture()
    assert rests[:3] == [3.0, 6.0, 12.0]
    assert max(rests) == LONGEST_REST_S
    link.now_s += LONGEST_REST_S + 1
    assert link.picture()
    link.break_down()
    link.picture()
    assert link.adaptation.wants_key(link.now_s + FIRST_REST_S), "forgiven after a good time"


def test_the_one_that_leads_is_never_left_behind() -> None:
    link = SharedEncodeLink(leads=True)
    link.picture(key=True)
    link.break_down()
    assert link.picture()
    assert not link.adaptation.key_frames_only


@given(bitrate=st.integers(300_000, 2_000_000))
def test_a_good_link_follows_whatever_the_shared_bitrate_is(bitrate: int) -> None:
    link = SharedEncodeLink()
    link.picture(key=True, bitrate=bitrate)
    assert all(link.picture(bitrate=bitrate) for _ in range(100))


class ReceiverStates(RuleBasedStateMachine):
    """In any order of events no delta frame comes without its reference, and pictures never stop for good."""

    def __init__(self) -> None:
        super().__init__()
        self.link = SharedEncodeLink()
        self.unbroken = False  # whether every picture since the last key frame went out
        self.starved = 0

    @rule(key=st.booleans(), bitrate=st.integers(150_000, 1_500_000))
    def offer(self, key: bool, bitrate: int) -> None:
        passed = self.link.picture(key=key, bitrate=bitrate)
        if passed and not key:
            assert self.unbroken
        self.unbroken = (key or self.unbroken) if passed else False

    @rule()
    def lose(self) -> None:
        self.link.adaptation.ask()

    @rule()
    def strain(self) -> None:
        if self.link.adaptation.rate.target is not None:
            self.link.break_down()

    @rule(seconds=st.floats(0.1, 5))
    def wait(self, seconds: float) -> None:
        self.link.now_s += seconds

    @rule()
    def be_served(self) -> None:
        """Offer a key frame whenever it is wanted: pictures must flow within the longest rest."""
        deadline_s = self.link.now_s + LONGEST_REST_S + 1
        while not self.link.adaptation.wants_key(self.link.now_s) and not self.unbroken:
            self.link.now_s += 0.5
            assert self.link.now_s < deadline_s
        if not self.unbroken:
            self.unbroken = self.link.picture(key=True)
            assert self.unbroken

    @invariant()
    def a_want_ends_with_a_key_frame(self) -> None:
        assert self.link.adaptation.rate is not None


TestReceiver = ReceiverStates.TestCase

"""What a session may do: how long, how much, how often; in virtual time."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipstream.realtime.audio.turn_detector import TurnDetector
from lipstream.realtime.errors import ForbiddenError, RateLimitError
from lipstream.realtime.session.budget import Spending
from lipstream.realtime.session.grant import NO_LIMITS, Grant
from lipstream.realtime.session.message_rate import CONTROL_BURST
from lipstream.realtime.session.session import Session
from lipstream.realtime.session.text_queue import LONGEST_TEXT
from lipstream.realtime.settings import _LEAST_CHARACTERS
from tests.loopback.virtual import VirtualSession
from tests.realtime.session.test_conversation import Echo, Visitor, buzzes_too
from tests.realtime.session.test_text_queue import Engine


def test_a_session_without_limits_goes_on_for_ever() -> None:
    assert NO_LIMITS.end_reason(0.0, 0.0, 1e9) is None
    assert NO_LIMITS.left_s(0.0, 1e9) is None


@given(st.floats(1, 1e5), st.floats(1, 1e5), st.floats(0, 1e5), st.floats(0, 1e5))
def test_a_session_ends_as_soon_as_one_limit_is_reached(
    longest_s: float, idle_s: float, active_s: float, now_s: float
) -> None:
    reason = Grant(longest_s=longest_s, idle_s=idle_s).end_reason(0.0, active_s, now_s)
    if now_s >= longest_s:
        assert reason == "longest_call"
    else:
        assert reason == ("idle" if now_s - active_s >= idle_s else None)


def told(grant: Grant, **options: Any) -> tuple[Session, list[Any], list[str]]:
    """Return a session, the events of its client, and the reasons for which it would end."""
    session = VirtualSession(grant=grant, **options).session
    events: list[Any] = []
    ends: list[str] = []
    session.listeners.add(events.append)
    session._on_over = lambda _, why: ends.append(why)
    return session, events, ends


async def test_clients_are_told_a_minute_before_the_longest_call_and_at_its_end() -> None:
    session, events, ends = told(Grant(longest_s=600))
    session.keep_limits(session.began_s + 500)
    assert events == []
    for seconds in (550.0, 560.0, 599.0):
        session.keep_limits(session.began_s + seconds)
    assert events == [{"type": "ending", "reason": "longest_call", "seconds": 50.0}]
    assert ends == []
    session.keep_limits(session.began_s + 600)
    assert events[1:] == [{"type": "ending", "reason": "longest_call", "seconds": 0}]
    assert ends == ["longest_call"]


async def test_a_session_in_which_nobody_speaks_ends() -> None:
    session, events, ends = told(Grant(idle_s=60))
    session.active_s = session.began_s + 100
    session.keep_limits(session.began_s + 159)
    assert ends == []
    session.keep_limits(session.began_s + 160)
    assert (events, ends) == ([{"type": "ending", "reason": "idle", "seconds": 0}], ["idle"])


async def test_speech_and_messages_keep_a_session_from_being_idle() -> None:
    session, _, _ = told(Grant(idle_s=60), turns=TurnDetector())
    for event in ({"type": "speech_started", "sample": 1}, {"type": "listening", "sample": 1}):
        session.active_s = 0.0
        session.tell(event)  # type: ignore[arg-type]
        assert session.active_s > 0
    session.active_s = 0.0
    session.tell({"type": "draining", "seconds": 1.0})
    assert session.active_s == 0
    session.handle({"type": "interrupt"})
    assert session.active_s > 0


async def test_messages_above_the_rate_are_dropped_and_that_is_told_once() -> None:
    session, events, _ = told(NO_LIMITS)
    for _ in range(CONTROL_BURST):
        session.handle({"type": "interrupt"})
    done = len(events)
    refused = 0
    for _ in range(500):
        try:
            session.handle({"type": "interrupt"})
        except RateLimitError:
            refused += 1
    assert 1 <= refused < 500
    assert len(events) - done < CONTROL_BURST  # those that the bucket regained meanwhile


async def test_a_session_shows_no_avatar_that_its_invitation_does_not_name() -> None:
    session, _, _ = told(Grant(avatars=("ann",)))
    eve: Any = type("Prepared", (), {"manifest": type("Manifest", (), {"id": "eve"})})
    with pytest.raises(ForbiddenError):
        session.switch(eve)
    assert session.avatar_id == "ann"


def test_a_session_and_its_token_pay_by_the_hour() -> None:
    now_s = [0.0]
    spending = Spending(turns_per_hour=3, characters_per_hour=6000)
    first = spending.budget("first", "token", 2, lambda: now_s[0])
    for _ in range(3):
        first.pay_turn()
    with pytest.raises(RateLimitError) as refused:
        first.pay_turn()
    assert refused.value.retry_after_s == 1200
    second = spending.budget("second", "token", 2, lambda: now_s[0])
    third = spending.budget("third", "token", 2, lambda: now_s[0])
    for budget in (second, second, second):
        budget.pay_turn()
    with pytest.raises(RateLimitError):
        third.pay_turn()  # two sessions' worth is used up
    now_s[0] = 3600.0
    first.pay_turn()
    first.pay_characters(5000)
    with pytest.raises(RateLimitError):
        first.pay_characters(5000)


def test_without_a_bound_nothing_is_paid() -> None:
    budget = Spending(0, 0).budget("s", "t", 1, lambda: 0.0)
    for _ in range(10_000):
        budget.pay_turn()
        budget.pay_characters(10_000)


def test_the_smallest_budget_holds_one_text() -> None:
    assert _LEAST_CHARACTERS == LONGEST_TEXT


async def test_a_text_beyond_the_budget_is_refused() -> None:
    budget = Spending(0, 5000).budget("s", "t", 1, lambda: 0.0)
    session = VirtualSession(synthesizer=Engine(), budget=budget).session
    session.speech.text_queue.accept("A" * 200 + ".")
    with pytest.raises(RateLimitError, match="used up"):
        session.speech.text_queue.accept("A. " * 1666)
    await session.speech.text_queue.close()


@pytest.mark.parametrize("spending", [Spending(1, 0), Spending(0, 5)])
async def test_a_visitor_is_told_when_answers_are_used_up(spending: Spending) -> None:
    agent = Echo()
    agent.gate.set()
    budget = spending.budget("s", "t", 1, lambda: 0.0)
    virtual = VirtualSession(turns=buzzes_too(), agent=agent, budget=budget)
    events: list[Any] = []
    virtual.session.listeners.add(events.append)
    visitor = Visitor(virtual, events)
    try:
        await visitor.wait(0.5)
        for _ in range(2):
            await visitor.speak(1.0)
            await visitor.wait(3.0)
        refused = [event for event in events if event["type"] == "error"]
        assert [event["code"] for event in refused][-1:] == ["not_answered"]
        assert "used up" in refused[-1]["message"]
        assert visitor.told("no_answer")
    finally:
        await virtual.session.speech.text_queue.close()

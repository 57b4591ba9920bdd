"""Buckets by address and token; the guard in front of the application."""

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipstream.realtime.api.request_guard import MOST_WAITING, MOST_WAITING_HERE, RequestGuard
from lipstream.realtime.api.request_limits import (
    OF_ADDRESS,
    OF_JOIN_TOKEN,
    OF_KEY,
    OF_SESSION,
    OF_STRANGER,
    Cost,
    Identity,
    RequestLimits,
    cost_of,
)

OPEN, STRANGER = Identity("open"), Identity("stranger")
WAIT_S = 60.0


def passed(limits: RequestLimits, identity: Identity, address: str, cost: Cost, asked: int) -> int:
    return sum(limits.take(identity, address, cost, 100.0) == 0 for _ in range(asked))


@pytest.mark.parametrize(
    ("method", "path", "cost"),
    [
        ("GET", "/", Cost.LIGHT),
        ("GET", "/static/call/page.js", Cost.LIGHT),
        ("GET", "/healthz", Cost.LIGHT),
        ("GET", "/metrics", Cost.MEDIUM),
        ("GET", "/api/avatars", Cost.MEDIUM),
        ("GET", "/api/avatars/ann/preview", Cost.MEDIUM),
        ("GET", "/api/sessions/x", Cost.MEDIUM),
        ("POST", "/api/sessions/x/say", Cost.MEDIUM),
        ("PATCH", "/api/sessions/x/whep/v", Cost.MEDIUM),  # a candidate
        ("POST", "/api/sessions/x/whep", Cost.VIEWING),
        ("POST", "/api/sessions", Cost.HEAVY),
        ("POST", "/api/sessions/x/peer", Cost.HEAVY),
        ("PATCH", "/api/sessions/x", Cost.HEAVY),
        ("POST", "/api/sessions/x/recording", Cost.HEAVY),
        ("POST", "/api/whip", Cost.HEAVY),
        ("POST", "/api/rooms", Cost.HEAVY),
        ("POST", "/api/avatars", Cost.HEAVY),
        ("WEBSOCKET", "/api/sessions/x/audio", Cost.HEAVY),
    ],
)
def test_each_route_has_its_cost(method: str, path: str, cost: Cost) -> None:
    assert cost_of(method, path) is cost


@given(st.text(), st.text())
def test_any_path_has_a_cost(method: str, path: str) -> None:
    assert cost_of(method, path) in Cost


@pytest.mark.parametrize("cost", list(Cost))
def test_an_address_gets_its_burst_and_another_one_too(cost: Cost) -> None:
    limits, most = RequestLimits(), int(OF_ADDRESS[cost].burst)
    assert passed(limits, OPEN, "192.0.2.1", cost, most + 10) == most
    assert passed(limits, OPEN, "192.0.2.2", cost, most + 10) == most


def test_cheap_routes_have_larger_buckets_and_a_key_more_than_an_address() -> None:
    order = [Cost.HEAVY, Cost.VIEWING, Cost.MEDIUM, Cost.LIGHT]
    assert [OF_ADDRESS[cost].burst for cost in order] == sorted(OF_ADDRESS[cost].burst for cost in order)
    assert all(OF_KEY[cost].burst > OF_JOIN_TOKEN[cost].burst > OF_ADDRESS[cost].burst for cost in Cost)


def test_a_session_has_one_bucket_from_wherever_its_owner_comes() -> None:
    limits, owner = RequestLimits(), Identity("session", "s")
    got = sum(passed(limits, owner, f"192.0.2.{n}", Cost.HEAVY, 10) for n in range(10))
    assert got == OF_SESSION[Cost.HEAVY].burst


def test_a_flood_from_one_address_does_not_use_up_a_shared_token() -> None:
    limits, guest = RequestLimits(), Identity("join", "t")
    assert passed(limits, guest, "192.0.2.1", Cost.HEAVY, 10_000) == OF_ADDRESS[Cost.HEAVY].burst
    assert passed(limits, guest, "192.0.2.2", Cost.HEAVY, 20) == 20


def test_a_key_is_counted_by_itself() -> None:
    limits, most = RequestLimits(), int(OF_KEY[Cost.HEAVY].burst)
    assert passed(limits, Identity("key", "obs"), "192.0.2.1", Cost.HEAVY, most + 10) == most
    assert passed(limits, OPEN, "192.0.2.1", Cost.HEAVY, 10) == 10
    assert passed(limits, Identity("key", "cron"), "192.0.2.1", Cost.HEAVY, 10) == 10


def test_requests_without_a_valid_token_are_few() -> None:
    limits = RequestLimits()
    assert passed(limits, STRANGER, "192.0.2.1", Cost.LIGHT, 100) == OF_STRANGER.burst
    assert passed(limits, OPEN, "192.0.2.1", Cost.LIGHT, 10) == 10


def test_an_ipv6_client_counts_by_its_64_and_a_48_is_bounded_too() -> None:
    limits, most = RequestLimits(), int(OF_ADDRESS[Cost.HEAVY].burst)
    got = sum(passed(limits, OPEN, f"2001:db8:1:1::{n:x}", Cost.HEAVY, 10) for n in range(20))
    assert got == most
    got = sum(passed(limits, OPEN, f"2001:db8:2:{n:x}::1", Cost.HEAVY, most) for n in range(100))
    assert got == 8 * most
    assert passed(limits, OPEN, "::ffff:192.0.2.7", Cost.HEAVY, 2 * most) == most
    assert passed(limits, OPEN, "192.0.2.7", Cost.HEAVY, 5) == 0


def scope(address: str = "192.0.2.1", path: str = "/api/sessions/s/peer") -> dict[str, object]:
    return {"type": "http", "method": "POST", "path": path, "client": (address, 4000)}


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_refusal_waits_and_says_when_to_come_back() -> None:
    guard = RequestGuard(lambda _: OPEN, delay_s=0.01)
    answers = [await guard.refusal(scope()) for _ in range(int(OF_ADDRESS[Cost.HEAVY].burst) + 1)]
    assert answers[:-1] == [None] * (len(answers) - 1)
    last = answers[-1]
    assert last is not None
    assert last.retry_after_s == 1
    assert not last.at_once
    assert not guard._waiting


async def test_refusals_beyond_a_bound_are_answered_at_once() -> None:
    guard = RequestGuard(lambda _: OPEN, delay_s=WAIT_S)

    async def flood(address: str) -> list[asyncio.Task[object]]:
        for _ in range(int(OF_ADDRESS[Cost.HEAVY].burst)):
            assert await guard.refusal(scope(address)) is None
        tasks: list[asyncio.Task[object]] = [
            asyncio.create_task(guard.refusal(scope(address))) for _ in range(MOST_WAITING_HERE + 5)
        ]
        await until(lambda: sum(task.done() for task in tasks) >= 5)
        return tasks

    floods = [await flood(f"192.0.2.{n}") for n in range(MOST_WAITING // MOST_WAITING_HERE)]
    for tasks in floods:
        answered = [task.result() for task in tasks if task.done()]
        assert len(answered) == 5
        assert all(getattr(answer, "at_once", None) for answer in answered)
    assert guard._waiting.total() == MOST_WAITING
    for _ in range(int(OF_ADDRESS[Cost.HEAVY].burst)):
        assert await guard.refusal(scope("198.51.100.1")) is None
    late = await guard.refusal(scope("198.51.100.1"))
    assert late is not None
    assert late.at_once
    for task in (task for tasks in floods for task in tasks):
        task.cancel()
    await until(lambda: not guard._waiting)


async def test_a_server_without_limits_refuses_nothing() -> None:
    guard = RequestGuard(lambda _: None)
    assert [await guard.refusal(scope()) for _ in range(1000)] == [None] * 1000

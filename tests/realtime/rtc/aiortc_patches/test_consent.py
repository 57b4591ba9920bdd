"""A peer that answers late keeps its call, one that does not answer at all loses it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aioice.ice
import aioice.stun
import pytest
from aioice.ice import Connection

from lipstream.realtime.rtc.aiortc_patches import consent
from lipstream.realtime.rtc.aiortc_patches.consent import MOST_UNANSWERED, has_expired, keep_consent
from tests.realtime.rtc.loopback import until

SCALE = 0.05
"""Of all times: half a second of patience becomes 25 ms."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aioice.stun, "RETRY_RTO", 0.5 * SCALE)
    monkeypatch.setattr(aioice.ice, "CONSENT_INTERVAL", 5 * SCALE / 4)
    monkeypatch.setattr(consent, "CHECK_EVERY_S", 5 * SCALE / 4)


@asynccontextmanager
async def asking(prepare: Callable[[Connection], None]) -> AsyncIterator[tuple[Connection, Connection]]:
    """Connect two agents; only the first asks for consent."""
    asks, answers = Connection(ice_controlling=True), Connection(ice_controlling=False)
    prepare(asks)
    answers.query_consent = _ask_nothing  # type: ignore[method-assign]
    for one, other in ((asks, answers), (answers, asks)):
        await one.gather_candidates()
        other.remote_username, other.remote_password = one.local_username, one.local_password
    for one, other in ((asks, answers), (answers, asks)):
        for candidate in other.local_candidates:
            await one.add_remote_candidate(candidate)
        await one.add_remote_candidate(None)
    await asyncio.gather(asks.connect(), answers.connect())
    try:
        yield asks, answers
    finally:
        await asks.close()
        await answers.close()


async def _ask_nothing() -> None:
    pass


def stock(_: Connection) -> None:
    """Leave an agent as it comes."""


def delay(agent: Connection, seconds: float | None) -> list[float]:
    """Let an agent's answers leave late, or never; return where the times go at which it had to answer."""
    loop = asyncio.get_running_loop()
    asked: list[float] = []
    for protocol in agent._protocols:
        send = protocol.send_stun

        def send_late(message: aioice.stun.Message, address: tuple[str, int], send: Callable[..., None] = send) -> None:
            asked.append(loop.time())
            if seconds is not None:
                loop.call_later(seconds, send, message, address)

        protocol.send_stun = send_late  # type: ignore[method-assign, assignment]
    return asked


def ended(agent: Connection) -> bool:
    return agent._query_consent_task is None


async def test_an_answer_that_is_late_counts() -> None:
    async with asking(keep_consent) as (asks, answers):
        asked = delay(answers, 2 * SCALE)
        await until(lambda: len(asked) > 3 * MOST_UNANSWERED, "checks")
        assert not ended(asks)
        assert asks._query_consent_task is not None
        assert not asks._query_consent_task.done()
        assert sum(len(protocol.transactions) for protocol in asks._protocols) <= MOST_UNANSWERED


async def test_stock_an_answer_that_is_late_does_not_count() -> None:
    async with asking(stock) as (asks, answers):
        delay(answers, 2 * SCALE)
        await until(lambda: ended(asks), "the end")


async def test_whoever_answers_no_more_is_given_up() -> None:
    async with asking(keep_consent) as (asks, answers):
        asked = delay(answers, None)
        await until(lambda: ended(asks), "the end")
        assert len(asked) == MOST_UNANSWERED
        assert has_expired(asks)
        assert not any(protocol.transactions for protocol in asks._protocols)


async def test_a_forged_answer_is_none() -> None:
    async with asking(keep_consent) as (asks, answers):
        for protocol in answers._protocols:
            send = protocol.send_stun

            def forge(message: aioice.stun.Message, address: tuple[str, int], send: Callable[..., None] = send) -> None:
                message.attributes.pop("MESSAGE-INTEGRITY", None)
                message.attributes.pop("FINGERPRINT", None)
                message.add_message_integrity(b"somebody else's password")
                send(message, address)

            protocol.send_stun = forge  # type: ignore[method-assign, assignment]
        await until(lambda: ended(asks), "the end")


async def test_closing_ends_the_asking() -> None:
    async with asking(keep_consent) as (asks, _):
        await asks.close()
        assert asks._query_consent_task is not None
        assert asks._query_consent_task.done()

"""The attacks of ``python -m benchmarks attacks`` over HTTP, some seconds each: how they end, not how long it takes."""

import asyncio

import pytest

from benchmarks.attacks import MEMORY_MB
from benchmarks.http_attackers import answer_without_end, ping
from benchmarks.served import served
from benchmarks.victim import Attack, calling

pytestmark = pytest.mark.timeout(300)

SECONDS = 2.0
TRIES = 10


async def told(attack: Attack, url: str, what: str) -> dict[str, int]:
    """Attack for :data:`SECONDS`, again while the machine is too busy for the attack to come so far; return counts."""
    for _ in range(TRIES):
        counts = await asyncio.to_thread(attack, url, SECONDS)
        if counts and counts.get(what):
            return counts
    raise AssertionError(f"never: {what}")


async def test_pings_and_endless_answers_are_ended_and_a_call_goes_on() -> None:
    async with served(predictor="FakePredictor", say="voice", max_sessions=4) as server, calling(server.url) as victim:
        for attack in (answer_without_end, ping):  # what the first ones need, and what a start leaves for later, stays
            await told(attack, server.url, "closed")
        before_mb = (await server.look())["rss_mb"]
        answers = await told(answer_without_end, server.url, "closed")
        assert answers["offers"] - answers["closed"] <= 1, "the last one may be on its way"
        pings = await told(ping, server.url, "closed")
        assert victim.connected
        for _ in range(TRIES):
            if (await victim.watch(1.0)).mean > 0:
                break
        else:
            raise AssertionError("the call shows nothing")
        grown_mb = (await server.look())["rss_mb"] - before_mb
        print(f"answers {answers}, pings {pings}, {grown_mb:.1f} MB more")
        assert grown_mb < 4 * MEMORY_MB

"""1,500 connections that say nothing, 1,024 descriptors: calls go on, new ones come, the log stays short."""

import asyncio

import pytest

from benchmarks.attackers import CONNECTIONS, hold_silent
from benchmarks.attacks import DESCRIPTORS
from benchmarks.served import fetch, served
from benchmarks.victim import attacked, calling, count_pictures

pytestmark = pytest.mark.timeout(300)

PART_S = 5.0


async def test_a_silent_crowd_ends_no_call_and_keeps_no_new_one_out() -> None:
    assert CONNECTIONS > DESCRIPTORS
    async with (
        served(predictor="FakePredictor", say="voice", max_sessions=4, descriptors=DESCRIPTORS) as server,
        calling(server.url) as victim,
    ):
        found = await attacked(server, victim, hold_silent, PART_S)
        status, _, _ = await asyncio.to_thread(fetch, f"{server.url}/healthz")
        assert status == 200
        assert victim.connected
    print(
        f"pictures a second: {found['before'].per_second} before, {found['attack'].per_second} in the attack, "
        f"{found['control'].per_second} in the control; a new call took {found['newcomer_s']} s"
    )
    assert found["newcomer_s"] is not None
    assert found["look"]["descriptors"] < DESCRIPTORS
    assert found["look"]["log_lines"] <= 10 * PART_S
    assert found["attack"].mean > 0


def test_pictures_are_counted_by_the_second() -> None:
    pictures = count_pictures([9.9, 10.1, 10.2, 11.5, 12.5, 13.1], start_s=10.0, end_s=12.9)
    assert pictures.per_second == (2, 1)
    assert pictures.mean == 1.5
    assert pictures.longest_gap_ms == pytest.approx(1300)
    assert count_pictures([], 0.0, 2.0).longest_gap_ms == 2000

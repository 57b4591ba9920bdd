"""The parts of a session close side by side; one that hangs, or fails, keeps none of the others open."""

import asyncio
import logging

import pytest

from lipstream.realtime.session import bounded_closing
from lipstream.realtime.session.bounded_closing import BoundedClosing


async def test_a_part_that_hangs_keeps_no_other_open_and_counts_until_it_ends(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(bounded_closing, "CLOSE_S", 0.05)
    closed: list[str] = []
    released = asyncio.Event()

    async def close(name: str) -> None:
        closed.append(name)

    async def hang() -> None:
        await released.wait()
        closed.append("recording")

    closing = BoundedClosing()
    await closing.close({"recording": hang(), "peer": close("peer"), "viewers": close("viewers")})
    assert closed == ["peer", "viewers"]
    assert closing.unfinished == 1
    assert "the session's recording did not close within" in caplog.text
    await closing.close({"broadcast": close("broadcast")})
    assert closed == ["peer", "viewers", "broadcast"]
    released.set()
    async with asyncio.timeout(20):
        while closing.unfinished:
            await asyncio.sleep(0)
    assert closed[-1] == "recording"


async def test_a_part_that_fails_is_logged_and_counts_no_longer(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise ValueError("no such thing")

    closing = BoundedClosing()
    await closing.close({"peer": fail()})
    await closing.close({})
    assert closing.unfinished == 0
    assert [(line.levelno, line.getMessage()) for line in caplog.records] == [(logging.ERROR, "close-peer failed")]

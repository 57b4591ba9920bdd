import asyncio

import pytest

from lipstream.realtime.audio.pcm_queue import LIMIT_SOUND, PcmQueue
from lipstream.realtime.session.read_waits import ReadWaits


async def _settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_task_wakes_at_the_read_that_makes_room_and_at_no_earlier_one() -> None:
    waits, source, looks = ReadWaits(), PcmQueue(48_000), 0
    source.on_read = waits.check
    source.push(bytes(2 * LIMIT_SOUND + 2 * 2 * 480))  # two blocks more than fit

    def has_room() -> bool:
        nonlocal looks
        looks += 1
        return source.room_bytes > 0

    waiting = asyncio.create_task(waits.until(has_room))
    await _settle()
    assert looks == 1, "not looked at again before something is read"
    for _ in range(2):
        source.pull(0.0)
        await _settle()
        assert not waiting.done()
    source.pull(0.0)
    await _settle()
    assert waiting.done()


async def test_what_holds_already_is_not_waited_for() -> None:
    await asyncio.wait_for(ReadWaits().until(lambda: True), 60)


async def test_a_condition_that_no_longer_holds_when_its_task_runs_is_waited_for_again() -> None:
    waits, room = ReadWaits(), False
    waiting = asyncio.create_task(waits.until(lambda: room))
    await _settle()
    room = True
    waits.check()
    room = False
    await _settle()
    assert not waiting.done()
    room = True
    waits.check()
    await _settle()
    assert waiting.done()


async def test_a_wait_that_is_cancelled_leaves_others_alone() -> None:
    waits, room = ReadWaits(), False
    first, second = (asyncio.create_task(waits.until(lambda: room)) for _ in range(2))
    await _settle()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    room = True
    waits.check()
    await _settle()
    assert second.done()

"""Sound and picture belong together: by what they show and say, timed at the receiving peer."""

import asyncio
import statistics
import time

import numpy as np

from benchmarks.caller_process import caller_process
from benchmarks.signals import TimelineSource
from lipstream.realtime.test_client.call_recording import decode_pictures, decode_sound
from lipstream.realtime.test_client.click_track import clicks, find_clicks, find_flashes, offsets_ms
from tests.loopback.conftest import MOUTH, Serve

LIMIT_MS = 10.0


async def test_clicks_and_flashes_meet_before_and_after_a_stall(serve: Serve) -> None:
    sessions = await serve("FlashPredictor")
    async with caller_process() as process:
        session, answer = await sessions.create("ann", process.offers[0])
        session.speech.source = TimelineSource(session.clock, clicks)
        assert answer is not None
        await process.accept([answer])
        await asyncio.sleep(6)
        before_s = time.monotonic()
        time.sleep(0.5)  # noqa: ASYNC251 (the whole server stands still)
        after_s = time.monotonic()
        await asyncio.sleep(6)
        (recording,) = await process.stop()

    heard = find_clicks(decode_sound(recording.sound))
    seen = find_flashes(list(decode_pictures(recording.picture)), MOUTH)
    for parts, least in (
        ([[at for at in found if at[1] < before_s] for found in (heard, seen)], 5),
        ([[at for at in found if at[1] > after_s + 0.5] for found in (heard, seen)], 5),
    ):
        by_media = offsets_ms(*[[media_s for media_s, _ in part] for part in parts])
        by_arrival = offsets_ms(*[[arrived_s for _, arrived_s in part] for part in parts])
        assert len(by_media) >= least
        assert np.percentile(np.abs(by_media), 95) <= LIMIT_MS
        assert abs(statistics.median(by_arrival)) <= LIMIT_MS

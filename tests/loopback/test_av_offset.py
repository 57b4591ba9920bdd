"""Sound and picture belong together: by what they show and say, timed at the receiving peer."""

import asyncio
import statistics
import time

import numpy as np
import pytest

from benchmarks.caller_process import caller_process
from benchmarks.signals import TimelineSource
from lipstream.realtime.server.sessions import Sessions
from lipstream.realtime.test_client.call_recording import DecodedPicture, decode_pictures, decode_sound
from lipstream.realtime.test_client.click_track import clicks, find_clicks, find_flashes, offsets_ms
from lipstream.realtime.timeline import FRAME_RATE_HZ
from tests.loopback.conftest import MOUTH, Serve

pytestmark = pytest.mark.timeout(400)
LIMIT_MS = 10.0
LATE_MS = 60.0
"""A busy machine makes pictures arrive late, not sound, so the first quarter is judged. What is later is seen."""
LEAST = 5
Offsets = tuple[list[float], list[float]]


def is_first_known(media_s: float, pictures: list[DecodedPicture]) -> bool:
    """Return whether the picture before a flash came: else the flash may have begun with one that was left out."""
    return any(abs(media_s - picture.media_s - 1 / FRAME_RATE_HZ) < 0.01 for picture in pictures)


async def offsets_around_a_stall(sessions: Sessions, seconds: float) -> list[Offsets]:
    """Return the offsets by media time and by arrival, s, before and after the whole server stood still."""
    async with caller_process() as process:
        session, answer = await sessions.create("ann", process.offers[0])
        session.speech.source = TimelineSource(session.clock, clicks)
        assert answer is not None
        await process.accept([answer])
        await asyncio.sleep(seconds)
        before_s = time.monotonic()
        time.sleep(0.5)  # noqa: ASYNC251 (the whole server stands still)
        after_s = time.monotonic()
        await asyncio.sleep(seconds)
        (recording,) = await process.stop()
        await sessions.delete(session.id)
    heard = find_clicks(decode_sound(recording.sound))
    pictures = list(decode_pictures(recording.picture))
    seen = [flash for flash in find_flashes(pictures, MOUTH) if is_first_known(flash[0], pictures)]
    parts = (
        [[at for at in found if at[1] < before_s] for found in (heard, seen)],
        [[at for at in found if at[1] > after_s + 0.5] for found in (heard, seen)],
    )
    by_media = [offsets_ms(*[[media_s for media_s, _ in part] for part in both]) for both in parts]
    by_arrival = [offsets_ms(*[[arrived_s for _, arrived_s in part] for part in both]) for both in parts]
    return [(list(media), list(arrival)) for media, arrival in zip(by_media, by_arrival, strict=True)]


async def test_clicks_and_flashes_meet_before_and_after_a_stall(serve: Serve) -> None:
    sessions = await serve("FlashPredictor")
    for seconds in (6, 12, 24, 48):  # a busy machine shows fewer pictures, and a flash is one
        offsets = await offsets_around_a_stall(sessions, seconds)
        if min(len(by_media) for by_media, _ in offsets) >= LEAST:
            break
    for by_media, by_arrival in offsets:
        print(f"by arrival {statistics.median(by_arrival):.1f} ms, {len(by_media)} pairs")
        assert len(by_media) >= LEAST
        assert np.percentile(np.abs(by_media), 95) <= LIMIT_MS
        assert abs(np.percentile(by_arrival, 25)) <= LATE_MS

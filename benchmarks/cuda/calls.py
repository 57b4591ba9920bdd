"""How many sessions does a whole server hold on a card, with clients that decode nothing?

All sessions speak all the time. A number holds if 99 % of the pictures leave within 40 ms of their due time, each
session has 25 pictures a second, and all are live. The clients share the machine's cores with the server.
"""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

from benchmarks.caller_process import caller_process
from benchmarks.cuda.options import Options
from benchmarks.limit import begin
from benchmarks.served import BUILT_IN, served
from benchmarks.stage import speech_file
from lipstream.realtime.metrics import percentiles
from lipstream.realtime.test_client.click_track import voice
from lipstream.realtime.timeline import FRAME_RATE_HZ, SOUND_RATE_HZ

LIMIT_MS, LEAST_RATE_HZ = 40.0, FRAME_RATE_HZ - 0.25
_COUNTS = (4, 8, 16, 24, 32, 48, 64, 96, 128)
_SETTLE_S, _PART_S = 2.0, 5.0


def run(options: Options) -> Iterator[dict[str, Any]]:
    """Yield a row for each number of sessions, up to the first that fails."""
    options.open()  # raises if there is no card
    for count in (1,) if options.short else _COUNTS:
        row = asyncio.run(_hold(count, 1.0 if options.short else _PART_S, painted=options.stand_in))
        yield row
        if not row["holds"]:
            break


async def _hold(count: int, seconds: float, *, painted: bool) -> dict[str, Any]:
    async with AsyncExitStack() as stack:
        path = await stack.enter_async_context(speech_file(voice(0, 3 * SOUND_RATE_HZ)))
        server = await stack.enter_async_context(
            served(predictor="FakePredictor" if painted else BUILT_IN, max_sessions=count, watched=True)
        )
        clients = await stack.enter_async_context(caller_process(count, speech=path, keep_payloads=False))
        await clients.accept([await begin(server, offer) for offer in clients.offers])
        await asyncio.sleep(_SETTLE_S)
        before = await server.look()
        await asyncio.sleep(seconds)
        look = await server.look()
        await clients.stop()
    leaving = percentiles([ms for watched in look["leaving_ms"].values() for ms in watched])
    rates = [len(watched) / seconds for watched in look["leaving_ms"].values()]
    live = sum(session["state"] == "live" for session in look["sessions"].values())
    least = round(min(rates, default=0.0), 2)
    in_time = leaving["p99"] is not None and leaving["p99"] <= LIMIT_MS
    return {
        "sessions": count,
        "drawn on": look["device"],
        "holds": in_time and min(least, FRAME_RATE_HZ) >= LEAST_RATE_HZ and live == count,
        "live": live,
        "fps min": least,
        "leaving p50 ms": leaving["p50"],
        "leaving p99 ms": leaving["p99"],
        "lag p99 ms": look["lag_ms"]["p99"],
        "server CPU %": round(100 * (look["cpu_s"] - before["cpu_s"]) / seconds, 1),
        "pictures CPU %": round(100 * (look["pictures_cpu_s"] - before["pictures_cpu_s"]) / seconds, 1),
    }

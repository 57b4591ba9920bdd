"""How many sessions does one core serve, but for the model?

All of the server's processes share one core, the clients have another. Mouths are painted, which costs almost nothing.
An idle session has a microphone that sends silence. Lateness is the time from a picture's due time to the sending of
its packets. ``IDLE="8 16" SPEAKING="4 8"`` measures other numbers of sessions.
"""

import asyncio
import os
from contextlib import AsyncExitStack
from typing import Any

import numpy as np

from benchmarks.caller_process import caller_process
from benchmarks.limit import begin
from benchmarks.report import Report, at_least
from benchmarks.served import served
from benchmarks.stage import speech_file
from lipstream.realtime.metrics import percentiles
from lipstream.realtime.test_client.click_track import Sound, voice
from lipstream.realtime.timeline import FRAME_RATE_HZ, SOUND_RATE_HZ

QUESTION = "How many sessions does one core serve, but for the model?"
SESSIONS, LATE_P99_MS = 16, 20.0
_LEAST_RATE_HZ = FRAME_RATE_HZ - 0.25
_SETTLE_S, _PART_S = 4.0, 10.0


def run() -> Report:
    """Measure."""
    report = Report(QUESTION, {"pictures": "512x512", "seconds": _PART_S})
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(cores) < 2:
        report.goals = [at_least("idle sessions on one core", None, SESSIONS, "")]
        return report
    silent = np.zeros(SOUND_RATE_HZ, np.float32)
    parts: list[tuple[str, Sound, str]] = [
        ("idle", silent, "8 12 16"),
        ("speaking", voice(0, 3 * SOUND_RATE_HZ), "4 8"),
    ]
    os.sched_setaffinity(0, {cores[1]})  # inherited by the clients
    try:
        for who, sound, counts in parts:
            for count in map(int, os.environ.get(who.upper(), counts).split()):
                report.rows.append({"who": who, **asyncio.run(_hold(count, sound, cores[0]))})
    finally:
        os.sched_setaffinity(0, cores)
    for who in ("idle", "speaking"):
        held = [row["sessions"] for row in report.rows if row["who"] == who and _holds(row)]
        report.goals.append(at_least(f"{who} sessions on one core", max(held, default=0), SESSIONS, ""))
    return report


def _holds(row: dict[str, Any]) -> bool:
    return bool(row["leaving p99"] <= LATE_P99_MS and row["fps min"] >= _LEAST_RATE_HZ)


async def _hold(count: int, sound: Sound, core: int) -> dict[str, Any]:
    """Run ``count`` sessions; return the statistics of their pictures."""
    async with AsyncExitStack() as stack:
        path = await stack.enter_async_context(speech_file(sound))
        server = await stack.enter_async_context(
            served(predictor="FakePredictor", max_sessions=count, watched=True, core=core)
        )
        clients = await stack.enter_async_context(caller_process(count, speech=path, keep_payloads=False))
        await clients.accept([await begin(server, offer) for offer in clients.offers])
        await asyncio.sleep(_SETTLE_S)
        before = await server.look()
        await asyncio.sleep(_PART_S)
        look = await server.look()
        await clients.stop()
    late = percentiles([ms for watched in look["leaving_ms"].values() for ms in watched])
    pictures = [len(watched) / _PART_S for watched in look["leaving_ms"].values()]
    return {
        "sessions": count,
        "fps min": round(min(*pictures, FRAME_RATE_HZ), 2),
        **{f"leaving {name}": value for name, value in late.items()},
        "lag p99": look["lag_ms"]["p99"],
        "server CPU %": round(100 * (look["cpu_s"] - before["cpu_s"]) / _PART_S, 1),
        "pictures CPU %": round(100 * (look["pictures_cpu_s"] - before["pictures_cpu_s"]) / _PART_S, 1),
        "live": sum(session["state"] == "live" for session in look["sessions"].values()),
    }

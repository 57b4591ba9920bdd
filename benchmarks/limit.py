"""What do four sessions keep, for ten minutes at the limit, while one more is asked for again and again?

The server has the built-in network and room for these four sessions only; their clients send recorded speech. Lateness
is the time from a picture's due time to the sending of its packets. A picture that arrives at a client more than 150 ms
late counts as a freeze, as in browsers. ``MINUTES`` in the environment is the length of the run (10).
"""

import asyncio
import json
import os
import time
from contextlib import AsyncExitStack
from typing import Any

import numpy as np

from benchmarks.caller_process import caller_process
from benchmarks.report import Goal, Report, at_most
from benchmarks.served import ServedProcess, fetch, served
from benchmarks.signals import speech
from benchmarks.stage import speech_file
from lipstream.realtime.metrics import percentiles
from lipstream.realtime.test_client.call_recording import CallRecording, RecordedPacket
from lipstream.realtime.test_client.caller import Caller
from lipstream.realtime.timeline import FRAME_RATE_HZ

QUESTION = "What do four sessions keep in ten minutes at the limit, while one more is asked for again and again?"
SESSIONS = 4
PARTS = 10
RATE_HZ, LATE_P99_MS, REFUSAL_MS, LOST_PERCENT = 0.1, 10, 50, 2.0
FREEZE_S = 0.15
_SETTLE_S, _ASK_EVERY_S = 10.0, 1.0


def run() -> Report:
    """Measure."""
    minutes = float(os.environ.get("MINUTES", "10"))
    return asyncio.run(_measure(60 * minutes))


async def _measure(seconds: float) -> Report:
    name, sound = speech()
    report = Report(QUESTION, {"speech": name, "minutes": seconds / 60, "sessions": SESSIONS})
    refusals: list[tuple[int, float, bool]] = []
    late_ms: list[float] = []
    log: list[str] = []
    async with AsyncExitStack() as stack:
        path = await stack.enter_async_context(speech_file(sound))
        server = await stack.enter_async_context(served(max_sessions=SESSIONS, watched=True))
        clients = await stack.enter_async_context(caller_process(SESSIONS, speech=path, keep_payloads=False))
        await clients.accept([await begin(server, offer) for offer in clients.offers])
        await asyncio.sleep(_SETTLE_S)
        first = await server.look()
        began_s = time.monotonic()
        one_more = Caller(keep_payloads=False)
        stack.push_async_callback(one_more.close)
        asking = asyncio.create_task(_ask(server, await one_more.offer(), refusals))
        for _ in range(PARTS):
            await asyncio.sleep(seconds / PARTS)
            look = await server.look()
            report.rows.append(_row(look, first, refusals))
            late_ms += [ms for watched in look["leaving_ms"].values() for ms in watched]
            log += look["log"]
        ended_s = time.monotonic()
        asking.cancel()
        await asyncio.wait([asking])
        recordings = await clients.stop()
    arrivals = [_arrivals(recording, began_s, ended_s) for recording in recordings]
    rates = [(len(came) - 1) / (came[-1] - came[0]) if len(came) > 1 else 0.0 for came in arrivals]
    off = max(abs(rate - FRAME_RATE_HZ) for rate in rates)
    frozen = sum(int((np.diff(came) > 1 / FRAME_RATE_HZ + FREEZE_S).sum()) for came in arrivals)
    lost = SESSIONS - min(row["live"] for row in report.rows)
    told = bool(refusals) and all(status == 503 and retry for status, _, retry in refusals)
    report.conditions["log"] = log[:10]
    report.goals = [
        at_most("25 pictures a second missed by", round(off, 3), RATE_HZ, "Hz"),
        at_most("lateness of a picture, p99", percentiles(late_ms)["p99"], LATE_P99_MS, "ms"),
        Goal("freezes", "0", frozen, frozen == 0),
        Goal(f"refusals of {len(refusals)} that are 503 with Retry-After", "all", float(told), told),
        at_most("refusal, p95", percentiles([ms for _, ms, _ in refusals])["p95"], REFUSAL_MS, "ms"),
        at_most("pictures lost", round(100 * off / FRAME_RATE_HZ, 2), LOST_PERCENT, "%"),
        Goal("sessions lost", "0", lost, lost == 0),
    ]
    return report


async def begin(server: ServedProcess, offer: str) -> str:
    """Start a session with an offer; return the answer."""
    status, _, body = await asyncio.to_thread(fetch, f"{server.url}/api/sessions", _offer(offer))
    if status != 201:
        raise RuntimeError(f"{status}: {body.decode()}")
    answer: str = json.loads(body)["answer"]["sdp"]
    return answer


async def _ask(server: ServedProcess, sdp: str, refusals: list[tuple[int, float, bool]]) -> None:
    """Request one more session again and again."""
    while True:
        asked_s = time.monotonic()
        status, headers, _ = await asyncio.to_thread(fetch, f"{server.url}/api/sessions", _offer(sdp))
        refusals.append((status, (time.monotonic() - asked_s) * 1000, "retry-after" in headers))
        await asyncio.sleep(_ASK_EVERY_S)


def _offer(sdp: str) -> dict[str, Any]:
    return {"offer": {"sdp": sdp, "type": "offer"}}


def _row(look: dict[str, Any], first: dict[str, Any], refusals: list[tuple[int, float, bool]]) -> dict[str, Any]:
    sessions = look["sessions"]
    late = percentiles([ms for watched in look["leaving_ms"].values() for ms in watched])
    return {
        "live": sum(session["state"] == "live" for session in sessions.values()),
        "fps min": min((session["fps"] or 0 for session in sessions.values()), default=0),
        **{f"leaving {name}": value for name, value in late.items()},
        "repeated": sum(s["frames_repeated"] for s in sessions.values()) - _repeated(first),
        "dropped": sum(session["frames_dropped"] for session in sessions.values()),
        "lag p99": look["lag_ms"]["p99"],
        "asked": len(refusals),
        "RSS MB": round(look["rss_mb"], 1),
        "log": len(look["log"]),
    }


def _repeated(look: dict[str, Any]) -> int:
    return sum(session["frames_repeated"] for session in look["sessions"].values())


def _arrivals(recording: CallRecording, began_s: float, ended_s: float) -> list[float]:
    """Return the time at which each picture between ``began_s`` and ``ended_s`` was complete."""
    packets: list[RecordedPacket] = recording.picture.packets
    return [packet.arrived_s for packet in packets if packet.marker and began_s < packet.arrived_s < ended_s]

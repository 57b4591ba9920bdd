"""What do viewers cost?

One caller speaks all the time and the others watch. All run in a process of their own and decode nothing. The processes
that paint and encode are measured apart from the event loop's thread, which sends.
"""

import asyncio
import time
from typing import Any

import psutil

from benchmarks.caller_process import caller_process
from benchmarks.report import Report, at_most
from benchmarks.signals import speech
from benchmarks.stage import built_in, speech_file
from lipstream.realtime.server.sessions import Sessions
from lipstream.realtime.test_client.click_track import Sound

QUESTION = "What do viewers cost?"
COUNTS = (0, 5, 20)
_SETTLE_S, _SPEECH_S = 4, 12
ENCODE_GROWTH = 1.15
"""Limit of the picture workers' time with the most viewers over that with none; the excess is the machine's noise."""


def run() -> Report:
    """Measure."""
    return asyncio.run(_measure())


async def _measure() -> Report:
    name, sound = speech()
    report = Report(QUESTION)
    async with built_in(max_sessions=2) as (sessions, weights):
        report.conditions = {"weights": weights, "speech": name, "seconds": _SPEECH_S}
        report.rows = [await _watched(sessions, count, sound) for count in COUNTS]
    alone, crowd = report.rows[0], report.rows[-1]
    growth = crowd["pictures CPU %"] / alone["pictures CPU %"]
    extra = [abs(row["encodes"] - row["pictures"]) for row in report.rows]
    report.goals = [
        at_most("encodes beyond one a picture", max(extra), 2, ""),
        at_most(
            f"time to paint and encode with {COUNTS[-1]} viewers over that with none",
            round(growth, 2),
            ENCODE_GROWTH,
            "times",
        ),
    ]
    return report


async def _watched(sessions: Sessions, viewers: int, sound: Sound) -> dict[str, Any]:
    """Let one caller speak and ``viewers`` watch; return a row of the table."""
    async with speech_file(sound) as path, caller_process(1 + viewers, speech=path, keep_payloads=False) as callers:
        session, answer = await sessions.create(None, callers.offers[0])
        watching = [(await session.viewers.watch(offer))[1] for offer in callers.offers[1:]]
        await callers.accept([answer or "", *watching])
        await asyncio.sleep(_SETTLE_S)
        counts, encoded = session.playout.counts, session.broadcast.encoded
        codec = session.broadcast.codecs[0]

        def left() -> int:
            return counts.rendered + counts.idle + counts.repeated

        spent_s, pictures, encodes = _times_s(sessions), left(), encoded[codec]
        await asyncio.sleep(_SPEECH_S)
        spent_s = {name: now_s - spent_s[name] for name, now_s in _times_s(sessions).items()}
        pictures, encodes = left() - pictures, encoded[codec] - encodes
        recordings = await callers.stop()
        await sessions.delete(session.id)
    return {
        "viewers": viewers,
        "codec": codec,
        "pictures": pictures,
        "encodes": encodes,
        "pictures CPU %": round(100 * spent_s["pictures"] / _SPEECH_S, 1),
        "event loop CPU %": round(100 * spent_s["loop"] / _SPEECH_S, 1),
        "fewest packets": min(len(r.picture.packets) + len(r.sound.packets) for r in recordings),
    }


def _times_s(sessions: Sessions) -> dict[str, float]:
    """Return the CPU time of all picture workers, and of this thread, s."""
    pictures = sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in sessions.pictures.pids)
    return {"pictures": pictures, "loop": time.thread_time()}

"""What do all threads do in one second in which sessions speak? Draws it, and says what held up those that waited.

``SPEAKING=4`` is the number of sessions. The kernel's scheduler events are read through tracefs: Linux, as root. The
picture is written to ``docs/figures/trace.svg``: a row a thread, a colour a part, red where it waits for a core.

A thread that waited while a core was idle was held up by the kernel's scheduler; else by our own threads or by others.
What is slow without a wait is slow on its core: work, or a host that took the core away (`benchmarks.host`).
"""

import asyncio
import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.caller_process import caller_process
from benchmarks.host import describe, host_gaps
from benchmarks.plots import FIGURES
from benchmarks.report import Report
from benchmarks.schedule_picture import draw_schedule
from benchmarks.scheduling import IDLE, Schedule, Span, schedule
from benchmarks.signals import speech
from benchmarks.stage import built_in, speech_file
from lipstream.realtime.errors import SettingsError
from lipstream.realtime.server.sessions import Sessions

QUESTION = "What do all threads do in one second?"
SPEAKING = int(os.environ.get("SPEAKING", "4"))
_SETTLE_S, _TRACED_S = 4.0, 1.0
_TRACEFS = Path("/sys/kernel/tracing")
_EVENTS = ("sched_switch", "sched_wakeup", "sched_wakeup_new")
_BUFFER_KB = 16384
_OTHERS = "others"


def run() -> Report:
    """Measure."""
    return asyncio.run(_measure())


async def _measure() -> Report:
    gaps = host_gaps()
    name, sound = speech()
    async with (
        built_in(max_sessions=SPEAKING) as (sessions, weights),
        speech_file(sound) as path,
        caller_process(SPEAKING, speech=path, keep_payloads=False) as client,
    ):
        created = [await sessions.create(None, offer) for offer in client.offers]
        await client.accept([answer or "" for _, answer in created])
        await asyncio.sleep(_SETTLE_S)
        parts = _parts(sessions, client.pid)
        with _tracing() as lines:
            begin_s = time.monotonic()
            await asyncio.sleep(_TRACED_S)
            end_s = time.monotonic()
        await client.stop()
        for session, _ in created:
            await sessions.delete(session.id)
    found = schedule(lines, begin_s, end_s)
    (FIGURES / "trace.svg").write_text(draw_schedule(found, parts, begin_s, end_s))
    report = Report(QUESTION)
    report.conditions = {"speech": name, "weights": weights, "sessions": SPEAKING, "host": describe(gaps)}
    report.rows = [_row(part, found, parts) for part in dict.fromkeys(parts.values())]
    return report


def _parts(sessions: Sessions, client: int) -> dict[int, str]:
    """Return the part that each thread of the server and of the clients belongs to."""
    loop = threading.main_thread().native_id
    parts = {thread: "loop" if thread == loop else "threads" for thread in _threads(os.getpid())}
    for pids, part in ((sessions.pictures.pids, "pictures"), (sessions.workers.pids, "worker"), ([client], "clients")):
        parts |= {thread: part for pid in pids for thread in _threads(pid)}
    return parts


def _threads(pid: int) -> list[int]:
    return sorted(int(task.name) for task in Path(f"/proc/{pid}/task").iterdir())


@contextmanager
def _tracing() -> Iterator[list[str]]:
    """Record scheduler events in a buffer of our own; its lines are in the list afterwards."""
    buffer = _TRACEFS / "instances" / f"benchmark-{os.getpid()}"
    try:
        buffer.mkdir()
    except OSError as error:
        raise SettingsError(f"the kernel's trace needs Linux, root and tracefs at {_TRACEFS}: {error}") from error
    lines: list[str] = []
    try:
        (buffer / "trace_clock").write_text("mono")
        (buffer / "buffer_size_kb").write_text(str(_BUFFER_KB))
        for event in _EVENTS:
            (buffer / "events" / "sched" / event / "enable").write_text("1")
        yield lines
        (buffer / "tracing_on").write_text("0")
        lines += (buffer / "trace").read_text().splitlines()
    finally:
        buffer.rmdir()


def _row(part: str, found: Schedule, parts: dict[int, str]) -> dict[str, Any]:
    ours = [thread for thread, its in parts.items() if its == part]
    waits = [wait for wait in found.waits if wait.thread in ours]
    longest = max(waits, key=lambda wait: wait.seconds, default=None)
    return {
        "part": part,
        "runs ms": round(1000 * sum(run.seconds for runs in found.runs.values() for run in runs if run.thread in ours)),
        "waits ms": round(1000 * sum(wait.seconds for wait in waits), 1),
        **{f"over {limit} ms": sum(wait.seconds * 1000 > limit for wait in waits) for limit in (1, 5, 20)},
        "longest ms": round(1000 * longest.seconds, 1) if longest else 0.0,
        "held up by": _held_up_by(longest, found, parts) if longest else "-",
    }


def _held_up_by(wait: Span, found: Schedule, parts: dict[int, str]) -> str:
    """Return who ran during a wait, longest first, with milliseconds."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for thread, ran_s in found.meanwhile_s(wait).items():
        seconds["an idle core" if thread == IDLE else parts.get(thread, _OTHERS)] += ran_s
    told = sorted(seconds.items(), key=lambda one: -one[1])[:3]
    return ", ".join(f"{part} {1000 * ran_s:.1f}" for part, ran_s in told)

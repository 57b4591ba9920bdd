"""What motions cost a server: sessions that show them and others that do not, in turns, in calls over loopback.

All sessions speak recorded prompts and are asked for a motion every few seconds; those without motions show the same
person's avatar of one clip. Processor time is that of server and workers for each sent picture. Memory of a session is
what it does not share by a file: anonymous pages and shared memory, each process's part of it.
"""

import asyncio
import gc
import itertools
import os
import statistics
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from benchmarks.caller_process import caller_process
from benchmarks.report import Goal, Report, at_most
from benchmarks.stage import built_in, speech_file
from benchmarks.watch import Watch
from lipstream.realtime.server.sessions import Sessions
from lipstream.realtime.session.session import Session
from lipstream.realtime.test_client.click_track import Sound

_TURNS, _SESSIONS, _MANY = 5, 2, 6
_SETTLE_S, _WATCHED_S, _ASKED_EVERY_S = 2.0, 8.0, 4.0
_COST, _LATE_PERCENT, _SESSION_MB = 1.05, 1.0, 60.0
_SHARED_BY_NO_FILE = ("Pss_Anon:", "Pss_Shmem:")


@dataclass(frozen=True, slots=True)
class _Held:
    """Figures of some sessions: processor ms a picture, late pictures in %, and their memory together, MB."""

    ms: float
    late_percent: float
    memory_mb: float


async def add_live(report: Report, avatar: str, without: str, sound: Sound) -> None:
    """Add the rows and goals of calls to a report.

    Args:
        avatar: Avatar with motions.
        without: The same person's of one clip.
    """
    turns: dict[str, list[_Held]] = {avatar: [], without: []}
    async with speech_file(sound) as path, built_in(max_sessions=_MANY) as (sessions, _):
        for name in (without, avatar):  # each is prepared and loaded before the first turn
            await _hold(sessions, name, _SESSIONS, path)
        for _ in range(_TURNS):
            for name, found in turns.items():
                found.append(await _hold(sessions, name, _SESSIONS, path))
        many = await _hold(sessions, avatar, _MANY, path)
    ratios = [mine.ms / other.ms for mine, other in zip(turns[avatar], turns[without], strict=True)]
    own, late = ([getattr(held, what) for held in turns[avatar]] for what in ("ms", "late_percent"))
    late_without = statistics.median(held.late_percent for held in turns[without])
    few = statistics.median(held.memory_mb for held in turns[avatar])
    ratio, late_percent = round(statistics.median(ratios), 2), round(statistics.median(late), 2)
    session_mb = round((many.memory_mb - few) / (_MANY - _SESSIONS), 1)
    report.rows += [
        {"what": f"{_SESSIONS} calls: server and workers", "value": round(statistics.median(own), 2),
         "unit": "ms a picture"},
        {"what": "of the same without motions, in turns: median (least, largest)",
         "value": f"{ratio} ({min(ratios):.2f}, {max(ratios):.2f})", "unit": ""},
        {"what": "late pictures, and without motions", "value": f"{late_percent}, {late_without:.2f}", "unit": "%"},
        {"what": "memory of a session, shared by no file", "value": session_mb, "unit": "MB"},
    ]  # fmt: skip
    report.goals += [
        at_most("processor time of calls", ratio, _COST, "of without"),
        _late(late_percent, late_without),
        at_most("memory of a session", session_mb, _SESSION_MB, "MB"),
    ]


def _late(percent: float, without: float) -> Goal:
    """Return the goal of late pictures; on a machine that is late without motions, too, it is not judged."""
    goal = at_most("late pictures", percent, _LATE_PERCENT, "%")
    return goal if without <= _LATE_PERCENT else replace(goal, holds=None)


async def _hold(sessions: Sessions, avatar: str, count: int, speech_path: Path) -> _Held:
    """Let some sessions speak, and show motions if their avatar has any."""
    while sessions.unready_reason():  # noqa: ASYNC110 (a worker that a busy machine held up starts again)
        await asyncio.sleep(0.2)
    async with AsyncExitStack() as stack:
        callers = await stack.enter_async_context(caller_process(count, speech=speech_path, keep_payloads=False))
        created = [await sessions.create(avatar, offer) for offer in callers.offers]
        await callers.accept([answer or "" for _, answer in created])
        held = [session for session, _ in created]
        await asyncio.sleep(_SETTLE_S)
        asking = asyncio.create_task(_ask(held))
        watches = [Watch(session) for session in held]
        before = _cpu_s(sessions), _pictures(held)
        await asyncio.sleep(_WATCHED_S)
        after = _cpu_s(sessions), _pictures(held)
        late = statistics.mean(watch.late_percent() for watch in watches)
        memory_mb = _memory_mb(sessions)
        for watch in watches:
            watch.close()
        asking.cancel()
        await callers.stop()
        for session in held:
            await sessions.delete(session.id)
    return _Held(1000 * (after[0] - before[0]) / max(1, after[1] - before[1]), late, memory_mb)


async def _ask(held: list[Session]) -> None:
    """Ask each session for one motion after the other."""
    for number in itertools.count():
        for session in held:
            if names := session.motions.names:
                session.motions.ask(names[number % len(names)])
        await asyncio.sleep(_ASKED_EVERY_S)


def _pictures(held: list[Session]) -> int:
    return sum(c.rendered + c.idle + c.repeated for c in (session.playout.counts for session in held))


def _processes(sessions: Sessions) -> list[int]:
    return [os.getpid(), *sessions.workers.pids, *sessions.pictures.pids]


def _cpu_s(sessions: Sessions) -> float:
    return float(sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in _processes(sessions)))


def _memory_mb(sessions: Sessions) -> float:
    gc.collect()
    kilobytes = 0
    for pid in _processes(sessions):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            name, _, value = line.partition(" ")
            kilobytes += int(value.split()[0]) if name in _SHARED_BY_NO_FILE else 0
    return kilobytes * 1024 / 1e6

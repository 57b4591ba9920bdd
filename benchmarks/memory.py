"""What does a session keep, and does anything grow: with time, with sessions that ended, with loaded avatars?

The server's sessions run in this process, the callers in another. Costs are the processor time of server and workers
per sent picture while all sessions speak. ``LONG=1`` runs sessions in turn for half an hour.
"""

import asyncio
import gc
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.caller_process import caller_process
from benchmarks.report import Report, at_most
from benchmarks.signals import speech
from benchmarks.stage import built_in, painted, speech_file
from lipstream.avatar_cache.avatar import load_prepared
from lipstream.realtime.server.sessions import Sessions

QUESTION = "What does a session keep, and does anything grow?"
COUNT = 4
SHELVES = (1, 8, 1, 8)
"""Alternating, so that a slow phase of the machine affects both."""
_COMING_AND_GOING_S = 30 * 60 if os.environ.get("LONG") else 40
_CALL_S, _SETTLE_S, _SPEECH_S = 4, 2, 8
_MIB = 1 << 20


def run() -> Report:
    """Measure."""
    return asyncio.run(_measure())


async def _measure() -> Report:
    name, sound = speech()
    report = Report(QUESTION, {"speech": name, "coming and going, s": _COMING_AND_GOING_S})
    async with speech_file(sound) as path:
        async with built_in(max_sessions=COUNT) as (sessions, weights):
            report.conditions["weights"] = weights
            await _come_and_go(sessions, path, 2 * _CALL_S)  # fills the caches before the first measurement
            kept = await _kept_mib(sessions, path)
            young, old = await _age(sessions, path)
            grown = await _come_and_go(sessions, path, _COMING_AND_GOING_S)
            _, after = await _age(sessions, path)
            mapped = _avatar_mib(sessions, min(manifest.id for manifest in sessions.store.list()))
        shelves = []
        for avatars in SHELVES:
            async with painted("FakePredictor", avatars=avatars) as sessions:
                shelves.append((await _age(sessions, path))[1])
    report.rows = [
        {"what": f"a session, of {COUNT}", "value": round(kept, 1), "unit": "MiB"},
        {"what": "its avatar, shared by all of them: pictures, mapped", "value": mapped["pictures"], "unit": "MiB"},
        {"what": "its avatar, likewise: features and crops, mapped", "value": mapped["features"], "unit": "MiB"},
        {"what": "growth while sessions came and went", "value": round(grown, 2), "unit": "%"},
        {"what": "a picture in a session's first seconds", "value": round(young, 2), "unit": "ms"},
        {"what": "a picture later in the session", "value": round(old, 2), "unit": "ms"},
        {"what": "a picture after sessions came and went", "value": round(after, 2), "unit": "ms"},
        *(
            {"what": f"a picture, painted mouths, {avatars} avatars there", "value": round(ms, 2), "unit": "ms"}
            for avatars, ms in zip(SHELVES, shelves, strict=True)
        ),
    ]
    report.goals = [
        at_most("memory of a session", round(kept, 1), 30, "MiB"),
        at_most("growth while sessions came and went", round(grown, 2), 1.0, "%"),
        at_most("cost of a picture, later against earlier", round(old / young, 2), 1.15, ""),
        at_most("cost of a picture, after other sessions ended", round(after / old, 2), 1.15, ""),
        at_most(
            "cost of a picture, many avatars against one", round(sum(shelves[1::2]) / sum(shelves[::2]), 2), 1.15, ""
        ),
    ]
    return report


async def _kept_mib(sessions: Sessions, speech_path: Path) -> float:
    before = _memory(sessions)
    async with caller_process(COUNT, speech=speech_path, keep_payloads=False) as callers:
        created = [await sessions.create(None, offer) for offer in callers.offers]
        await callers.accept([answer or "" for _, answer in created])
        await asyncio.sleep(_SETTLE_S + _SPEECH_S)
        kept = (_memory(sessions) - before) / COUNT
        await callers.stop()
    for session, _ in created:
        await sessions.delete(session.id)
    return kept


async def _come_and_go(sessions: Sessions, speech_path: Path, seconds: float) -> float:
    """Run calls in pairs, one pair after another; return the growth from the first third to the last, %."""
    seen = []
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        async with caller_process(2, speech=speech_path, keep_payloads=False) as callers:
            created = [await sessions.create(None, offer) for offer in callers.offers]
            await callers.accept([answer or "" for _, answer in created])
            await asyncio.sleep(_CALL_S)
            await callers.stop()
        for session, _ in created:
            await sessions.delete(session.id)
        seen.append(_memory(sessions))
    third = max(1, len(seen) // 3)
    return 100 * (float(np.median(seen[-third:])) / float(np.median(seen[:third])) - 1)


async def _age(sessions: Sessions, speech_path: Path) -> tuple[float, float]:
    """Return the processor time per picture, ms, early and late in a session."""
    async with caller_process(2, speech=speech_path, keep_payloads=False) as callers:
        created = [await sessions.create(None, offer) for offer in callers.offers]
        await callers.accept([answer or "" for _, answer in created])
        await asyncio.sleep(_SETTLE_S)
        costs = []
        for _ in range(2):
            before = _cpu_s(sessions), _pictures(sessions)
            await asyncio.sleep(_SPEECH_S)
            after = _cpu_s(sessions), _pictures(sessions)
            costs.append(1000 * (after[0] - before[0]) / max(1, after[1] - before[1]))
        await callers.stop()
    for session, _ in created:
        await sessions.delete(session.id)
    return costs[0], costs[1]


def _pictures(sessions: Sessions) -> int:
    return sum(c.rendered + c.idle + c.repeated for c in (session.playout.counts for session in sessions.all()))


def _cpu_s(sessions: Sessions) -> float:
    return float(sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in _processes(sessions)))


def _processes(sessions: Sessions) -> list[int]:
    return [os.getpid(), *sessions.workers.pids, *sessions.pictures.pids]


def _memory(sessions: Sessions) -> float:
    """Return the private memory of server and workers, MiB, without shared mapped files."""
    gc.collect()
    return float(sum(psutil.Process(pid).memory_full_info().uss for pid in _processes(sessions))) / _MIB


def _avatar_mib(sessions: Sessions, avatar_id: str) -> dict[str, Any]:
    metadata = sessions.workers.members[0].metadata
    assert metadata is not None
    sizes = load_prepared(sessions.store.load(avatar_id), metadata.fingerprint).bytes()
    return {
        "pictures": round(sizes["pictures"] / _MIB, 1),
        "features": round((sizes["features"] + sizes["crops"]) / _MIB, 1),
    }

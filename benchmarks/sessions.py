"""How many sessions can speak at once, and how many can be idle?

All sessions speak all the time, each from another position of the same speech; the clients run in other processes. All
clients but one only count packets. One keeps its pictures; its last ones are decoded afterwards and compared with the
painted ones. Lateness is the time from a picture's due time to the sending of its packets. Processor time is given by
part, in percent of one core; the clients' is separate, as they would not run on a server. The time of other processes
and the time stolen by a virtual machine's host are given too: with much of either, the figures are not the server's.
Before the run, spinning threads measure how often the host takes a core away (`benchmarks.host`). Where that is often,
or other processes take much of a core, no goal of lateness is judged, and the number of sessions that the machine holds
is bounded by processor time alone.

``SPEAKING="4 8" IDLE="16" FULL_WIDTH="2 3"`` measures other numbers of sessions; the last are with a network of the
published width. ``PRECISION=int8`` runs the networks with 8 bits.
"""

import asyncio
import os
import threading
from collections import defaultdict
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil

from benchmarks.caller_process import CallerProcess, caller_process
from benchmarks.full_rate import has_full_rate, largest_at_full_rate
from benchmarks.host import describe, host_gaps, proves_lateness
from benchmarks.report import Goal, Report, at_least, at_most
from benchmarks.signals import speech
from benchmarks.stage import PRECISION, built_in, full_width, speech_file
from benchmarks.watch import Onlooker, Watch
from lipstream.realtime.encoding.encoded_unit import RAW_PICTURES, EncodedUnit
from lipstream.realtime.metrics import percentiles
from lipstream.realtime.picture.i420 import planes
from lipstream.realtime.server.sessions import Sessions
from lipstream.realtime.session.session import Session
from lipstream.realtime.test_client.call_recording import CallRecording, DecodedPicture, decode_pictures
from lipstream.realtime.test_client.click_track import Sound
from lipstream.realtime.timeline import FRAME_RATE_HZ, PTS_PER_FRAME

QUESTION = "How many sessions can speak at once?"
COUNTS = tuple(map(int, os.environ.get("SPEAKING", "1 2 4 6 8").split()))
IDLE = tuple(map(int, os.environ.get("IDLE", "8 16").split()))
FULL_WIDTH = tuple(map(int, os.environ.get("FULL_WIDTH", "3").split()))
LIMIT_SHARE, LIMIT_MS = 1.0, 40.0
LEAST_KBITS, LEAST_PSNR_DB = 800, 36.0
MOST_OTHERS = 20.0
"""Processor time of other processes, % of a core, up to which lateness is the server's."""
_SETTLE_S, _SPEECH_S = 3, 15
_SERVER = ("loop", "threads", "pictures", "worker")
"""Parts of the processor time that a server spends; the rest is the clients' and others'."""
_SPEAKING, _IDLE, _LARGE = "speaking", "idle", "speaking at full width"
_OF_LATENESS = (_SPEAKING, _IDLE, _LARGE, "late pictures", "25 fps", "leaving p99")
"""Beginnings of the names of goals that depend on lateness."""
_COMPARED = 100
"""Number of last pictures whose quality is measured; the bitrate has settled by then."""


def run() -> Report:
    """Measure."""
    return asyncio.run(_measure())


async def _measure() -> Report:
    name, sound = speech()
    report = Report(QUESTION)
    gaps = host_gaps()
    report.conditions = {"speech": name, "seconds": _SPEECH_S, "precision": PRECISION, "host": describe(gaps)}
    if COUNTS + IDLE:
        async with built_in(max_sessions=max(COUNTS + IDLE)) as (sessions, weights):
            report.conditions["weights"] = weights
            report.rows = [await _hold(sessions, _SPEAKING, count, sound) for count in COUNTS]
            report.rows += [await _hold(sessions, _IDLE, count, None) for count in IDLE]
    if FULL_WIDTH:
        async with full_width(max_sessions=max(FULL_WIDTH)) as (sessions, _):
            report.rows += [await _hold(sessions, _LARGE, count, sound) for count in FULL_WIDTH]
    wanted = {_SPEAKING: (COUNTS, 8), _IDLE: (IDLE, 16), _LARGE: (FULL_WIDTH, 3)}
    for who, (counts, least) in wanted.items():
        held = [row["sessions"] for row in report.rows if row["who"] == who and _holds(row)]
        report.goals += [at_least(f"{who} at once", max(held, default=0), least, "sessions")] if counts else []
    for row in report.rows:
        if row["who"] != _IDLE:
            report.goals += _goals(row)
    is_proved = proves_lateness(gaps) and all(row["others CPU %"] <= MOST_OTHERS for row in report.rows)
    if not is_proved:
        report.goals = [_unproved(goal) if goal.id.startswith(_OF_LATENESS) else goal for goal in report.goals]
    if COUNTS:
        report.conditions["this machine holds"] = _held(report.rows, is_proved=is_proved)
    return report


def _held(rows: list[dict[str, Any]], *, is_proved: bool) -> str:
    """Return how many speaking sessions the machine holds: seen in this run, and bounded by processor time.

    The bound is by all cores, by those of the network (all but one), and by the one of the event loop. It follows from
    the largest number that got its 25 pictures a second, as starved sessions take less.
    """
    speaking = [row for row in rows if row["who"] == _SPEAKING]
    seen = max((row["sessions"] for row in speaking if _holds(row)), default=0)
    most = largest_at_full_rate(rows, _SPEAKING) or speaking[0]
    each = {part: most[f"{part} CPU %"] / most["sessions"] for part in _SERVER}
    cores, whole = os.cpu_count() or 1, sum(each.values())
    bounds = {
        "all cores": 100 * cores / whole,
        "the network's": 100 * max(1, cores - 1) / max(each["worker"], 0.1),
        "the event loop's": 100 / max(each["loop"], 0.1),
    }
    least = min(bounds, key=lambda name: bounds[name])
    told = f"{seen} speaking sessions in this run" if is_proved else "no number that this run proves"
    took = f"{whole:.1f} % of a core each, {10 * whole / FRAME_RATE_HZ:.2f} ms a picture"
    return f"{told}; {took}: {int(bounds[least])} at the most, by {least}"


def _unproved(goal: Goal) -> Goal:
    return replace(goal, holds=None)


def _holds(row: dict[str, Any]) -> bool:
    return bool(row["late %"] <= LIMIT_SHARE and row["leaving p99"] <= LIMIT_MS and has_full_rate(row))


def _goals(row: dict[str, Any]) -> list[Goal]:
    of = f"{row['sessions']} {row['who']}"
    return [
        at_most(f"late pictures, {of}", row["late %"], LIMIT_SHARE, "%"),
        at_most(f"25 fps missed by, {of}", round(abs(row["fps min"] - FRAME_RATE_HZ), 2), 0.25, "fps"),
        at_most(f"leaving p99, {of}", row["leaving p99"], LIMIT_MS, "ms"),
        at_least(f"bitrate, {of}", row["kbit/s"], LEAST_KBITS, "kbit/s"),
        at_least(f"luma PSNR, {of}", row["PSNR dB"], LEAST_PSNR_DB, "dB"),
    ]


async def _hold(sessions: Sessions, who: str, count: int, sound: Sound | None) -> dict[str, Any]:
    """Let ``count`` sessions speak or idle; return the statistics of their pictures."""
    async with AsyncExitStack() as stack:
        path = None if sound is None else await stack.enter_async_context(speech_file(sound))
        clients = [await stack.enter_async_context(caller_process(1, speech=path))]
        if count > 1:
            several = caller_process(count - 1, speech=path, keep_payloads=False)
            clients.append(await stack.enter_async_context(several))
        held = []
        for client in clients:
            created = [await sessions.create(None, offer) for offer in client.offers]
            held += [session for session, _ in created]
            await client.accept([answer or "" for _, answer in created])
        await asyncio.sleep(_SETTLE_S)
        watches = [Watch(session) for session in held]
        cpu = _Cpu(sessions, clients)
        await asyncio.sleep(_SPEECH_S)
        shares = cpu.percent()
        late = [watch.late_percent() for watch in watches]
        late_ms = percentiles([ms for watch in watches for ms in watch.late_ms])
        mouth_ms = percentiles([ms for session in held for ms in session.playout.mouth_latency_ms])
        for watch in watches:
            watch.close()
        painted = await _paint(held[0])
        recordings = [recording for client in clients for recording in await client.stop()]
        for session in held:
            await sessions.delete(session.id)
    return {
        "who": who,
        "sessions": count,
        "fps min": round(min(_fps(recording) for recording in recordings), 2),
        "late %": round(float(np.mean(late)), 2),
        "worst %": round(max(late), 2),
        "mouth p50": mouth_ms["p50"],
        "mouth p95": mouth_ms["p95"],
        **{f"leaving {name}": value for name, value in late_ms.items()},
        "kbit/s": _kbits(recordings[0]),
        "PSNR dB": painted.psnr_db(list(decode_pictures(recordings[0].picture))),
        **shares,
    }


class _Painted(Onlooker):
    """The painted luma of one session, by frame."""

    def __init__(self, session: Session) -> None:
        self.luma: dict[int, npt.NDArray[np.uint8]] = {}
        super().__init__(session, RAW_PICTURES)

    def on_unit(self, unit: EncodedUnit) -> None:
        """Keep a picture's luma."""
        assert unit.raw is not None
        self.luma[unit.timestamp // PTS_PER_FRAME] = planes(unit.raw)[0].copy()

    def psnr_db(self, seen: list[DecodedPicture]) -> float | None:
        """Return the mean PSNR of the last pictures; as RTP timestamps start anywhere, the best shift is taken."""
        if not seen or not self.luma:
            return None
        last = max(self.luma)
        found = []
        for shift in range(-8, 9):
            values = []
            for picture in seen[-_COMPARED:]:
                frame = last + shift - (seen[-1].timestamp - picture.timestamp) // PTS_PER_FRAME
                if (luma := self.luma.get(frame)) is not None and luma.shape == picture.luma.shape:
                    error = np.square(picture.luma.astype(np.float32) - luma).mean()
                    values.append(10 * np.log10(255**2 / max(float(error), 1e-3)))
            found.append(float(np.mean(values)) if len(values) > _COMPARED // 2 else 0.0)
        return round(max(found), 1)


async def _paint(session: Session) -> _Painted:
    """Record the pictures painted for a session until there are enough to compare."""
    painted = _Painted(session)
    await asyncio.sleep(_COMPARED / FRAME_RATE_HZ)
    painted.close()
    return painted


class _Cpu:
    """Processor time by part since the construction."""

    def __init__(self, sessions: Sessions, clients: list[CallerProcess]) -> None:
        self._workers, self._clients = sessions.workers.pids, [client.pid for client in clients]
        self._pictures = sessions.pictures.pids
        self._began_s = asyncio.get_running_loop().time()
        self._before = self._now()

    def percent(self) -> dict[str, float]:
        """Return each part's share of one core, %; the share of others is all time of the machine but these parts."""
        elapsed_s = asyncio.get_running_loop().time() - self._began_s
        now = self._now()
        spent = {part: now[part] - self._before[part] for part in now}
        others = spent.pop("busy") - sum(seconds for part, seconds in spent.items() if part != "host")
        spent["others"] = max(0.0, others)
        return {f"{part} CPU %": round(100 * seconds / elapsed_s, 1) for part, seconds in spent.items()}

    def _now(self) -> dict[str, float]:
        times: defaultdict[str, float] = defaultdict(float)
        main = threading.main_thread().native_id
        for thread in psutil.Process(os.getpid()).threads():
            times["loop" if thread.id == main else "threads"] += thread.user_time + thread.system_time
        times["pictures"] = sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in self._pictures)
        times["worker"] = sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in self._workers)
        times["clients"] = sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in self._clients)
        machine = psutil.cpu_times()
        times["host"] = getattr(machine, "steal", 0.0)
        times["busy"] = sum(machine) - machine.idle - getattr(machine, "iowait", 0.0) - times["host"]
        return times


def _fps(recording: CallRecording) -> float:
    """Return the rate of received pictures after the first ones, pictures per second."""
    came = [packet.arrived_s for packet in recording.picture.packets if packet.marker]
    came = [at_s for at_s in came if at_s > came[0] + _SETTLE_S]
    return (len(came) - 1) / (came[-1] - came[0]) if len(came) > 1 else 0.0


def _kbits(recording: CallRecording) -> float:
    """Return the bitrate of received pictures after the first ones, kbit/s."""
    packets = recording.picture.packets
    packets = [packet for packet in packets if packet.arrived_s > packets[0].arrived_s + _SETTLE_S]
    if len(packets) < 2:
        return 0.0
    return round(8 * sum(len(p.payload) for p in packets) / (packets[-1].arrived_s - packets[0].arrived_s) / 1000)

"""How many sessions can speak at once, and how many can be idle?

All speak all the time, each in its own place of the same speech; the clients run in processes of their own. All but one
decode nothing: the one keeps what it gets, and afterwards its pictures are compared with those that were painted for
it. Lateness runs from the instant at which a picture is due to its leaving. Processor time is given by part, in
hundredths of one core, the clients' apart: they would not run on a server.
"""

import asyncio
import os
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil

from benchmarks.caller_process import CallerProcess, caller_process
from benchmarks.report import Goal, Report, at_least, at_most
from benchmarks.signals import speech
from benchmarks.stage import built_in, speech_file
from realtime.i420 import Picture, planes
from realtime.metrics import percentiles
from realtime.playout import PlayoutBuffer
from realtime.probe.clicks import Sound
from realtime.probe.recording import Recording, Seen, decode_pictures
from realtime.sessions import Sessions
from realtime.timeline import FRAME_RATE_HZ, PTS_PER_FRAME, frame_to_sample

QUESTION = "How many sessions can speak at once?"
COUNTS = (1, 2, 4, 6, 8)
IDLE = (8, 16)
LIMIT_SHARE, LIMIT_MS = 1.0, 40.0
LEAST_KBITS, LEAST_PSNR_DB = 800, 36.0
_SETTLE_S, _SPEECH_S = 3, 15
_COMPARED = 100
"""Pictures whose quality is measured: the last ones, when the bitrate has settled."""


def run() -> Report:
    """Measure."""
    return asyncio.run(_measure())


async def _measure() -> Report:
    name, sound = speech()
    report = Report(QUESTION)
    async with built_in(max_sessions=max(*COUNTS, *IDLE)) as (sessions, weights):
        report.conditions = {"weights": weights, "speech": name, "seconds": _SPEECH_S}
        report.rows = [await _hold(sessions, count, sound) for count in COUNTS]
        report.rows += [await _hold(sessions, count, None) for count in IDLE]
    held = [row["sessions"] for row in report.rows if row["who"] == "speaking" and _holds(row)]
    idle = [row["sessions"] for row in report.rows if row["who"] == "idle" and _holds(row)]
    report.goals = [at_least("sessions that speak at once", max(held, default=0), 8, "")]
    report.goals += [at_least("sessions that are idle at once", max(idle, default=0), 16, "")]
    for row in report.rows:
        if row["who"] == "speaking":
            report.goals += _goals(row)
    return report


def _holds(row: dict[str, Any]) -> bool:
    return bool(
        row["late %"] <= LIMIT_SHARE and row["leaving p99"] <= LIMIT_MS and row["fps min"] > FRAME_RATE_HZ - 0.25
    )


def _goals(row: dict[str, Any]) -> list[Goal]:
    of = f"{row['sessions']} sessions"
    return [
        at_most(f"late pictures, {of}", row["late %"], LIMIT_SHARE, "%"),
        at_most(f"25 fps missed by, {of}", round(abs(row["fps min"] - FRAME_RATE_HZ), 2), 0.25, "fps"),
        at_most(f"leaving p99, {of}", row["leaving p99"], LIMIT_MS, "ms"),
        at_least(f"bitrate, {of}", row["kbit/s"], LEAST_KBITS, "kbit/s"),
        at_least(f"luma PSNR, {of}", row["PSNR dB"], LEAST_PSNR_DB, "dB"),
    ]


async def _hold(sessions: Sessions, count: int, sound: Sound | None) -> dict[str, Any]:
    """Let ``count`` sessions speak, or idle, and return what became of their pictures."""
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
        painted = _Painted(held[0].playout)
        await asyncio.sleep(_SETTLE_S)
        watches = [_Watch(session.playout) for session in held]
        cpu = _Cpu(sessions, clients)
        await asyncio.sleep(_SPEECH_S)
        shares = cpu.percent()
        late = [watch.late_percent() for watch in watches]
        late_ms = percentiles([ms for watch in watches for ms in watch.late_ms])
        mouth_ms = percentiles([ms for session in held for ms in session.playout.mouth_latency_ms])
        recordings = [recording for client in clients for recording in await client.stop()]
        for session in held:
            await sessions.delete(session.id)
    return {
        "who": "idle" if sound is None else "speaking",
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


class _Watch:
    """Counts one session's pictures from now on."""

    def __init__(self, playout: PlayoutBuffer) -> None:
        self.late_ms: list[float] = []
        self._playout, self._before = playout, _late_and_all(playout)
        sent = playout.sent_picture

        def note(frame: int, now_s: float) -> None:
            self.late_ms.append((now_s - playout.clock.leaves_at(frame_to_sample(frame))) * 1000)
            sent(frame, now_s)

        playout.sent_picture = note  # type: ignore[method-assign]

    def late_percent(self) -> float:
        """Return the share of pictures that repeated a mouth or were dropped, %."""
        late, pictures = (now - before for now, before in zip(_late_and_all(self._playout), self._before, strict=True))
        return 100 * late / max(1, pictures)


class _Painted:
    """The luma that was painted for one session, by frame."""

    def __init__(self, playout: PlayoutBuffer) -> None:
        self._luma: dict[int, npt.NDArray[np.uint8]] = {}
        picture = playout.picture

        def keep(frame: int) -> Callable[[], Picture]:
            paint = picture(frame)

            def painted() -> Picture:
                result = paint()
                self._luma[frame] = planes(result)[0].copy()
                self._luma.pop(frame - 2 * _COMPARED, None)
                return result

            return painted

        playout.picture = keep  # type: ignore[method-assign]

    def psnr_db(self, seen: list[Seen]) -> float | None:
        """Return the mean over the last pictures; their timestamps begin anywhere: the best shift is the true one."""
        if not seen or not self._luma:
            return None
        last = max(self._luma)
        found = []
        for shift in range(-8, 9):
            values = []
            for picture in seen[-_COMPARED:]:
                frame = last + shift - (seen[-1].timestamp - picture.timestamp) // PTS_PER_FRAME
                if (luma := self._luma.get(frame)) is not None and luma.shape == picture.luma.shape:
                    error = np.square(picture.luma.astype(np.float32) - luma).mean()
                    values.append(10 * np.log10(255**2 / max(float(error), 1e-3)))
            found.append(float(np.mean(values)) if len(values) > _COMPARED // 2 else 0.0)
        return round(max(found), 1)


class _Cpu:
    """Processor time since now, by part."""

    def __init__(self, sessions: Sessions, clients: list[CallerProcess]) -> None:
        self._worker, self._clients = sessions.worker.pid, [client.pid for client in clients]
        self._began_s = asyncio.get_running_loop().time()
        self._before = self._now()

    def percent(self) -> dict[str, float]:
        """Return each part's share of one core, %."""
        elapsed_s = asyncio.get_running_loop().time() - self._began_s
        now = self._now()
        return {f"{part} CPU %": round(100 * (now[part] - self._before[part]) / elapsed_s, 1) for part in now}

    def _now(self) -> Counter[str]:
        times: Counter[str] = Counter()
        main = threading.main_thread().native_id
        for thread in psutil.Process(os.getpid()).threads():
            times["loop" if thread.id == main else "paint+encode"] += thread.user_time + thread.system_time
        times["worker"] = sum(psutil.Process(self._worker).cpu_times()[:2])
        times["clients"] = sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in self._clients)
        return times


def _late_and_all(playout: PlayoutBuffer) -> tuple[int, int]:
    counts = playout.counts
    late = counts.repeated + counts.dropped
    return late, late + counts.rendered + counts.idle


def _fps(recording: Recording) -> float:
    """Return the pictures a second that came, after the first ones."""
    came = [packet.arrived_s for packet in recording.picture.packets if packet.marker]
    came = [at_s for at_s in came if at_s > came[0] + _SETTLE_S]
    return (len(came) - 1) / (came[-1] - came[0]) if len(came) > 1 else 0.0


def _kbits(recording: Recording) -> float:
    """Return the bitrate of the pictures that came after the first ones, kbit/s."""
    packets = recording.picture.packets
    packets = [packet for packet in packets if packet.arrived_s > packets[0].arrived_s + _SETTLE_S]
    if len(packets) < 2:
        return 0.0
    return round(8 * sum(len(p.payload) for p in packets) / (packets[-1].arrived_s - packets[0].arrived_s) / 1000)

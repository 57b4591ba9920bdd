"""How many sessions can speak at once?

All speak all the time, each in its own place of the same speech; the clients run in a process of their own and decode
nothing. Lateness is that of a picture's leaving against its place on the playout clock.
"""

import asyncio
from typing import Any

import numpy as np
import psutil

from benchmarks.caller_process import caller_process
from benchmarks.report import Report, at_most
from benchmarks.signals import speech
from benchmarks.stage import built_in, speech_file
from realtime.metrics import percentiles
from realtime.playout import PlayoutBuffer
from realtime.probe.clicks import Sound
from realtime.probe.recording import Recording
from realtime.sessions import Sessions
from realtime.timeline import FRAME_RATE_HZ, frame_to_sample

QUESTION = "How many sessions can speak at once?"
COUNTS = (1, 2, 4)
LIMIT_SHARE = 1.0
_SETTLE_S, _SPEECH_S = 2, 20


def run() -> Report:
    """Measure."""
    return asyncio.run(_measure())


async def _measure() -> Report:
    name, sound = speech()
    report = Report(QUESTION)
    async with built_in(max_sessions=max(COUNTS)) as (sessions, weights):
        report.conditions = {"weights": weights, "speech": name, "seconds": _SPEECH_S}
        report.rows = [await _speak(sessions, count, sound) for count in COUNTS]
    report.goals = [
        at_most(f"late pictures, {r['sessions']} sessions", r["late %"], LIMIT_SHARE, "%") for r in report.rows
    ]
    report.goals += [
        at_most(f"25 fps missed by, {r['sessions']} sessions", abs(r["fps min"] - FRAME_RATE_HZ), 0.25, "fps")
        for r in report.rows
    ]
    return report


async def _speak(sessions: Sessions, count: int, sound: Sound) -> dict[str, Any]:
    """Let ``count`` sessions speak and return what became of their pictures."""
    async with speech_file(sound) as path, caller_process(count, speech=path, keep_payloads=False) as callers:
        created = [await sessions.create(None, offer) for offer in callers.offers]
        speaking = [session for session, _ in created]
        await callers.accept([answer or "" for _, answer in created])
        await asyncio.sleep(_SETTLE_S)
        watches = [_Watch(session.playout) for session in speaking]
        server, worker = psutil.Process(), psutil.Process(sessions.worker.pid)
        server.cpu_percent()
        worker.cpu_percent()
        await asyncio.sleep(_SPEECH_S)
        row = {"server CPU %": server.cpu_percent(), "worker CPU %": worker.cpu_percent()}
        shares = [watch.late_percent() for watch in watches]
        late_ms = percentiles([ms for watch in watches for ms in watch.late_ms])
        mouth_ms = percentiles([ms for session in speaking for ms in session.playout.mouth_latency_ms])
        recordings = await callers.stop()
        for session in speaking:
            await sessions.delete(session.id)
    return {
        "sessions": count,
        "fps min": round(min(_fps(recording) for recording in recordings), 2),
        "late %": round(float(np.mean(shares)), 2),
        "worst %": round(max(shares), 2),
        "mouth p50": mouth_ms["p50"],
        "mouth p95": mouth_ms["p95"],
        "leaving p95": late_ms["p95"],
        "leaving p99": late_ms["p99"],
        **row,
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


def _late_and_all(playout: PlayoutBuffer) -> tuple[int, int]:
    counts = playout.counts
    late = counts.repeated + counts.dropped
    return late, late + counts.rendered + counts.idle


def _fps(recording: Recording) -> float:
    """Return the pictures a second that came, after the first two seconds."""
    came = [packet.arrived_s for packet in recording.picture.packets if packet.marker]
    came = [at_s for at_s in came if at_s > came[0] + _SETTLE_S]
    return (len(came) - 1) / (came[-1] - came[0]) if len(came) > 1 else 0.0

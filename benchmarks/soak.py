"""Does anything grow or drift while four sessions speak for an hour over a link that loses 1 % each way?

``MINUTES`` in the environment is the length of the run (60). The first session plays clicks and shows flashes at exact
positions of its timeline, and its client decodes both for a while in each part of the run; the others play their
clients' microphones. Mouths are painted, not predicted by the network.
"""

import asyncio
import json
import os
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.report import Goal, Report, at_most
from benchmarks.served import FIRST_CLICKS, ServedProcess, fetch, served
from benchmarks.stage import FAKE_MOUTH
from lipstream.realtime.test_client.call_recording import CallRecording, decode_pictures, decode_sound
from lipstream.realtime.test_client.caller import Caller
from lipstream.realtime.test_client.click_track import find_clicks, find_flashes, offsets_ms, voice
from lipstream.realtime.timeline import SOUND_RATE_HZ

QUESTION = "Does anything grow or drift while four sessions speak for an hour over a bad link?"
SESSIONS = 4
LOST = 0.01
PARTS = 12
RSS_MB_PER_HOUR = 1.0
DRIFT_MS_PER_HOUR = 5.0
_SETTLE_S = 5.0
_LISTEN_S = 20.0
"""Time in each part during which clicks and flashes are recorded."""


@dataclass
class SoakPart:
    """Values of one part of the run.

    Attributes:
        end_h: Hours since the calls were connected.
        look: State of the server, see `benchmarks.served.ServedProcess.look`.
        offsets_ms: Offsets from clicks to flashes by media time, ms.
        arrival_ms: Offsets from clicks to flashes by arrival, ms.
        connected: Number of connected calls.
    """

    end_h: float
    look: dict[str, Any]
    offsets_ms: list[float]
    arrival_ms: list[float]
    connected: int

    def row(self) -> dict[str, Any]:
        """Return the part as a row of the table."""
        lag, sessions = self.look["lag_ms"], self.look["sessions"].values()
        return {
            "min": round(60 * self.end_h, 1),
            "connected": self.connected,
            "RSS MB": round(self.look["rss_mb"], 1),
            "worker MB": round(self.look["worker_rss_mb"] or 0, 1),
            "threads": self.look["threads"],
            "fds": self.look["descriptors"],
            "tasks": self.look["tasks"],
            "A/V ms": _median(self.offsets_ms),
            "arrival": _median(self.arrival_ms),
            "n": len(self.offsets_ms),
            "lag p99": lag["p99"],
            "repeated": sum(s["frames_repeated"] for s in sessions),
            "dropped": sum(s["frames_dropped"] for s in sessions),
            "log": len(self.look["log"]),
        }


@dataclass
class Soak:
    """Values of a whole run.

    Attributes:
        log: Log lines of level warning and above.
    """

    parts: list[SoakPart] = field(default_factory=list)
    log: list[str] = field(default_factory=list)

    def slope(self, value: str) -> float:
        """Return the growth of one of the server's figures per hour, without the first sixth of the run."""
        kept = self.parts[len(self.parts) // 6 :]
        return _slope([part.end_h for part in kept], [part.look[value] for part in kept])

    @property
    def drift_ms(self) -> float:
        """Drift between sound and picture by media time, ms per hour."""
        heard = [part for part in self.parts if part.offsets_ms]
        return _slope([part.end_h for part in heard], [float(np.median(part.offsets_ms)) for part in heard])


def run() -> Report:
    """Measure."""
    minutes = float(os.environ.get("MINUTES", "60"))
    soak = asyncio.run(soaked(60 * minutes / PARTS, parts=PARTS))
    report = Report(QUESTION, {"minutes": minutes, "sessions": SESSIONS, "lost each way": LOST, "log": soak.log[:20]})
    report.rows = [part.row() for part in soak.parts]
    lost = SESSIONS - min(part.connected for part in soak.parts)
    report.goals = [
        at_most("memory, per hour and session", round(soak.slope("rss_mb") / SESSIONS, 2), RSS_MB_PER_HOUR, "MB"),
        at_most("worker's memory, per hour and session", _rounded(soak, "worker_rss_mb"), RSS_MB_PER_HOUR, "MB"),
        at_most("A/V drift, per hour", round(abs(soak.drift_ms), 2), DRIFT_MS_PER_HOUR, "ms"),
        Goal("sessions lost", "0", lost, lost == 0),
        Goal("warnings and errors in the log", "0", len(soak.log), not soak.log),
    ]
    return report


async def soaked(part_s: float, *, parts: int, listen_s: float = _LISTEN_S) -> Soak:
    """Run four speaking sessions.

    Args:
        part_s: Length of a part, s.
        parts: Number of parts.
        listen_s: Time in each part during which clicks and flashes are recorded, s.
    """
    soak = Soak()
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(
            served(predictor="FlashPredictor", say=FIRST_CLICKS, max_sessions=SESSIONS)
        )
        sound = voice(0, 3 * SOUND_RATE_HZ)
        callers = [
            Caller(np.roll(sound, -index * sound.size // SESSIONS), keep_payloads=index == 0, lost=LOST)
            for index in range(SESSIONS)
        ]
        for caller in callers:
            stack.push_async_callback(caller.close)
            await _call(server, caller)
        await asyncio.sleep(_SETTLE_S)
        started_s = loop.time()
        for number in range(1, parts + 1):
            await _forget_until(started_s + number * part_s - listen_s, callers)
            await callers[0].ask_for_key_frame()
            await asyncio.sleep(max(0.0, started_s + number * part_s - loop.time()))
            look = await server.look()
            soak.log += look["log"]
            by_media, by_arrival = await asyncio.to_thread(_offsets, callers[0].recording.copy())
            connected = sum(caller.connected for caller in callers)
            soak.parts.append(SoakPart((loop.time() - started_s) / 3600, look, by_media, by_arrival, connected))
    return soak


async def _call(server: ServedProcess, caller: Caller) -> None:
    offer = {"sdp": await caller.offer(), "type": "offer"}
    status, _, body = await asyncio.to_thread(fetch, f"{server.url}/api/sessions", {"offer": offer})
    if status != 201:
        raise RuntimeError(f"{status}: {body.decode()}")
    await caller.accept(json.loads(body)["answer"]["sdp"])


async def _forget_until(end_s: float, callers: list[Caller]) -> None:
    """Wait, and discard recordings at intervals so that they stay short."""
    loop = asyncio.get_running_loop()
    while True:
        for caller in callers:
            caller.forget()
        if loop.time() >= end_s:
            return
        await asyncio.sleep(min(5.0, max(0.0, end_s - loop.time())))


def _offsets(recording: CallRecording) -> tuple[list[float], list[float]]:
    """Return by how much clicks precede their flashes, by media time and by arrival, ms."""
    if not recording.sound.packets or not recording.picture.packets:
        return [], []
    pictures = list(decode_pictures(recording.picture))
    if not pictures:  # the requested key frame did not arrive complete
        return [], []
    heard, seen = find_clicks(decode_sound(recording.sound)), find_flashes(pictures, FAKE_MOUTH)
    by_media = offsets_ms([media_s for media_s, _ in heard], [media_s for media_s, _ in seen])
    return by_media, offsets_ms([came_s for _, came_s in heard], [came_s for _, came_s in seen])


def _median(values: list[float]) -> float | None:
    return round(float(np.median(values)), 2) if values else None


def _rounded(soak: Soak, value: str) -> float:
    return round(soak.slope(value) / SESSIONS, 2)


def _slope(at: list[float], values: list[float]) -> float:
    """Return the slope of the least-squares line through values over ``at``."""
    return float(np.polyfit(at, values, 1)[0]) if len(at) > 1 else 0.0

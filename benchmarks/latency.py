"""How late is the mouth, how far apart are sound and picture, how soon is silence after an interruption?

One session at a time; the client runs in another process. Mouth latency is the time from the arrival of the packet with
a frame's first sample to the frame's leaving its track. The A/V offset is that of a click in the sound and the flash
that a painted mouth shows for it, at the client; positive for sound ahead. The error of the reports is the distance
between a click or flash as dated by the sender reports and its place on the playout clock.
"""

import asyncio
import time
from typing import Any

import numpy as np

from benchmarks.caller_process import caller_process
from benchmarks.report import Goal, Report, at_most
from benchmarks.signals import TimelineSource, speech
from benchmarks.stage import FAKE_MOUTH, built_in, painted, speech_file
from lipstream.realtime.clock import PlayoutClock
from lipstream.realtime.metrics import percentiles
from lipstream.realtime.rtc.aiortc_patches.sender import NTP_EPOCH_S
from lipstream.realtime.session.session import Session
from lipstream.realtime.test_client.call_recording import decode_pictures, decode_sound
from lipstream.realtime.test_client.click_track import CLICK_EVERY_FRAMES, clicks, find_clicks, find_flashes, offsets_ms
from lipstream.realtime.timeline import FRAME_RATE_HZ

QUESTION = "How late is the mouth, and how close to its sound?"
OVERHEAD_MS = 60
OFFSET_MS = 10
REPORT_MS = 2
TAIL_MS = 100
_SPEECH_S, _CLICKS_S = 30, 20
_INTERRUPTIONS = 20
_INTERRUPT_EVERY_S = 0.7


def run() -> Report:
    """Measure."""
    return asyncio.run(_measure())


async def _measure() -> Report:
    name, sound = speech()
    report = Report(QUESTION)
    async with built_in() as (sessions, weights), speech_file(sound) as path, caller_process(speech=path) as callers:
        session, answer = await sessions.create(None, callers.offers[0])
        assert answer is not None
        await callers.accept([answer])
        await asyncio.sleep(_SPEECH_S)
        figures = session.stats()
        mouth = list(session.playout.mouth_latency_ms)
        tails = await _interrupt(session)
        await callers.stop()
        report.conditions = {"weights": weights, "avatar": session.avatar_id, "speech": name}
        limit = session.look_ahead_ms + OVERHEAD_MS
    by_media, by_arrival, sound_reports, picture_reports = await _offsets()
    report.rows = [
        _row("mouth latency", mouth),
        _row("interrupt tail", tails),
        _row("|A/V offset|, media time", np.abs(by_media).tolist()),
        _row("|A/V offset|, arrival", np.abs(by_arrival).tolist()),
        _row("|error of sender reports|, sound", np.abs(sound_reports).tolist()),
        _row("|error of sender reports|, picture", np.abs(picture_reports).tolist()),
    ]
    report.conditions |= {
        "look-ahead, ms": session.look_ahead_ms,
        "A/V offset median, media time / arrival, ms": [round(float(np.median(o)), 2) for o in (by_media, by_arrival)],
        "mouths rendered / repeated / dropped": [
            *(figures["frames_rendered"], figures["frames_repeated"], figures["frames_dropped"])
        ],
    }
    report.goals = _goals(report.rows, limit)
    return report


async def _interrupt(session: Session) -> list[float]:
    """Interrupt repeatedly; return the times to the first silent packet, ms."""
    session.playout.interrupt_tail_ms.clear()
    for _ in range(_INTERRUPTIONS):
        await asyncio.sleep(_INTERRUPT_EVERY_S)
        session.speech.interrupt()
    await asyncio.sleep(_INTERRUPT_EVERY_S)
    return list(session.playout.interrupt_tail_ms)


async def _offsets() -> tuple[list[float], list[float], list[float], list[float]]:
    """Return by how much clicks precede flashes, by media time and by arrival, and the reports' errors, all ms."""
    async with painted("FlashPredictor") as sessions, caller_process() as callers:
        session, answer = await sessions.create(None, callers.offers[0])
        assert answer is not None
        session.speech.source = TimelineSource(session.clock, clicks)
        await callers.accept([answer])
        await asyncio.sleep(_CLICKS_S)
        (recording,) = await callers.stop()
    heard = find_clicks(decode_sound(recording.sound))
    seen = find_flashes(list(decode_pictures(recording.picture)), FAKE_MOUTH)
    heard_s, seen_s = ([media_s for media_s, _ in found] for found in (heard, seen))
    by_arrival = offsets_ms([came_s for _, came_s in heard], [came_s for _, came_s in seen])
    errors = [_report_errors_ms(found_s, session.clock) for found_s in (heard_s, seen_s)]
    return offsets_ms(heard_s, seen_s), by_arrival, errors[0], errors[1]


def _report_errors_ms(found_s: list[float], clock: PlayoutClock) -> list[float]:
    """Return the error of the sender reports for each click or flash, which lie on every 16th frame's start."""
    zero_s = NTP_EPOCH_S + time.time() - time.monotonic() + clock.leaves_at(0)
    period_s = CLICK_EVERY_FRAMES / FRAME_RATE_HZ
    periods = (np.array(found_s) - zero_s) / period_s
    return [float(error) for error in 1000 * period_s * (periods - np.round(periods))]


def _row(name: str, values_ms: list[float]) -> dict[str, Any]:
    largest = round(max(values_ms), 1) if values_ms else None
    return {"ms": name, **percentiles(values_ms), "max": largest, "n": len(values_ms)}


def _goals(rows: list[dict[str, Any]], latency_limit_ms: float) -> list[Goal]:
    mouth, tail, media, arrival = (row["p95"] for row in rows[:4])
    report_errors = [row["max"] for row in rows[4:]]
    return [
        at_most("mouth latency p95", mouth, latency_limit_ms, "ms"),
        at_most("interrupt tail p95", tail, TAIL_MS, "ms"),
        at_most("A/V offset by media time p95", media, OFFSET_MS, "ms"),
        at_most("A/V offset by arrival p95", arrival, OFFSET_MS, "ms"),
        at_most(
            "error of sender reports, at most", None if None in report_errors else max(report_errors), REPORT_MS, "ms"
        ),
    ]

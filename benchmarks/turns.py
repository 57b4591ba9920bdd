"""Whose turn is it, in a room with other sounds?

Prompts that a person recorded (Debian's ``asterisk-core-sounds-en-wav``) stand for visitors, with 3 s of silence around
each, at -26 dBFS. Other sounds lie under all of it, louder or softer than the visitor. A turn begins falsely if it
begins while nobody speaks. It ends late if it ends more than 1.5 s after the last word, or not before the next visitor.
Words are cut off if a turn begins more than 300 ms after the first sound, which are kept from before it, or ends before
the last.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import room_sounds
from benchmarks.report import Report, at_most
from benchmarks.room_sounds import Sound, at_level
from lipstream.realtime.audio.turn_detector import PRE_ROLL_SAMPLES, TurnBegan, TurnDetector, TurnEnded
from lipstream.realtime.audio.voice_detector import VoiceDetector
from lipstream.realtime.render import read_sound
from lipstream.realtime.timeline import BLOCK_SAMPLES, SAMPLE_RATE_HZ

PROMPTS = Path("/usr/share/asterisk/sounds/en_US_f_Allison")
NAMES = (
    "agent-incorrect",
    "conf-invalid",
    "conf-waitforleader",
    "cannot-complete-as-dialed",
    "dir-nomatch",
    "tt-somethingwrong",
    "vm-nobodyavail",
    "privacy-incorrect",
    "queue-thankyou",
    "invalid",
    "pbx-invalidpark",
    "ss-noservice",
)
_FAR_NAME = "demo-congrats"
_FAR, _CHOSEN = "a far voice", "WebRTC and Silero, near voices"
_VISITOR_DBFS = -26.0
_AROUND = 3 * SAMPLE_RATE_HZ
_LATE = round(1.5 * SAMPLE_RATE_HZ)
_SOFT = 0.02
"""Share of a prompt's greatest loudness below which it is silent."""
QUESTION = "Whose turn is it, in a room with other sounds?"
LEVELS_DB = (-10, -20, -30)


def visitors(names: tuple[str, ...] = NAMES) -> tuple[Sound, list[tuple[int, int]]]:
    """Return a sound of visitors one after the other, ``float32[n]``, and where each begins and ends."""
    parts, spans, at = [np.zeros(_AROUND, np.float32)], [], _AROUND
    for name in names:
        sound = at_level(_prompt(name), 1.0, _VISITOR_DBFS)
        first, end = loud_part(sound, BLOCK_SAMPLES)
        spans.append((at + first, at + end))
        parts += [sound, np.zeros(_AROUND, np.float32)]
        at += sound.size + _AROUND
    return np.concatenate(parts), spans


def loud_part(sound: Sound, block: int) -> tuple[int, int]:
    """Return where a prompt's first loud block begins and its last one ends, samples."""
    blocks = np.abs(sound[: sound.size // block * block]).reshape(-1, block).max(1)
    loud = np.flatnonzero(blocks > _SOFT * blocks.max())
    return int(loud[0]) * block, int(loud[-1] + 1) * block


def _prompt(name: str) -> Sound:
    return read_sound(PROMPTS / f"{name}.wav")[::3].copy()  # recorded at 8 kHz: nothing lies above 4 kHz


def backgrounds(count: int) -> dict[str, Sound]:
    """Return each background by its name, ``float32[count]``."""
    makers: dict[str, Callable[[int], Sound]] = {
        "ventilator": room_sounds.noise,
        "music": room_sounds.music,
        "keyboard": room_sounds.keyboard,
        "applause": room_sounds.applause,
        _FAR: lambda length: room_sounds.far_voice(_prompt(_FAR_NAME), length),
    }
    return {name: make(count) for name, make in makers.items()}


def detectors() -> dict[str, Callable[[], TurnDetector]]:
    """Return the ways to find turns that are compared."""

    def webrtc(far_db: float) -> TurnDetector:
        return TurnDetector(VoiceDetector(aggressiveness=2, noise_floor_db=-50.0), far_db=far_db)

    return {
        "WebRTC": lambda: webrtc(200.0),
        "WebRTC, near voices": lambda: webrtc(20.0),
        _CHOSEN: TurnDetector,
    }


def count_faults(sound: Sound, spans: list[tuple[int, int]], turns: TurnDetector) -> dict[str, int]:
    """Return how many turns begin falsely, end late, lose words, and are not noticed at all."""
    began: list[int] = []
    ended: list[int] = []
    for at in range(0, sound.size - BLOCK_SAMPLES + 1, BLOCK_SAMPLES):
        for event in turns.push(sound[at : at + BLOCK_SAMPLES], at + BLOCK_SAMPLES):
            if isinstance(event, TurnBegan):
                began.append(event.sample)
            elif isinstance(event, TurnEnded):
                ended.append(at + BLOCK_SAMPLES)
    return faults_of(began, ended + [sound.size] * (len(began) - len(ended)), spans)


def faults_of(began: list[int], ended: list[int], spans: list[tuple[int, int]]) -> dict[str, int]:
    """Return how many turns begin falsely, end late, lose words, and are not noticed at all.

    Args:
        began: Where the turns begin, 16 kHz.
        ended: When their ends were decided, 16 kHz.
        spans: Where each visitor begins and ends, 16 kHz.
    """
    counts = dict.fromkeys(("false begins", "late ends", "cut off", "missed"), 0)
    used: set[int] = set()
    for first, end in spans:
        own = [n for n in range(len(began)) if began[n] < end and ended[n] > first]
        used |= set(own)
        if not own:
            counts["missed"] += 1
            continue
        counts["late ends"] += ended[own[-1]] > end + _LATE
        counts["cut off"] += began[own[0]] - PRE_ROLL_SAMPLES > first or ended[own[-1]] < end
    counts["false begins"] = len(began) - len(used)
    return counts


def run() -> Report:
    """Measure each detector on each background and level."""
    sound, spans = visitors()
    report = Report(QUESTION, {"visitors": len(spans), "seconds": round(sound.size / SAMPLE_RATE_HZ)})
    rooms = backgrounds(sound.size)
    loudness = 10 ** (_VISITOR_DBFS / 20)
    times: dict[str, list[float]] = {name: [] for name in detectors()}
    mixed = {("nothing", 0): sound}
    mixed |= {(name, db): sound + at_level(room, loudness, db) for name, room in rooms.items() for db in LEVELS_DB}
    totals: dict[str, dict[str, int]] = {}
    for (name, db), heard in mixed.items():
        for way, make in detectors().items():
            begun_s = time.thread_time()
            counts = count_faults(heard, spans, make())
            times[way].append((time.thread_time() - begun_s) / (sound.size / SAMPLE_RATE_HZ))
            row: dict[str, Any] = {"beside": name, "dB": db, "by": way}
            report.rows.append(row | counts)
            whole = totals.setdefault(way, dict.fromkeys(counts, 0))
            totals[way] = {fault: whole[fault] + count for fault, count in counts.items()}
    for way, counts in totals.items():
        report.rows.append({"beside": "all", "dB": "", "by": way} | counts)
    report.conditions |= {f"share of a core, {way}": round(min(values), 4) for way, values in times.items()}
    report.conditions["threads"] = os.environ.get("OPENBLAS_NUM_THREADS", "as many as cores")
    others = [row for row in report.rows if row["by"] == _CHOSEN and row["beside"] not in ("all", _FAR)]
    for fault in ("false begins", "late ends", "cut off", "missed"):
        report.goals.append(at_most(f"{fault}, no other voice", sum(row[fault] for row in others), 0, "turns"))
    return report

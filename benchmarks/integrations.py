"""How soon does the library's face speak, alone and in agents' frameworks?

The library's figures are of a face in this process, with recorded speech pushed 100 ms at a time. Those of the
frameworks come from the programs of ``tests/integrations``, run by the interpreters that ``LIVEKIT`` and ``PIPECAT``
name, each with its framework installed; their rows are left out where none is named. What a room hears comes through
aiortc, whose jitter buffer keeps three packets of sound back, and each picture until the next begins: 60 ms of the
sound and of the tail and 40 ms of the picture are the listener's. Lines that begin with a dash say where the time goes.
``FACES=4`` is the number of faces that one engine serves in real time.
"""

import asyncio
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import Goal, Report, at_least, at_most
from benchmarks.signals import speech
from lipstream import Engine, Face
from lipstream.realtime.metrics import percentiles
from lipstream.realtime.timeline import FRAME_RATE_HZ, SOUND_RATE_HZ

QUESTION = "How soon does the library's face speak, alone and in agents' frameworks?"
RATE = SOUND_RATE_HZ
_FIRST_MS, _FIRST_P95_MS, _FRAME_MS = 5.0, 10.0, 4.0
_LOCAL_MS, _IN_SYNC_MS = (40.0, 60.0), 20.0
_ROOM_PICTURE_MS, _ROOM_SOUND_MS, _ROOM_TAIL_MS, _OFF_MS = (120.0, 160.0), (170.0, 210.0), 100.0, 40.0
_PEER_PICTURE_MS, _PEER_SOUND_MS, _ADDED_MS, _ADDED_TAIL_MS = (130.0, 180.0), (155.0, 205.0), (40.0, 60.0), 40.0
_UTTERANCES, _SECONDS = 50, 8


def run() -> Report:
    """Measure."""
    name, spoken = speech()
    sound = spoken[: _SECONDS * RATE]
    report = Report(QUESTION, {"speech": name, "seconds of speech": _SECONDS, "utterances": _UTTERANCES})
    with Engine() as engine:
        first, (frame, stages) = _first(engine, sound), _frame(engine, sound)
        faces = int(os.environ.get("FACES", "4"))
        live = asyncio.run(_live(engine, sound, faces))
    _note(report, "first frame, ms", first)
    _note(report, "a frame, ms", frame)
    _note(report, "a frame, where it goes, ms p50", stages)
    _note(report, f"{faces} faces in one process", live)
    report.goals = [
        at_most("push of 100 ms to the first picture and sound, p50", first["p50"], _FIRST_MS, "ms"),
        at_most("the same, p95", first["p95"], _FIRST_P95_MS, "ms"),
        at_most("a frame, whole", frame["p50"], _FRAME_MS, "ms"),
        at_least("pictures a second of each face in one process", live["pictures a second"], FRAME_RATE_HZ - 0.25, ""),
    ]
    if python := os.environ.get("LIVEKIT"):
        seen = _seen(python, "livekit_in_process")
        _note(report, "LiveKit", _of_livekit(seen))
        report.goals += _livekit_goals(seen)
        room = _seen(python, "livekit_in_room", INTERRUPTIONS="12")
        _note(report, "LiveKit, a server's face in a room", _of_room(room))
        report.goals += _room_goals(room)
    if python := os.environ.get("PIPECAT"):
        seen = _seen(python, "pipecat_in_process", TURNS="10")
        _note(report, "Pipecat", _of_pipecat(seen))
        report.goals += _pipecat_goals(seen)
    return report


def _note(report: Report, what: str, figures: dict[str, Any]) -> None:
    report.rows += [{"what": what, "figure": figure, "value": value} for figure, value in figures.items()]


def _first(engine: Engine, sound: np.ndarray) -> dict[str, Any]:
    """Return the time from a push of 100 ms to the first frame."""
    took_ms = []
    with Face(engine=engine, rate=RATE) as face:
        for utterance in range(_UTTERANCES):
            start = utterance * RATE // 10 % (sound.size - RATE // 10)
            begun_s = time.perf_counter()
            face.push(sound[start : start + RATE // 10])
            frame = next(iter(face))
            took_ms.append((time.perf_counter() - begun_s) * 1000)
            assert frame.sound is not None
            face.clear()
            list(face)
    return dict(percentiles(took_ms))


class _TimedFace(Face):
    """Notes how long the network and the painter take for each frame, ms."""

    network_ms: list[float]
    paint_ms: list[float]

    def show(self, avatar: str | None) -> None:
        super().show(avatar)
        self.network_ms, self.paint_ms = [], []
        compose = self._compositor.compose

        def timed(*what: Any) -> Any:
            begun_s = time.perf_counter()
            picture = compose(*what)
            self.paint_ms.append((time.perf_counter() - begun_s) * 1000)
            return picture

        self._compositor.compose = timed  # type: ignore[assignment, method-assign]

    def _draw(self, *what: Any) -> Any:
        begun_s = time.perf_counter()
        mouth = super()._draw(*what)
        self.network_ms.append((time.perf_counter() - begun_s) * 1000)
        return mouth


def _frame(engine: Engine, sound: np.ndarray) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the time of a frame, and where it goes."""
    took_ms = []
    with _TimedFace(engine=engine, rate=RATE) as face:
        face.push(sound)
        face.end()
        while not face.resting:
            begun_s = time.perf_counter()
            face.next_frame()
            took_ms.append((time.perf_counter() - begun_s) * 1000)
    whole = percentiles(took_ms)
    network, paint = (float(percentiles(took)["p50"] or 0) for took in (face.network_ms, face.paint_ms))
    rest = round(float(whole["p50"] or 0) - network - paint, 2)
    return dict(whole), {"network": network, "paint": paint, "mel, decisions, thread": rest}


async def _live(engine: Engine, sound: np.ndarray, count: int) -> dict[str, Any]:
    """Return the rate of pictures of several faces that speak at once."""

    async def speak(face: Face) -> float:
        face.push(sound)
        face.end()
        begun_s, shown = time.perf_counter(), 0
        async for frame in face.live():
            shown += 1
            if frame.ended:
                break
        return shown / (time.perf_counter() - begun_s)

    faces = [await asyncio.to_thread(Face, engine=engine, rate=RATE) for _ in range(count)]
    begun_s = time.process_time()
    rates = await asyncio.gather(*map(speak, faces))
    cpu = (time.process_time() - begun_s) / _SECONDS
    for face in faces:
        face.close()
    return {"pictures a second": round(min(rates), 2), "CPU %": round(100 * cpu, 1)}


def _seen(python: str, program: str, **variables: str) -> dict[str, Any]:
    """Run a program of the tests in another environment, with more variables; return what it saw."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "seen.json"
        path = os.pathsep.join(map(str, (Path.cwd(), *_plugins())))
        environment = os.environ | {"PYTHONPATH": path} | variables
        command = [python, "-m", f"tests.integrations.{program}", str(out)]
        subprocess.run(command, check=True, env=environment, timeout=300, capture_output=True)
        seen: dict[str, Any] = json.loads(out.read_text())
    return seen


def _plugins() -> list[Path]:
    return sorted(path for path in (Path.cwd() / "integrations").iterdir() if path.is_dir())


def _of_livekit(seen: dict[str, Any]) -> dict[str, Any]:
    spoken = [*seen["whole"][1:], *seen["interrupted"], seen["after_stall"]]
    return {
        **_shares({"sound ms": "sound_ms", "picture ms": "picture_ms"}, spoken),
        **_stages(spoken),
        "lips after sound ms, worst": max(abs(one["lips_after_sound_ms"]) for one in spoken),
        "after a stall": seen["after_stall"]["lips_after_sound_ms"],
        "tail ms, worst": max(one["tail_ms"] for one in seen["interrupted"]),
        "pictures a second": seen["pictures_a_second"],
    }


def _shares(names: dict[str, str], spoken: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the 50th and 95th percentile of some figures of utterances; one that showed no mouth is left out."""
    found = {name: percentiles([one[key] for one in spoken if one.get(key) is not None]) for name, key in names.items()}
    return {f"{name}, {share}": found[name][share] for name in names for share in ("p50", "p95")}


def _stages(spoken: list[dict[str, Any]]) -> dict[str, Any]:
    """Return where the time to the first picture and sound goes, in the median."""
    stages = [one["stages_ms"] for one in spoken if "stages_ms" in one]
    return {f"- {name}, ms p50": percentiles([one[name] for one in stages])["p50"] for name in stages[0]}


def _shares_goals(row: dict[str, Any], what: str, key: str, limits: tuple[float, float]) -> list[Goal]:
    shares = zip(("p50", "p95"), limits, strict=True)
    return [at_most(f"{what}, {share}", row[f"{key} ms, {share}"], most, "ms") for share, most in shares]


def _livekit_goals(seen: dict[str, Any]) -> list[Goal]:
    row = _of_livekit(seen)
    whole = [abs(one["events"][-1]["position_s"] - seen["speech_s"]) * 1000 for one in seen["whole"]]
    return [
        *_shares_goals(row, "LiveKit: say to picture at a local track", "picture", _LOCAL_MS),
        *_shares_goals(row, "LiveKit: say to sound at a local track", "sound", _LOCAL_MS),
        at_most("LiveKit: lips against sound, worst", row["lips after sound ms, worst"], _IN_SYNC_MS, "ms"),
        at_most("LiveKit: lips against sound after a stall of 1 s", abs(row["after a stall"]), _IN_SYNC_MS, "ms"),
        at_most("LiveKit: position of a whole utterance, off by", max(whole), _IN_SYNC_MS, "ms"),
        at_most("LiveKit: position at an interruption, off by", _off_ms(seen), _OFF_MS, "ms"),
    ]


def _off_ms(seen: dict[str, Any]) -> float:
    """Return the largest difference between a position at an interruption and what a listener has heard, ms."""
    off_s: list[float] = [abs(one["events"][-1]["position_s"] - one["heard_s"]) for one in seen["interrupted"]]
    return max(off_s) * 1000


def _of_room(seen: dict[str, Any]) -> dict[str, Any]:
    spoken = [*seen["whole"][1:], *seen["interrupted"]]
    return {
        **_shares({"picture ms": "picture_ms", "sound ms": "sound_ms"}, spoken),
        **_shares({"tail ms": "tail_ms"}, seen["interrupted"]),
        **_stages(spoken),
        "position at an interruption, off by ms": round(_off_ms(seen), 1),
        "pictures a second": seen["pictures_a_second"],
    }


def _room_goals(seen: dict[str, Any]) -> list[Goal]:
    row = _of_room(seen)
    whole = [abs(one["events"][-1]["position_s"] - seen["speech_s"]) * 1000 for one in seen["whole"]]
    return [
        *_shares_goals(row, "room: say to picture at the room's server", "picture", _ROOM_PICTURE_MS),
        *_shares_goals(row, "room: say to sound at the room's server", "sound", _ROOM_SOUND_MS),
        at_most("room: interruption to the last sound, p50", row["tail ms, p50"], _ROOM_TAIL_MS, "ms"),
        at_most("room: position of a whole utterance, off by", max(whole), _IN_SYNC_MS, "ms"),
        at_most("room: position at an interruption, off by", _off_ms(seen), _OFF_MS, "ms"),
    ]


def _of_pipecat(seen: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of a bot with a face, beside the same bot without one."""
    call, without = seen["call"], seen["without"]
    spoken = call["whole"][1:]
    return {
        **_shares({"picture ms": "picture_ms", "sound ms": "sound_ms"}, spoken),
        **_stages(spoken),
        **_shares({"tail ms": "tail_ms"}, call["interrupted"]),
        **_shares({"sound without a face ms": "sound_ms"}, without["whole"][1:]),
        **_shares({"tail without a face ms": "tail_ms"}, without["interrupted"]),
        "pictures a second": call["pictures_a_second"],
        "RTP clock": call["rtp_clock"],
    }


def _pipecat_goals(seen: dict[str, Any]) -> list[Goal]:
    row = _of_pipecat(seen)
    added = {share: row[f"sound ms, {share}"] - row[f"sound without a face ms, {share}"] for share in ("p50", "p95")}
    tail = row["tail ms, p50"] - row["tail without a face ms, p50"]
    return [
        *_shares_goals(row, "Pipecat: speech to picture at a peer", "picture", _PEER_PICTURE_MS),
        *_shares_goals(row, "Pipecat: speech to sound at a peer", "sound", _PEER_SOUND_MS),
        at_most("Pipecat: of which the face adds, p50", round(added["p50"], 1), _ADDED_MS[0], "ms"),
        at_most("Pipecat: of which the face adds, p95", round(added["p95"], 1), _ADDED_MS[1], "ms"),
        at_most("Pipecat: interruption to the last sound, added", round(tail, 1), _ADDED_TAIL_MS, "ms"),
    ]

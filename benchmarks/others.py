"""What does a mouth of other projects cost on this machine, and what one of Lipstream's?

    WAV2LIP=CHECKOUT LIVETALKING=CHECKOUT OTHERS_PYTHON=PYTHON python -m benchmarks others

Each project's own loop runs in a process of its own (`benchmarks.others_driver`), with random weights in the shape of
its network, by the interpreter that has its packages; default: this one. Rounds of all alternate, so that a change in
the machine's pace affects all of them. Lipstream draws with a random network of the published width and size, and with
its own weights. Nothing of the other projects is part of this one.
"""

import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.networks import random_network
from benchmarks.others_driver import LIVETALKING_BATCH
from benchmarks.report import Goal, Report, at_most
from lipstream.realtime.errors import SettingsError
from lipstream.realtime.lipsync.metadata import BUILT_IN_WEIGHTS
from lipstream.realtime.lipsync.openvino_backend import OpenVinoPredictor
from lipstream.realtime.lipsync.predictor import LARGEST_BATCH, draw_with

QUESTION = "What does a mouth of other projects cost on this machine, and what one of Lipstream's?"
PROJECTS = {
    "wav2lip": "Wav2Lip, inference.py, 96 px, batches of 128",
    "livetalking": f"LiveTalking, a session's loop, 256 px, batches of {LIVETALKING_BATCH}",
}
_DRIVER = Path(__file__).with_name("others_driver.py")
_PATIENCE_S, _FRAMES, _REPEATS = 1800.0, 16, 5

Figures = dict[str, float]


def run() -> Report:
    """Measure.

    Raises:
        SettingsError: If no checkout is given.
    """
    checkouts = {name: Path(os.environ[name.upper()]) for name in PROJECTS if os.environ.get(name.upper())}
    if not checkouts:
        raise SettingsError("set WAV2LIP or LIVETALKING to a checkout of that project")
    seconds, rounds = int(os.environ.get("SECONDS_EACH", "8")), int(os.environ.get("ROUNDS", "3"))
    python = os.environ.get("OTHERS_PYTHON", sys.executable)
    calls: dict[str, Callable[[], Figures]] = {
        PROJECTS[name]: functools.partial(time_project, name, checkout, seconds, python)
        for name, checkout in checkouts.items()
    }
    with tempfile.TemporaryDirectory() as folder:
        calls |= _own_calls(Path(folder))
        found: dict[str, list[Figures]] = {name: [] for name in calls}
        for _ in range(rounds):
            for name, call in calls.items():
                found[name].append(call())
    report = Report(QUESTION, {name: _commit(checkout) for name, checkout in checkouts.items()})
    report.conditions |= {"sound, s": seconds, "rounds": rounds, "cores": os.cpu_count()}
    report.rows = _rows(found)
    report.goals = _goals(report.rows)
    return report


def time_project(name: str, checkout: Path, seconds: int, python: str) -> Figures:
    """Run another project's loop; return ``frames``, ``loop_ms`` and ``network_ms`` a frame, and ``threads``.

    Args:
        name: One of :data:`PROJECTS`.
        seconds: Length of the sound, s.
        python: Interpreter that has the project's packages.

    Raises:
        SettingsError: If the project's code fails; the message ends with its last lines.
    """
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder, "result.json")
        command = [python, str(_DRIVER), name, str(checkout.absolute()), str(seconds), str(result)]
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=_PATIENCE_S
        )
        if done.returncode or not result.exists():
            raise SettingsError(f"{name} could not be timed: {done.stderr.strip()[-400:]}")
        figures: Figures = json.loads(result.read_text())
    return figures


def _own_calls(folder: Path) -> dict[str, Callable[[], Figures]]:
    published = random_network(1.0, 96, folder)
    threads = os.cpu_count() or 1
    predictors = {
        "Lipstream, the same width, 96 px, fp32": (published, "f32"),
        "Lipstream, the same width, 96 px, bf16": (published, "bf16"),
        "Lipstream, its own weights, bf16": (BUILT_IN_WEIGHTS, "bf16"),
    }
    return {
        f"{name}, batches of {batch}": _own_call(
            OpenVinoPredictor(weights, folder, precision=precision, threads=threads), batch, threads
        )
        for name, (weights, precision) in predictors.items()
        for batch in (1, LARGEST_BATCH)
    }


def _own_call(predictor: OpenVinoPredictor, batch: int, threads: int) -> Callable[[], Figures]:
    size = predictor.metadata.size
    crops = np.random.default_rng(1).integers(0, 256, (_FRAMES, size, size, 3), np.uint8)
    mel = np.random.default_rng(0).uniform(-4, 4, (batch, 80, 16)).astype(np.float32)
    features, (draw, _) = predictor.encode_faces(crops), draw_with(predictor)
    frames = np.arange(batch)
    draw(mel, features, frames)

    def call() -> Figures:
        begun_s = time.perf_counter()
        for _ in range(_REPEATS):
            draw(mel, features, frames)
        drawn = _REPEATS * batch
        return {"frames": drawn, "network_ms": 1000 * (time.perf_counter() - begun_s) / drawn, "threads": threads}

    return call


def _rows(found: dict[str, list[Figures]]) -> list[dict[str, Any]]:
    """Return a row for each, with medians; ratios are medians of those within each round."""
    base = next(iter(found.values()))
    rows = []
    for name, rounds in found.items():
        ratios = [figures["network_ms"] / other["network_ms"] for figures, other in zip(rounds, base, strict=True)]
        loops = [figures["loop_ms"] for figures in rounds if "loop_ms" in figures]
        rows.append(
            {
                "who": name,
                "network, ms a mouth": round(statistics.median(figures["network_ms"] for figures in rounds), 2),
                "loop, ms a frame": round(statistics.median(loops), 2) if loops else None,
                "of the first": round(statistics.median(ratios), 3),
                "threads": int(rounds[0]["threads"]),
            }
        )
    return rows


def _goals(rows: list[dict[str, Any]]) -> list[Goal]:
    """Return the goal of the published network's cost, where the first row is Wav2Lip's own inference."""
    mine = {row["who"]: row["of the first"] for row in rows if rows[0]["who"] == PROJECTS["wav2lip"]}
    name = f"Lipstream, the same width, 96 px, bf16, batches of {LARGEST_BATCH}"
    return [at_most("full width, batch 8, of Wav2Lip's own inference", mine.get(name), 0.25, "")]


def _commit(checkout: Path) -> str:
    asked = subprocess.run(
        ["git", "-C", str(checkout), "log", "-1", "--format=%h %as"], capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() or "unknown"

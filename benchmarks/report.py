"""The result of a benchmark: rows for a table, goals, and the machine it ran on."""

import json
import os
import platform
import shutil
import subprocess
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
_PACKAGES = ("aiortc", "av", "numpy", "openvino")


@dataclass(frozen=True, slots=True)
class Goal:
    """One goal of a benchmark.

    Attributes:
        target: Required value in words.
        value: Measured value; ``None`` if it could not be measured.
        holds: Whether the goal is met; ``None`` if it could not be measured.
    """

    id: str
    target: str
    value: float | None
    holds: bool | None


def at_most(name: str, value: float | None, limit: float, unit: str) -> Goal:
    """Return the goal that ``value`` is at most ``limit``."""
    return Goal(name, f"<= {limit:g} {unit}", value, None if value is None else value <= limit)


def at_least(name: str, value: float | None, limit: float, unit: str) -> Goal:
    """Return the goal that ``value`` is at least ``limit``."""
    return Goal(name, f">= {limit:g} {unit}", value, None if value is None else value >= limit)


@dataclass(slots=True)
class Report:
    """The complete result of one benchmark.

    Attributes:
        conditions: Circumstances that the rows depend on: weights, avatar, speech.
        rows: Table; every row has the same keys.
    """

    question: str
    conditions: dict[str, Any] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)


def machine() -> dict[str, Any]:
    """Return facts about the machine that the figures depend on."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load_1_min": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in _PACKAGES},
        "commit": _commit(),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
    }


def to_json(report: Report, where: dict[str, Any]) -> str:
    """Return a report and its machine as JSON."""
    goals = [asdict(goal) for goal in report.goals]
    whole = {"question": report.question, "machine": where, "conditions": report.conditions, "rows": report.rows}
    return json.dumps({**whole, "goals": goals}, indent=1) + "\n"


def to_text(report: Report, where: dict[str, Any]) -> str:
    """Return a report as text for a terminal."""
    lines = [report.question, f"  {where['processor']}, {where['cores']} cores, load {where['load_1_min']}"]
    lines += [f"  {name}: {value}" for name, value in report.conditions.items()]
    lines += ["", *table(report.rows), ""]
    marks = {True: "holds", False: "MISSED", None: "not measured"}
    lines += [f"  {goal.id}: {_cell(goal.value)} ({goal.target}) {marks[goal.holds]}" for goal in report.goals]
    return "\n".join(lines)


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Return rows with equal keys as the lines of a table."""
    if not rows:
        return []
    cells = [list(rows[0]), *([_cell(value) for value in row.values()] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    return ["  " + "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "unknown")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    if not shutil.which("git"):
        return None
    asked = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=RESULTS.parent, capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() or None

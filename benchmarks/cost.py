"""What does a session cost: which share of a machine, how much bandwidth, power and money?

A model of the figures of the last ``python -m benchmarks sessions``: processor time a session, of the largest number of
sessions that got all of their pictures, and the bitrate. The conditions say which machine, commit and day they are of.
Machines are filled to a share only, so that a peak finds room. A server has one
event loop, which is one core at most: larger machines run several. Numbers of sessions beyond the measured ones are the
model's and not seen.

Prices and powers are inputs in the environment: ``CORE_HOUR`` (money for one core, an hour), ``GB`` (money for a
gigabyte sent), ``CORE_WATTS`` (one busy core), ``FILL`` (share of the processor time in use), ``SPEAKING_SHARE`` (share
of the time in which a session speaks).
"""

import json
import math
import os
from dataclasses import dataclass
from typing import Any

from benchmarks.full_rate import largest_at_full_rate
from benchmarks.report import RESULTS, Report
from lipstream.realtime.errors import SettingsError

QUESTION = "What does a session cost?"
CORES = (2, 4, 8, 16, 32, 64)
_SERVER = ("loop CPU %", "threads CPU %", "pictures CPU %", "worker CPU %")
_SECONDS_AN_HOUR = 3600


@dataclass(frozen=True, slots=True)
class Prices:
    """What is put into the model.

    Attributes:
        core_hour: Money for one core for an hour.
        gigabyte: Money for a gigabyte sent to callers.
        core_watts: Power of one busy core, W.
        fill: Share of the processor time that is used at most, 0..1.
        speaking_share: Share of the time in which a session speaks, 0..1.
    """

    core_hour: float = 0.04
    gigabyte: float = 0.02
    core_watts: float = 6.0
    fill: float = 0.7
    speaking_share: float = 0.5


@dataclass(frozen=True, slots=True)
class SessionLoad:
    """What one session takes.

    Attributes:
        speaking_core: Share of a core while it speaks.
        idle_core: Share of a core while it is silent.
        loop_core: Share of a core that the event loop takes of it while it speaks.
        kbit_s: Bitrate towards its caller, kbit/s.
    """

    speaking_core: float
    idle_core: float
    loop_core: float
    kbit_s: float

    def core(self, speaking_share: float) -> float:
        """Return the share of a core of a session that speaks for a share of the time."""
        return speaking_share * self.speaking_core + (1 - speaking_share) * self.idle_core


def run() -> Report:
    """Work out the table."""
    path = RESULTS / "sessions.json"
    if not path.exists():
        raise SettingsError("there is no measurement of sessions: run python -m benchmarks sessions first")
    measured = json.loads(path.read_text())
    load, prices = measured_load(measured["rows"]), _prices()
    report = Report(QUESTION)
    report.conditions = {
        "measured on": _origin(measured["machine"]),
        "the run's host": measured["conditions"].get("host", "not known"),
        "a speaking session, % of a core": round(100 * load.speaking_core, 1),
        "an idle session, % of a core": round(100 * load.idle_core, 1),
        "a session, kbit/s": load.kbit_s,
        "money for a core, an hour": prices.core_hour,
        "money for a GB": prices.gigabyte,
        "power of a core, W": prices.core_watts,
        "processor time in use at most": prices.fill,
        "share of speech": prices.speaking_share,
    }
    report.rows = [cost(cores, load, prices) for cores in CORES]
    return report


def measured_load(rows: list[dict[str, Any]]) -> SessionLoad:
    """Return what a session takes, by the largest numbers of speaking and of idle sessions that got all pictures.

    Raises:
        SettingsError: If no number did, as on a busy machine or in a run of a part of the benchmark.
    """
    most = {}
    for who in ("speaking", "idle"):
        row = largest_at_full_rate(rows, who)
        if row is None:
            raise SettingsError(f"the last run has no {who} sessions with all pictures: run it whole and alone")
        most[who] = row
    core = {who: sum(row[part] for part in _SERVER) / 100 / row["sessions"] for who, row in most.items()}
    speaking = most["speaking"]
    loop = speaking["loop CPU %"] / 100 / speaking["sessions"]
    return SessionLoad(core["speaking"], core["idle"], loop, speaking["kbit/s"])


def cost(cores: int, load: SessionLoad, prices: Prices) -> dict[str, Any]:
    """Return one row: how many sessions a machine carries, and what each costs an hour."""
    each = load.core(prices.speaking_share)
    sessions = int(cores * prices.fill / each)
    processor = cores * prices.core_hour / sessions if sessions else None
    gigabytes = load.kbit_s * _SECONDS_AN_HOUR / 8e6
    traffic = gigabytes * prices.gigabyte
    return {
        "cores": cores,
        "sessions": sessions,
        "servers": math.ceil(sessions * load.loop_core / prices.fill),
        "Mbit/s out": round(sessions * load.kbit_s / 1000, 1),
        "W a session": round(each * prices.core_watts, 2),
        "GB an hour": round(gigabytes, 2),
        "processor an hour": None if processor is None else round(processor, 4),
        "traffic an hour": round(traffic, 4),
        "session-hour": None if processor is None else round(processor + traffic, 4),
    }


def _origin(machine: dict[str, Any]) -> str:
    day = machine.get("date") or "unknown day"
    return f"{machine['processor']}, {machine['cores']} cores, {day}, commit {machine['commit'] or 'unknown'}"


def _prices() -> Prices:
    """Return the prices that the environment names.

    Raises:
        SettingsError: If one is no number, or out of range.
    """
    names = {"core_hour": "CORE_HOUR", "gigabyte": "GB", "core_watts": "CORE_WATTS", "fill": "FILL"}
    names["speaking_share"] = "SPEAKING_SHARE"
    given = {}
    for field, name in names.items():
        if (text := os.environ.get(name)) is None:
            continue
        try:
            given[field] = float(text)
        except ValueError:
            raise SettingsError(f"{name} is a number, not {text!r}") from None
        most = 1.0 if field in ("fill", "speaking_share") else float("inf")
        if not 0 <= given[field] <= most or (field == "fill" and not given[field]):
            raise SettingsError(f"{name} is {'0 to 1' if most == 1 else '0 or more'}, not {text}")
    return Prices(**given)

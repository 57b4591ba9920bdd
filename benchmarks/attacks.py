"""What does a caller notice while somebody attacks the server?

The server may open 1,024 files and sockets. Each attack is compared with a control that uses the same processor time
without contacting the server. In the environment, ``PART_S`` is the length of a part (10 s) and ``ATTACKS`` names the
attacks, separated by commas (all).
"""

import asyncio
import json
import os
import secrets
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.attackers import ATTACKS
from benchmarks.http_attackers import HTTP_ATTACKS, WITH_KEYS
from benchmarks.report import Goal, Report, at_most
from benchmarks.served import fetch, served
from benchmarks.victim import Attack, Frames, attacked, calling

QUESTION = "What does a caller notice while somebody attacks the server?"
DESCRIPTORS = 1024
LOST_A_SECOND, LONGEST_GAP_MS, LOG_A_SECOND, MEMORY_MB = 1.0, 200.0, 10.0, 5.0
HELD, HELD_MB = "hold silent", 20.0
"""Open connections take memory as long as they last: 400 of them, some 20 KB each."""
HOG = "hog sessions"
FLOODS = ("ping", "fetch previews", "offer peers", "say often", "ask health", "guess tokens")
"""Attacks that the server answers with status 429, or by closing the connection."""
_SETTLE_S = 3.0


def run() -> Report:
    """Measure."""
    names = os.environ.get("ATTACKS", "")
    chosen = [attack for attack in (*ATTACKS, *HTTP_ATTACKS) if not names or attack.__name__ in names.split(",")]
    return asyncio.run(_measure(chosen, float(os.environ.get("PART_S", "10"))))


async def _measure(attacks: Sequence[Attack], part_s: float) -> Report:
    report = Report(QUESTION, {"descriptors": DESCRIPTORS, "seconds a part": part_s})
    for attack in attacks:
        name = attack.__name__.replace("_", " ")
        with tempfile.TemporaryDirectory() as folder:
            found, gained_mb, connected = await _one(attack, part_s, Path(folder))
        report.rows += [_row(name, part, found[part]) for part in ("before", "attack", "control", "after")]
        report.conditions[f"{name}: event loop held by its own work, ms"] = found["look"]["lag_ms"]["held"]
        report.conditions[f"{name}: attacker, of a core"] = round(found["attack_cpu_s"] / part_s, 2)
        if found["told"]:
            report.conditions[f"{name}: answers"] = ", ".join(f"{key} {n}" for key, n in sorted(found["told"].items()))
        report.goals += _goals(name, found, part_s, gained_mb, connected=connected)
    return report


async def _one(attack: Attack, part_s: float, folder: Path) -> tuple[dict[str, Any], float, bool]:
    """Return what one attack did, the server's growth in MB, and whether the victim is still connected."""
    keys, key, headers = None, "", None
    if attack in WITH_KEYS:
        key, keys = secrets.token_hex(16), folder / "keys"
        keys.write_text(f"{key}\n")
        headers = {"Authorization": f"Bearer {key}"}
    async with (
        served(
            predictor="FakePredictor",
            say="voice",
            max_sessions=4,
            descriptors=DESCRIPTORS,
            synthesizer="espeak-ng",
            secret_file=keys,
        ) as server,
        calling(server.url, headers) as victim,
    ):
        join = ""
        if key:
            _, _, answer = await asyncio.to_thread(fetch, f"{server.url}/api/tokens", {}, headers=headers)
            join = json.loads(answer)["token"]
        await asyncio.sleep(_SETTLE_S)
        calm = await server.look()
        found = await attacked(server, victim, attack, part_s, join=join, key=key)
        return found, found["look"]["rss_mb"] - calm["rss_mb"], victim.connected


def _row(attack: str, part: str, pictures: Frames) -> dict[str, Any]:
    return {
        "attack": attack,
        "part": part,
        "pictures a second": round(pictures.mean, 2),
        "fewest": min(pictures.per_second, default=0),
        "longest gap, ms": pictures.longest_gap_ms,
    }


def _goals(attack: str, found: dict[str, Any], part_s: float, gained_mb: float, *, connected: bool) -> list[Goal]:
    lost = round(found["control"].mean - found["attack"].mean, 2)
    newcomer_s, told = found["newcomer_s"], found["told"]
    besides = []
    if attack in FLOODS:
        refused = told.get("429", 0) + told.get("closed", 0)
        besides.append(Goal(f"{attack}: requests refused, or connections closed", "yes", refused, refused > 0))
    if attack == HOG:
        besides.append(at_most(f"{attack}: sessions of one token", told["held"], 1, ""))
    return [
        *besides,
        at_most(f"{attack}: pictures lost to the control", lost, LOST_A_SECOND, "a second"),
        at_most(f"{attack}: longest gap", found["attack"].longest_gap_ms, LONGEST_GAP_MS, "ms"),
        at_most(f"{attack}: memory", round(gained_mb, 1), MEMORY_MB if attack != HELD else HELD_MB, "MB more"),
        at_most(f"{attack}: log", round(found["look"]["log_lines"] / part_s, 2), LOG_A_SECOND, "lines a second"),
        Goal(f"{attack}: a new call connects, s", "yes", newcomer_s, newcomer_s is not None),
        Goal(f"{attack}: the call goes on", "yes", None, connected),
    ]

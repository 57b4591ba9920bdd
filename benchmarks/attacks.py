"""What does a caller notice while somebody attacks the server?

The server may open 1,024 files and sockets. Each attack is compared with a control that uses the same processor time
without contacting the server. In the environment, ``PART_S`` is the length of a part (10 s) and ``ATTACKS`` names the
attacks, separated by commas (all).
"""

import asyncio
import os
from collections.abc import Sequence
from typing import Any

from benchmarks.attackers import ATTACKS
from benchmarks.report import Goal, Report, at_most
from benchmarks.served import served
from benchmarks.victim import Attack, Frames, attacked, calling

QUESTION = "What does a caller notice while somebody attacks the server?"
DESCRIPTORS = 1024
LOST_A_SECOND, LONGEST_GAP_MS, LOG_A_SECOND, MEMORY_MB = 1.0, 200.0, 10.0, 5.0
HELD, HELD_MB = "hold silent", 20.0
"""Open connections take memory as long as they last: 400 of them, some 20 KB each."""
_SETTLE_S = 3.0


def run() -> Report:
    """Measure."""
    names = os.environ.get("ATTACKS", "")
    chosen = [attack for attack in ATTACKS if not names or attack.__name__ in names.split(",")]
    return asyncio.run(_measure(chosen, float(os.environ.get("PART_S", "10"))))


async def _measure(attacks: Sequence[Attack], part_s: float) -> Report:
    report = Report(QUESTION, {"descriptors": DESCRIPTORS, "seconds a part": part_s})
    for attack in attacks:
        name = attack.__name__.replace("_", " ")
        async with (
            served(
                predictor="FakePredictor",
                say="voice",
                max_sessions=4,
                descriptors=DESCRIPTORS,
                synthesizer="espeak-ng",
            ) as server,
            calling(server.url) as victim,
        ):
            await asyncio.sleep(_SETTLE_S)
            calm = await server.look()
            found = await attacked(server, victim, attack, part_s)
            gained_mb = found["look"]["rss_mb"] - calm["rss_mb"]
            report.rows += [_row(name, part, found[part]) for part in ("before", "attack", "control", "after")]
            report.conditions[f"{name}: event loop held by its own work, ms"] = found["look"]["lag_ms"]["held"]
            report.conditions[f"{name}: attacker, of a core"] = round(found["attack_cpu_s"] / part_s, 2)
            report.goals += _goals(name, found, part_s, gained_mb, connected=victim.connected)
    return report


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
    newcomer_s = found["newcomer_s"]
    return [
        at_most(f"{attack}: pictures lost to the control", lost, LOST_A_SECOND, "a second"),
        at_most(f"{attack}: longest gap", found["attack"].longest_gap_ms, LONGEST_GAP_MS, "ms"),
        at_most(f"{attack}: memory", round(gained_mb, 1), MEMORY_MB if attack != HELD else HELD_MB, "MB more"),
        at_most(f"{attack}: log", round(found["look"]["log_lines"] / part_s, 2), LOG_A_SECOND, "lines a second"),
        Goal(f"{attack}: a new call connects, s", "yes", newcomer_s, newcomer_s is not None),
        Goal(f"{attack}: the call goes on", "yes", None, connected),
    ]

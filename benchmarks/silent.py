"""What does a caller notice of 1,500 connections that say nothing?

The server may open 1,024 files and sockets; the connections come from one process and stay, and those that the server
closes come again at once. ``PART_S`` in the environment is the length of a part (10).
"""

import asyncio
import os
import select
import socket
import time
from typing import Any
from urllib.parse import urlsplit

from benchmarks.report import Goal, Report, at_most
from benchmarks.served import served
from benchmarks.victim import Pictures, attacked, calling

QUESTION = "What does a caller notice of 1,500 connections that say nothing?"
CONNECTIONS, DESCRIPTORS = 1500, 1024
LOST_A_SECOND, LONGEST_GAP_MS, LOG_A_SECOND = 1.0, 200.0, 10.0
_SETTLE_S = 3.0
_OPENED_AT_ONCE = 50
_PAUSE_S = 0.03


def run() -> Report:
    """Measure."""
    return asyncio.run(_measure(float(os.environ.get("PART_S", "10"))))


async def _measure(part_s: float) -> Report:
    conditions = {"connections": CONNECTIONS, "descriptors": DESCRIPTORS, "seconds a part": part_s}
    report = Report(QUESTION, conditions)
    async with (
        served(predictor="FakePredictor", say="voice", max_sessions=4, descriptors=DESCRIPTORS) as server,
        calling(server.url) as victim,
    ):
        await asyncio.sleep(_SETTLE_S)
        found = await attacked(server, victim, hold_silent, part_s)
        report.rows = [_row(name, found[name]) for name in ("before", "attack", "control", "after")]
        attack, control, newcomer_s = found["attack"], found["control"], found["newcomer_s"]
        report.conditions["event loop held by its own work in the attack, ms"] = found["look"]["lag_ms"]["held"]
        lines = found["look"]["log_lines"]
        report.goals = [
            at_most(
                "pictures a second lost to the control", round(control.mean - attack.mean, 2), LOST_A_SECOND, "a second"
            ),
            at_most("longest gap between pictures", attack.longest_gap_ms, LONGEST_GAP_MS, "ms"),
            Goal("a new call connects meanwhile", "yes", newcomer_s, newcomer_s is not None),
            at_most("lines of the log", round(lines / part_s, 2), LOG_A_SECOND, "a second"),
            Goal("the call goes on", "yes", None, victim.connected),
        ]
    return report


def _row(name: str, pictures: Pictures) -> dict[str, Any]:
    return {
        "part": name,
        "pictures a second": round(pictures.mean, 2),
        "fewest": min(pictures.per_second, default=0),
        "longest gap, ms": pictures.longest_gap_ms,
    }


def hold_silent(url: str, seconds: float) -> None:
    """Keep ``CONNECTIONS`` open without a word, and open those again that the server closes."""
    address = (urlsplit(url).hostname or "", urlsplit(url).port or 80)
    poll = select.epoll()
    open_: dict[int, socket.socket] = {}
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        for _ in range(min(_OPENED_AT_ONCE, CONNECTIONS - len(open_))):
            connection = socket.socket()
            connection.setblocking(False)
            connection.connect_ex(address)
            poll.register(connection, select.EPOLLRDHUP)
            open_[connection.fileno()] = connection
        for descriptor, _ in poll.poll(_PAUSE_S):
            open_.pop(descriptor).close()
        time.sleep(_PAUSE_S)
    for connection in open_.values():
        connection.close()

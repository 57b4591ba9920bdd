"""How soon is there a face: after the server's start, after an offer, after an avatar's name?

The server runs as for users, in a process of its own, on a store that it has used before; the client is in this
process. A picture counts when its last packet has arrived.

    BEFORE=CHECKOUT python -m benchmarks start

starts the server of another checkout too, as of an earlier commit, each on a store of its own. Both take turns
(``ROUNDS``, default 7), so that a change in the machine's pace affects both, and the ratio is that within each round.
"""

import asyncio
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from benchmarks.report import Report, at_most
from benchmarks.served import fetch
from lipstream.avatar_cache.avatar import load_prepared
from lipstream.avatar_cache.store import AvatarStore, default_root
from lipstream.realtime.lipsync.metadata import BUILT_IN_WEIGHTS, file_sha256
from lipstream.realtime.test_client.caller import Caller
from tests.server_process import free_port

QUESTION = "How soon is there a face?"
_STARTS, _OFFERS, _LOADS = 3, 8, 10
_PATIENCE_S = 60.0
_ROOT = Path(__file__).parent.parent


def run() -> Report:
    """Measure."""
    before = os.environ.get("BEFORE")
    return asyncio.run(_compare(Path(before).absolute(), int(os.environ.get("ROUNDS", "7"))) if before else _measure())


async def _compare(before: Path, rounds: int) -> Report:
    """Start the servers of two checkouts in turns."""
    roots = {"before": before, "now": _ROOT}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in roots}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(rounds + 1):
            for name in sorted(roots, reverse=bool(turn % 2)):
                times, _ = await _start(roots[name], offers=0, store=Path(folder, name))
                if turn:  # the first start only fills the store
                    found[name].append(times)
    ratios = sorted(now[1] / then[1] for now, then in zip(found["now"], found["before"], strict=True))
    report = Report(QUESTION, {"before": before.name, "rounds": rounds, "store": "used before"})
    report.conditions["first picture, of before, each round"] = [round(ratio, 2) for ratio in ratios]
    for name, starts in found.items():
        report.rows.append(_row(f"{name}: process start -> first picture", [picture for _, picture in starts]))
        report.rows.append(_row(f"{name}: process start -> ready", [ready for ready, _ in starts]))
    report.goals = [at_most("first picture, of before, median", round(statistics.median(ratios), 2), 0.7, "")]
    return report


async def _measure() -> Report:
    starts, offers = [], []
    for start in range(_STARTS + 1):
        to_first, later = await _start(_ROOT, offers=_OFFERS if start == _STARTS else 0)
        if start:  # the first start only fills the store
            starts.append(to_first)
        offers += later
    loads = [_load_ms() for _ in range(_LOADS)]
    report = Report(QUESTION, {"weights": BUILT_IN_WEIGHTS.name, "store": "used before"})
    report.rows = [
        _row("process start -> first picture", [picture for _, picture in starts]),
        _row("process start -> ready", [ready for ready, _ in starts]),
        _row("offer -> first picture", offers),
        _row("an avatar into memory", loads),
    ]
    report.goals = [
        at_most("process start to first picture", report.rows[0]["median"], 3000, "ms"),
        at_most("offer to first picture", report.rows[2]["median"], 300, "ms"),
    ]
    return report


async def _start(root: Path, *, offers: int, store: Path | None = None) -> tuple[tuple[float, float], list[float]]:
    """Start a server; return ms to readiness and to the first picture, and ms to that of ``offers`` further offers.

    Args:
        root: Checkout.
        store: Folder of its store; ``None`` for the user's own.
    """
    port, began_s = free_port(), time.monotonic()
    variables = _user_variables() | ({"LIPSTREAM_STORE": str(store)} if store else {})
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "run_server.py", "--port", str(port), "--log-level", "error"), cwd=root, env=variables
    )
    url = f"http://127.0.0.1:{port}"
    try:
        while not await asyncio.to_thread(_is_ready, url):
            if process.returncode is not None or time.monotonic() - began_s > _PATIENCE_S:
                raise RuntimeError("the server does not start")
            await asyncio.sleep(0.02)
        ready_s = time.monotonic()
        first_s = ready_s + await first_picture(url) / 1000
        return ((ready_s - began_s) * 1000, (first_s - began_s) * 1000), [
            await first_picture(url) for _ in range(offers)
        ]
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()


def _user_variables() -> dict[str, str]:
    """Return the environment variables without the one that keeps Python from storing compiled modules."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def _is_ready(url: str) -> bool:
    try:
        return fetch(f"{url}/readyz")[0] == 200
    except httpx.TransportError:
        return False


async def first_picture(url: str) -> float:
    """Call, and return the time from sending the offer to the first picture, ms."""
    caller = Caller()
    offer = {"sdp": await caller.offer(), "type": "offer"}
    began_s = time.monotonic()
    created = await asyncio.to_thread(_ask, f"{url}/api/sessions", "POST", {"offer": offer})
    await caller.accept(created["answer"]["sdp"])
    while not (whole := [p for p in caller.recording.picture.packets if p.marker]):
        if time.monotonic() - began_s > _PATIENCE_S:
            raise RuntimeError("no picture came")
        await asyncio.sleep(0.002)
    await caller.close()
    await asyncio.to_thread(_ask, url + created["urls"]["self"], "DELETE", None)
    return (whole[0].arrived_s - began_s) * 1000


def _ask(url: str, method: str, body: object) -> Any:
    status, _, answer = fetch(url, body, method)
    if status >= 300:
        raise RuntimeError(f"{method} {url}: {status}")
    return json.loads(answer) if answer else None


def _load_ms() -> float:
    """Return the time to find an avatar in the store and map its prepared files, ms."""
    began_s = time.perf_counter()
    store = AvatarStore(default_root())
    load_prepared(store.load("ada"), file_sha256(BUILT_IN_WEIGHTS)[:16])
    return (time.perf_counter() - began_s) * 1000


def _row(name: str, values_ms: list[float]) -> dict[str, Any]:
    return {
        "ms": name,
        "median": round(statistics.median(values_ms), 1),
        "max": round(max(values_ms), 1),
        "n": len(values_ms),
    }

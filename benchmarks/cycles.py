"""How long does it take to connect, and does hanging up leave anything behind?

Calls run one after another over HTTP, each up to its first decoded picture. Every second client hangs up before its
session is deleted, the others after. Then come offers that are never completed, and clients that vanish during a call.
``CYCLES`` in the environment is the number of calls (1000). The table compares the server at the end with the server
after the first calls.
"""

import asyncio
import json
import os
import time
from dataclasses import dataclass, field
from typing import Any

from benchmarks.report import Goal, Report, at_most
from benchmarks.served import ServedProcess, fetch, served
from lipstream.realtime.metrics import percentiles
from lipstream.realtime.test_client.call_recording import decode_pictures
from lipstream.realtime.test_client.caller import Caller

QUESTION = "How long does it take to connect, and does hanging up leave anything behind?"
WARM_UP = 100
"""Calls after which the server has filled its pools and caches and finished its late imports."""
GROWTH_MB = 10
ANSWER_MS, CONNECTED_MS, PICTURE_MS = 100, 250, 500
UNFINISHED, UNFINISHED_S = 4, 10.0
VANISHED, NOTICED_S, FREED_S = 4, 10.0, 2.0
_WAIT_S = 20.0
_STARTED_S = 5.0
"""Time after which a server has done what its start leaves for later, such as previews."""
_EXACT = ("threads", "descriptors", "tasks")


@dataclass
class Cycles:
    """Measured values.

    Attributes:
        answer_ms: Time from POST to the answer, for each call.
        connected_ms: Time from POST to the end of the handshake.
        picture_ms: Time from POST to the first decoded picture.
        unfinished_s: Time for which each offer that was never completed was kept.
        noticed_s: Time until the server noticed each vanished client.
        freed_s: Time from the last of these until the server was as before.
        base: State of the server after the warm-up, see `benchmarks.served.ServedProcess.look`.
        end: State of the server at the end.
        log: Log lines of level warning and above.
    """

    answer_ms: list[float] = field(default_factory=list)
    connected_ms: list[float] = field(default_factory=list)
    picture_ms: list[float] = field(default_factory=list)
    unfinished_s: list[float] = field(default_factory=list)
    noticed_s: list[float] = field(default_factory=list)
    freed_s: float = 0.0
    base: dict[str, Any] = field(default_factory=dict)
    end: dict[str, Any] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)

    def grown(self, what: str) -> float:
        """Return the growth of one of the server's figures since the warm-up."""
        return float(self.end[what] - self.base[what])


def run() -> Report:
    """Measure."""
    cycles = int(os.environ.get("CYCLES", "1000"))
    found = asyncio.run(cycled(cycles, warm_up=WARM_UP))
    report = Report(QUESTION, {"cycles": cycles, "of them to warm up": WARM_UP, "log": found.log[:20]})
    report.rows = [
        {"server": name, **{key: round(look[key], 1) for key in ("rss_mb", "worker_rss_mb", *_EXACT)}}
        for name, look in (("after the warm-up", found.base), ("at the end", found.end))
    ]
    times = {"POST -> answer": found.answer_ms, "connected": found.connected_ms, "first picture": found.picture_ms}
    report.conditions |= {f"{name}, ms": percentiles(values) for name, values in times.items()}
    report.goals = [
        at_most("memory", round(found.grown("rss_mb"), 1), GROWTH_MB, "MB more"),
        *(Goal(what, "as before", found.grown(what), found.grown(what) == 0) for what in _EXACT),
        Goal("warnings and errors in the log", "0", len(found.log), not found.log),
        at_most("POST to answer, p95", percentiles(found.answer_ms)["p95"], ANSWER_MS, "ms"),
        at_most("connected, p95", percentiles(found.connected_ms)["p95"], CONNECTED_MS, "ms"),
        at_most("first picture decoded, p95", percentiles(found.picture_ms)["p95"], PICTURE_MS, "ms"),
        at_most("an unfinished offer is kept", round(max(found.unfinished_s), 2), UNFINISHED_S, "s"),
        at_most("a client that vanished is noticed", round(max(found.noticed_s), 2), NOTICED_S, "s"),
        at_most("all that it held is free after another", round(found.freed_s, 2), FREED_S, "s"),
    ]
    return report


async def cycled(cycles: int, *, warm_up: int, unfinished: int = UNFINISHED, vanished: int = VANISHED) -> Cycles:
    """Call and hang up repeatedly; then make offers that are never completed, and calls whose clients vanish.

    Args:
        cycles: Number of calls.
        warm_up: Number of calls before the server's first inspection.
        unfinished: Number of offers that are never completed, all at once.
        vanished: Number of clients that vanish, all at once.
    """
    found = Cycles()
    async with served(predictor="FakePredictor") as server:
        for number in range(cycles):
            if number == warm_up:
                found.base = await _at_rest(server)
                found.log += found.base["log"]
            await _call(server, found, goodbye_first=bool(number % 2))
        found.unfinished_s = list(await asyncio.gather(*(_unfinished(server) for _ in range(unfinished))))
        await _vanish(server, found, vanished)
        found.end = await _at_rest(server, found.base)
        found.log += found.end["log"]
    return found


async def _connect(server: ServedProcess, caller: Caller, found: Cycles) -> tuple[str, float]:
    """Connect a client; return its session's URL and the time of the request."""
    offer = {"sdp": await caller.offer(), "type": "offer"}
    posted_s = time.monotonic()
    status, _, body = await asyncio.to_thread(fetch, f"{server.url}/api/sessions", {"offer": offer})
    if status != 201:
        raise RuntimeError(f"{status}: {body.decode()}")
    created = json.loads(body)
    found.answer_ms.append((time.monotonic() - posted_s) * 1000)
    await caller.accept(created["answer"]["sdp"])
    while not caller.connected:
        await _soon(posted_s)
    found.connected_ms.append((time.monotonic() - posted_s) * 1000)
    return server.url + created["urls"]["self"], posted_s


async def _call(server: ServedProcess, found: Cycles, *, goodbye_first: bool) -> None:
    caller = Caller()
    url, posted_s = await _connect(server, caller, found)
    picture = caller.recording.picture
    while not any(packet.marker for packet in picture.packets) or not any(decode_pictures(picture)):
        await _soon(posted_s)
    found.picture_ms.append((time.monotonic() - posted_s) * 1000)
    if goodbye_first:
        await caller.close()
    status, _, _ = await asyncio.to_thread(fetch, url, None, "DELETE")
    if status != 204:
        raise RuntimeError(f"DELETE: {status}")
    await caller.close()


async def _unfinished(server: ServedProcess) -> float:
    """Return how long an offer is kept, s; its client is gone and its list of candidates is open."""
    caller = Caller()
    lines = (await caller.offer()).splitlines(keepends=True)
    sdp = "".join(line for line in lines if "end-of-candidates" not in line)
    await caller.close()
    posted_s = time.monotonic()
    _, _, body = await asyncio.to_thread(fetch, f"{server.url}/api/sessions", {"offer": {"sdp": sdp, "type": "offer"}})
    url = server.url + json.loads(body)["urls"]["self"]
    while (await asyncio.to_thread(fetch, url))[0] != 404:  # noqa: ASYNC110 (the server decides)
        await asyncio.sleep(0.05)
    return time.monotonic() - posted_s


async def _vanish(server: ServedProcess, found: Cycles, count: int) -> None:
    """Measure when clients that send nothing more are noticed, and when only their sessions are left."""
    base = await _at_rest(server)
    callers = [Caller() for _ in range(count)]
    urls = [(await _connect(server, caller, found))[0] for caller in callers]
    for caller in callers:
        await caller.vanish()
    vanished_s = time.monotonic()

    async def missed(url: str) -> float:
        while json.loads((await asyncio.to_thread(fetch, url))[2])["peer"] is not None:
            await _soon(vanished_s)
            await asyncio.sleep(0.05)
        return time.monotonic()

    missed_s = await asyncio.gather(*map(missed, urls))
    found.noticed_s = [at_s - vanished_s for at_s in missed_s]
    look = await server.look()
    while any(look[what] != base[what] for what in _EXACT) and time.monotonic() < max(missed_s) + _WAIT_S:
        await asyncio.sleep(0.05)
        look = await server.look()
    found.freed_s = time.monotonic() - max(missed_s)
    found.log += look["log"]
    for caller, url in zip(callers, urls, strict=True):
        await caller.close()
        await asyncio.to_thread(fetch, url, None, "DELETE")


async def _at_rest(server: ServedProcess, base: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return an inspection of the server after background work has ended."""
    deadline_s = time.monotonic() + _WAIT_S
    await asyncio.sleep(1.0 if base else _STARTED_S)
    look = await server.look()
    log = look["log"]
    while base and any(look[what] != base[what] for what in _EXACT) and time.monotonic() < deadline_s:
        await asyncio.sleep(0.5)
        look = await server.look()
        log += look["log"]
    return look | {"log": log}


async def _soon(since_s: float) -> None:
    if time.monotonic() > since_s + _WAIT_S:
        raise TimeoutError("the call does not come up")
    await asyncio.sleep(0.002)

"""What do four speaking sessions notice of callers that mean harm, and of those who are one too many?

Mouths are painted. Hostile offers have 1,000 or 5,000 candidates, or as many as are accepted, and are then abandoned or
ended. Strangers send datagrams to the server's media ports. Each speaking client requests a hundred key frames a
second. Processor time is that of the server process. ``PART_S`` in the environment is the length of a part (15 s).
"""

import asyncio
import json
import os
import random
import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

from benchmarks.report import Goal, Report, at_most
from benchmarks.served import ServedProcess, fetch, served
from lipstream.realtime.metrics import percentiles
from lipstream.realtime.rtc.offer_terms import MAX_CANDIDATES
from lipstream.realtime.test_client.caller import Caller
from lipstream.realtime.timeline import FRAME_RATE_HZ

QUESTION = "What do four speaking sessions notice of callers that mean harm, and of one too many?"
SPEAKING = 4
LAG_P99_MS, LAG_MAX_MS, REFUSAL_MS, LOST_SHARE = 10, 50, 50, 2.0
KEYS_PER_S, KEYS_CPU_SHARE = 2, 20.0
_KEYS_ASKED_PER_S = 100
_PER_SECOND = 20
_BURST = 20
_SETTLE_S = 3.0

Harm = Callable[[], Awaitable[None]]


def run() -> Report:
    """Measure."""
    return asyncio.run(_measure(float(os.environ.get("PART_S", "15"))))


async def _measure(part_s: float) -> Report:
    report = Report(QUESTION, {"speaking": SPEAKING, "seconds a part": part_s, "requests a second": _PER_SECOND})
    answers: list[tuple[int, float, bool]] = []
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(
            served(predictor="FakePredictor", say="voice", max_sessions=SPEAKING + 1)
        )
        callers = [await _connected(server, stack) for _ in range(SPEAKING)]
        offers = _hostile_offers(await _dialled(stack).offer())

        async def offer() -> None:
            await _post(server, offers[len(answers) % len(offers)], answers)

        parts: list[tuple[str, Harm | None]] = [("nobody else", None), ("hostile offers", offer)]
        await asyncio.sleep(_SETTLE_S)
        for name, harm in parts:
            report.rows.append(await _part(name, part_s, server, callers, harm, answers))
        hostile_lag = report.rows[-1]
        ports = _media_ports(callers)
        report.rows.append(await _part("strangers", part_s, server, callers, lambda: _throw(ports), answers))
        report.rows.append(await _part("key frames asked", part_s, server, callers, lambda: _ask(callers), answers))
        asked = report.rows[-1]
        report.rows.append(await _part("nobody else", part_s, server, callers, None, answers))
        await _connected(server, stack)
        refused: list[tuple[int, float, bool]] = []
        good = _dialled(stack)
        one_more = await good.offer()
        full = await _part("over the limit", part_s, server, callers, lambda: _post(server, one_more, refused), refused)
        report.rows.append(full)
    quiet = report.rows[0]["pictures a second"]
    calm_cpu = statistics.mean(row["CPU s/s"] for row in report.rows if row["part"] == "nobody else")
    lost = 100 * (1 - full["pictures a second"] / quiet)
    told = all(status == 503 and retry for status, _, retry in refused)
    report.goals = [
        at_most("event loop with hostile offers, p99", hostile_lag["lag p99"], LAG_P99_MS, "ms"),
        at_most("event loop with hostile offers, at most", hostile_lag["lag max"], LAG_MAX_MS, "ms"),
        at_most("key frames a second and session, with 100 asked for", asked["key frames/s"], KEYS_PER_S, ""),
        at_most("more processor time for them", round(100 * (asked["CPU s/s"] / calm_cpu - 1), 1), KEYS_CPU_SHARE, "%"),
        at_most("refusal over the limit, p95", percentiles([ms for _, ms, _ in refused])["p95"], REFUSAL_MS, "ms"),
        Goal("refusals that are 503 with Retry-After", "all", float(told), told),
        at_most("pictures lost by the others at the limit", round(lost, 2), LOST_SHARE, "%"),
        Goal("sessions lost", "0", SPEAKING - full["connected"], full["connected"] == SPEAKING),
    ]
    return report


async def _part(
    name: str, seconds: float, server: ServedProcess, callers: list[Caller], harm: Harm | None, answers: list[Any]
) -> dict[str, Any]:
    """Wait for some time, calling ``harm`` ``_PER_SECOND`` times a second; return a row of the table."""
    loop = asyncio.get_running_loop()
    before = await server.look()
    answers.clear()
    for caller in callers:
        caller.forget()
    started_s = loop.time()
    while loop.time() < started_s + seconds:
        due_s = loop.time() + 1 / _PER_SECOND
        if harm:
            await harm()
        await asyncio.sleep(max(0.0, due_s - loop.time()))
    passed_s = loop.time() - started_s
    pictures = min(sum(packet.marker for packet in caller.recording.picture.packets) for caller in callers)
    look = await server.look()
    return {
        "part": name,
        "pictures a second": round(min(pictures / passed_s, FRAME_RATE_HZ), 2),
        "lag p50": look["lag_ms"]["p50"],
        "lag p99": look["lag_ms"]["p99"],
        "lag max": look["lag_ms"]["max"],
        "CPU s/s": round((look["cpu_s"] - before["cpu_s"]) / passed_s, 3),
        "key frames/s": round((_key_frames(look) - _key_frames(before)) / passed_s / SPEAKING, 2),
        "connected": sum(caller.connected for caller in callers),
        "answers": dict(sorted(Counter(status for status, _, _ in answers).items())),
        "answered p95, ms": percentiles([ms for _, ms, _ in answers])["p95"],
        "log": len(look["log"]),
    }


def _key_frames(look: dict[str, Any]) -> int:
    """Return the number of key frames sent by the speaking sessions, the oldest ones, to connected clients."""
    sessions = list(look["sessions"].values())[:SPEAKING]
    return sum(session["peer"]["video"]["key_frames"] for session in sessions if session["peer"])


async def _ask(callers: list[Caller]) -> None:
    """Let each client request its share of the key frames."""
    for caller in callers:
        for _ in range(_KEYS_ASKED_PER_S // _PER_SECOND):
            await caller.ask_for_key_frame()


async def _post(server: ServedProcess, sdp: str, answers: list[tuple[int, float, bool]]) -> None:
    posted_s = time.monotonic()
    body = {"offer": {"sdp": sdp, "type": "offer"}}
    status, headers, answer = await asyncio.to_thread(fetch, f"{server.url}/api/sessions", body)
    answers.append((status, (time.monotonic() - posted_s) * 1000, "retry-after" in headers))
    if status == 201:
        await asyncio.to_thread(fetch, server.url + json.loads(answer)["urls"]["self"], None, "DELETE")


def _hostile_offers(offer: str) -> list[str]:
    """Return offers with 1,000, with 5,000 and with the most accepted candidates, each with another address."""
    head, _, tail = offer.partition("a=candidate")
    tail = tail.partition("\r\n")[2]

    def with_candidates(count: int) -> str:
        lines = (f"a=candidate:{n} 1 udp 1 10.{n >> 8 & 255}.{n & 255}.1 {n + 1} typ host\r\n" for n in range(count))
        return head + "".join(lines) + tail

    return [with_candidates(1000), with_candidates(5000), with_candidates(MAX_CANDIDATES - 2)]


def _dialled(stack: AsyncExitStack) -> Caller:
    caller = Caller(keep_payloads=False)
    stack.push_async_callback(caller.close)
    return caller


async def _connected(server: ServedProcess, stack: AsyncExitStack) -> Caller:
    caller = _dialled(stack)
    body = {"offer": {"sdp": await caller.offer(), "type": "offer"}}
    status, _, answer = await asyncio.to_thread(fetch, f"{server.url}/api/sessions", body)
    if status != 201:
        raise RuntimeError(f"{status}: {answer.decode()}")
    await caller.accept(json.loads(answer)["answer"]["sdp"])
    while not caller.connected:  # noqa: ASYNC110 (aiortc has no event for it)
        await asyncio.sleep(0.01)
    return caller


def _media_ports(callers: list[Caller]) -> list[tuple[str, int]]:
    return [caller.server_address for caller in callers]


async def _throw(ports: list[tuple[str, int]]) -> None:
    """Send each of the server's media ports a burst of datagrams from an unknown socket."""
    chance = random.Random(time.monotonic_ns())
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, family=2)
    for port in ports:
        for _ in range(_BURST):
            transport.sendto(chance.randbytes(chance.choice((0, 1, 20, 200, 1200))), port)
    transport.close()

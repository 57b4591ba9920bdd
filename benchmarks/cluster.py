"""What does a cluster cost a session, and a node at rest?

One worker with a small avatar, asked directly and through an ingress in turns, each time with a real offer. Then the
same worker's media in calls that began either way, in turns; an ingress at rest; and what an ingress takes for an offer
and for an announcement, which bound the size of a cell. ``REQUESTS`` in the environment is the number of sessions of
each way (200). Set it to few for a look.
"""

import asyncio
import itertools
import json
import os
import random
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import httpx
import psutil
from pydantic import TypeAdapter

from benchmarks.report import Report, at_most
from lipstream.realtime.cluster.membership import Members
from lipstream.realtime.cluster.placement import Wish, order_of
from lipstream.realtime.metrics import percentiles
from lipstream.realtime.session.cluster_secret import ClusterSecret
from lipstream.realtime.test_client.caller import Caller
from lipstream.realtime.test_client.click_track import voice
from lipstream.realtime.wire.cluster_messages import SECRET_HEADER, Announcement
from tests.cluster.conftest import SECRET, Machines, until

QUESTION = "What does a cluster cost a session, and a node at rest?"
DIRECT, INGRESS = "worker alone", "through an ingress"
_CALL_S, _REST_S = 10.0, 10.0
_APART_S = 1.0
"""Time between requests: faster ones meet a worker's limits on one address, and its announcements of free places."""
_CALLS, _LINES, _ORDERS, _AVATARS = 3, 300, 20, 20
_CELLS = 300, 15_000
_ADAPTER = TypeAdapter(Announcement)


def run() -> Report:
    """Measure."""
    return asyncio.run(_measure(int(os.environ.get("REQUESTS", "200"))))


async def _measure(count: int) -> Report:
    report = Report(QUESTION, {"sessions of each way": count, "calls of each way": _CALLS})
    async with _running() as (machines, clients):
        taken: dict[str, list[float]] = {way: [] for way in clients}
        offer = {"sdp": await Caller(voice(0, 48_000)).offer(), "type": "offer"}
        ingress, used_s = psutil.Process(machines.ingresses[0].running.pid), 0.0
        for _ in range(count):
            await asyncio.sleep(_APART_S)
            for way, client in random.sample([*clients.items()], 2):  # the first after a rest takes longer
                began_s, before_s = time.monotonic(), _used_s(ingress)
                answer = await client.post("/api/sessions", json={"avatar": "ann", "offer": offer})
                taken[way].append(1000 * (time.monotonic() - began_s))
                answer.raise_for_status()
                await client.delete(answer.json()["urls"]["self"])
                used_s += _used_s(ingress) - before_s if way == INGRESS else 0.0
        # An end of a session is a request too, so an offer takes less than this.
        report.conditions["an offer and its end in the ingress, ms of a core"] = round(1000 * used_s / count, 2)
        gaps: dict[str, list[float]] = {way: [] for way in clients}
        for _ in range(_CALLS):
            for way, client in clients.items():
                gaps[way] += await _gaps_ms(client)
        for way in clients:
            begun, late = percentiles(taken[way]), percentiles(gaps[way])
            report.rows.append(
                {
                    "way": way,
                    "begin p50 ms": begun["p50"],
                    "begin p95 ms": begun["p95"],
                    "picture to picture p50 ms": late["p50"],
                    "picture to picture p99 ms": late["p99"],
                }
            )
        report.conditions |= await _at_rest(ingress)
    for workers in _CELLS:
        report.conditions |= _ingress_work(workers)
    more_ms = report.rows[1]["begin p95 ms"] - report.rows[0]["begin p95 ms"]
    report.goals = [at_most("placing a session, over the answer of the worker alone, p95", more_ms, 20.0, "ms")]
    return report


@asynccontextmanager
async def _running() -> AsyncIterator[tuple[Machines, dict[str, httpx.AsyncClient]]]:
    """Run a worker with two ingresses; yield them, and a client for each way that shows no key."""
    with tempfile.TemporaryDirectory() as folder:
        machines = Machines(Path(folder), workers=1, options=("--max-sessions", "4"), keys=False)
        clients = {
            DIRECT: httpx.AsyncClient(
                base_url=machines.workers[0].url, headers={SECRET_HEADER: ClusterSecret(SECRET).for_client}, timeout=60
            ),
            INGRESS: httpx.AsyncClient(base_url=machines.ingresses[0].url, timeout=60),
        }
        try:
            for client in clients.values():
                await until(partial(_is_ready, client), "a session could begin")
            yield machines, clients
        finally:
            for client in clients.values():
                await client.aclose()
            machines.close()


async def _is_ready(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/readyz")).is_success
    except httpx.TransportError:
        return False


async def _gaps_ms(client: httpx.AsyncClient) -> list[float]:
    """Return the times from each picture to the next one in a call, ms."""
    caller = Caller(voice(0, 48_000, level=0.7))
    try:
        offer = {"sdp": await caller.offer(), "type": "offer"}
        session = (await client.post("/api/sessions", json={"avatar": "ann", "offer": offer})).json()
        await caller.accept(session["answer"]["sdp"])
        await until(lambda: caller.recording.picture.packets, "pictures")
        await asyncio.sleep(_CALL_S)
        came = [packet.arrived_s for packet in caller.recording.picture.packets if packet.marker]
        await client.delete(session["urls"]["self"])
    finally:
        await caller.close()
    return [1000 * (after - before) for before, after in itertools.pairwise(came)]


async def _at_rest(process: psutil.Process) -> dict[str, float]:
    """Return memory and processor time of an ingress that nobody asks anything."""
    before_s = _used_s(process)
    await asyncio.sleep(_REST_S)
    return {
        "ingress at rest, % of a core": round(100 * (_used_s(process) - before_s) / _REST_S, 2),
        "ingress, resident MB": round(process.memory_info().rss / 1e6),
    }


def _used_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _ingress_work(workers: int) -> dict[str, float]:
    """Return what an ingress that knows a number of workers takes for one more announcement, and to order them."""
    lines, adapter, members = [json.dumps(_announcement(number)) for number in range(workers)], _ADAPTER, Members()
    for number, line in enumerate(lines):
        members.hear(f"http://worker-{number}", adapter.validate_json(line), 0.0)
    began_s = time.process_time()
    for number, line in enumerate(lines[:_LINES]):
        members.hear(f"http://worker-{number}", adapter.validate_json(line), 1.0)
    heard_s = time.process_time()
    for _ in range(_ORDERS):
        order_of(members.states(1.0), Wish("avatar-1"), random.Random(1))
    ordered_s = time.process_time()
    return {
        f"an announcement among {workers} workers, ms of a core": round(1000 * (heard_s - began_s) / _LINES, 3),
        f"an order of {workers} workers, ms of a core": round(1000 * (ordered_s - heard_s) / _ORDERS, 2),
    }


def _announcement(number: int) -> Announcement:
    return Announcement(
        worker=f"{number:08d}", node=f"node-{number}", model="0" * 64, reason=None, capacity=8, free=number % 9,
        sessions=8 - number % 9, begun=8, continued=[], prepared=["avatar-1"], shown=["avatar-1"],
        avatars={f"avatar-{one}": (1, "0" * 64) for one in range(_AVATARS)}, tokens="0" * 64, keyed=True, held={},
    )  # fmt: skip

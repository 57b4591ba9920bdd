"""One caller's pictures while somebody attacks the server, with a control that costs the machine as much.

An attack is a module's function ``attack(url, seconds)`` that runs in a process of its own, and may return what the
server answered. Its processor time is measured. The control is a process that uses as much time without contacting the
server: pictures lost in the attack and not in the control are lost by the server's handling of it.
"""

import asyncio
import itertools
import json
import multiprocessing
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import httpx

from benchmarks.served import ServedProcess, fetch
from lipstream.realtime.test_client.caller import Caller

Attack = Callable[[str, float], dict[str, int] | None]

_BURN_STEP_S = 0.02
_CONNECT_S = 20.0
_START_S = 30.0


@dataclass(frozen=True, slots=True)
class Frames:
    """Pictures that a caller received in some time.

    Attributes:
        per_second: Number of complete pictures in each full second.
        longest_gap_ms: Longest time between two pictures, or between a picture and either end.
    """

    per_second: tuple[int, ...]
    longest_gap_ms: float

    @property
    def mean(self) -> float:
        """Mean rate of pictures, per second."""
        return sum(self.per_second) / max(1, len(self.per_second))


def count_pictures(arrivals_s: list[float], start_s: float, end_s: float) -> Frames:
    """Count pictures by the second.

    Args:
        arrivals_s: Time at which each picture was complete, in order; times outside of the span are ignored.
        start_s: Start of the span, on the same clock.
        end_s: End of the span.
    """
    inside = [at_s for at_s in arrivals_s if start_s <= at_s < end_s]
    counts = [0] * int(end_s - start_s)
    for at_s in inside:
        if (second := int(at_s - start_s)) < len(counts):
            counts[second] += 1
    edges = [start_s, *inside, end_s]
    gap_s = max(later - earlier for earlier, later in itertools.pairwise(edges))
    return Frames(tuple(counts), round(gap_s * 1000, 1))


class Victim:
    """A connected caller whose pictures are counted."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    @property
    def connected(self) -> bool:
        """Whether the call is connected."""
        return self._caller.connected

    async def watch(self, seconds: float) -> Frames:
        """Wait for some time; return the pictures received in it."""
        self._caller.forget()
        start_s = time.monotonic()
        await asyncio.sleep(seconds)
        arrivals_s = [packet.arrived_s for packet in self._caller.recording.picture.packets if packet.marker]
        return count_pictures(arrivals_s, start_s, time.monotonic())


@asynccontextmanager
async def calling(url: str, headers: dict[str, str] | None = None) -> AsyncIterator[Victim]:
    """Make a call, and end it at the end of the block.

    Args:
        headers: Headers of the request that creates the session, such as ``Authorization``.

    Raises:
        RuntimeError: If the server refuses the call.
        TimeoutError: If the call does not connect.
    """
    async with AsyncExitStack() as stack:
        caller = Caller(keep_payloads=False)
        stack.push_async_callback(caller.close)
        body = {"offer": {"sdp": await caller.offer(), "type": "offer"}}
        status, _, answer = await asyncio.to_thread(fetch, f"{url}/api/sessions", body, headers=headers)
        if status != 201:
            raise RuntimeError(f"{status}: {answer.decode()}")
        await caller.accept(json.loads(answer)["answer"]["sdp"])
        async with asyncio.timeout(_CONNECT_S):
            while not caller.connected:  # noqa: ASYNC110 (aiortc has no event for it)
                await asyncio.sleep(0.01)
        yield Victim(caller)


async def attacked(
    server: ServedProcess, victim: Victim, attack: Attack, seconds: float, *, join: str = "", key: str = ""
) -> dict[str, Any]:
    """Watch a victim before an attack, during it, during a control, and after.

    Args:
        attack: Module-level function; called with the server's URL and a duration in seconds.
        seconds: Length of each of the four parts, s.
        join: Join token for the attack; empty for none.
        key: API key for the new call; empty for none.

    Returns:
        ``before, attack, control, after``: :class:`Frames`; ``newcomer_s``: time that a new call took to connect during
        the attack, ``None`` if it did not; ``attack_cpu_s``: processor time of the attacker; ``told``: what the attack
        returned; ``look``: the server's report after the attack.
    """
    found: dict[str, Any] = {"before": await victim.watch(seconds)}
    await server.look()  # discards the earlier log
    url = f"{server.url}#join={join}" if join else server.url
    headers = {"Authorization": f"Bearer {key}"} if key else None
    found["attack"], found["attack_cpu_s"], found["told"], found["newcomer_s"] = await _part(
        server.url, victim, attack, url, seconds, headers
    )
    found["look"] = await server.look()
    share = found["attack_cpu_s"] / seconds
    found["control"], *_ = await _part(server.url, victim, burn, str(share), seconds, headers)
    found["after"] = await victim.watch(seconds)
    return found


async def _part(
    url: str, victim: Victim, work: Attack, argument: str, seconds: float, headers: dict[str, str] | None
) -> tuple[Frames, float, dict[str, int], float | None]:
    """Watch while a process works.

    Returns:
        Pictures, the process's time, what it returned, and the time a new call took to connect.
    """
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_work, args=(theirs, work, argument, seconds))
    process.start()
    try:
        if not await asyncio.to_thread(ours.poll, _START_S):
            raise TimeoutError("the attacking process does not start")
        ours.recv()
        ours.send("begin")
        newcomer = asyncio.create_task(_newcomer_s(url, seconds / 3, headers))
        pictures = await victim.watch(seconds)
        cpu_s, told = await asyncio.to_thread(ours.recv)
        return pictures, cpu_s, told or {}, await newcomer
    finally:
        process.kill()
        process.join()


async def _newcomer_s(url: str, after_s: float, headers: dict[str, str] | None) -> float | None:
    await asyncio.sleep(after_s)
    begun_s = time.monotonic()
    try:
        async with calling(url, headers):
            return round(time.monotonic() - begun_s, 3)
    except (RuntimeError, OSError, httpx.TransportError):  # TimeoutError is an OSError
        return None


def _work(told: Connection, work: Attack, argument: str, seconds: float) -> None:
    told.send("ready")
    told.recv()
    before_s = time.process_time()
    answers = work(argument, seconds)
    told.send((time.process_time() - before_s, answers))


def burn(share: str, seconds: float) -> None:
    """Use a share (0 to 1, as text) of a core for some seconds."""
    end_s = time.monotonic() + seconds
    while (begun_s := time.monotonic()) < end_s:
        busy_until_s = begun_s + _BURN_STEP_S * float(share)
        while time.monotonic() < busy_until_s:
            pass
        time.sleep(max(0.0, begun_s + _BURN_STEP_S - time.monotonic()))

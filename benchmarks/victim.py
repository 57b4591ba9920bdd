"""One caller's pictures while somebody attacks the server, beside a control that costs the machine as much.

An attack is a function of a module, ``attack(url, seconds)``, that runs in a process of its own. Its processor time is
measured, and the control is a process that spends as much of it without a word to the server: what the pictures lose in
the attack and not in the control, they lose by what the server does with it.
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

Attack = Callable[[str, float], None]

_BURN_STEP_S = 0.02
_CONNECT_S = 20.0
_START_S = 30.0


@dataclass(frozen=True, slots=True)
class Frames:
    """What a caller got in some time.

    Attributes:
        per_second: Whole pictures in each full second.
        longest_gap_ms: Between two pictures, or a picture and either end of the time.
    """

    per_second: tuple[int, ...]
    longest_gap_ms: float

    @property
    def mean(self) -> float:
        """Pictures a second."""
        return sum(self.per_second) / max(1, len(self.per_second))


def count_pictures(arrivals_s: list[float], start_s: float, end_s: float) -> Frames:
    """Count pictures by the second.

    Args:
        arrivals_s: When each picture was whole, in order; those outside the time are left out.
        start_s: Start of the time, on the same clock.
        end_s: Its end.
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
    """A caller in a call, whose pictures are counted."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    @property
    def connected(self) -> bool:
        """Whether its call is up."""
        return self._caller.connected

    async def watch(self, seconds: float) -> Frames:
        """Let some time go by and return what came in it."""
        self._caller.forget()
        start_s = time.monotonic()
        await asyncio.sleep(seconds)
        arrivals_s = [packet.arrived_s for packet in self._caller.recording.picture.packets if packet.marker]
        return count_pictures(arrivals_s, start_s, time.monotonic())


@asynccontextmanager
async def calling(url: str, headers: dict[str, str] | None = None) -> AsyncIterator[Victim]:
    """Begin a call, and hang up at the end.

    Args:
        url: The server's.
        headers: Shown with the request that begins the session, such as ``Authorization``.

    Raises:
        RuntimeError: If the server does not take the call.
        TimeoutError: If it does not connect.
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
            while not caller.connected:  # noqa: ASYNC110 (as its connection goes on)
                await asyncio.sleep(0.01)
        yield Victim(caller)


async def attacked(server: ServedProcess, victim: Victim, attack: Attack, seconds: float) -> dict[str, Any]:
    """Watch a victim before, in, beside a control of and after an attack.

    Args:
        server: Attacked by its URL.
        victim: In a call with it.
        attack: Function of a module. It gets the server's URL and for how long, in seconds, to go on.
        seconds: Length of each of the four parts.

    Returns:
        ``before, attack, control, after``: :class:`Frames`; ``newcomer_s``: how long a new call took to connect in
        the midst of the attack, ``None`` if it did not; ``attack_cpu_s``: the attacker's processor time;
        ``look``: what the server told of itself after the attack.
    """
    found: dict[str, Any] = {"before": await victim.watch(seconds)}
    await server.look()  # forgets the log of what came before
    found["attack"], found["attack_cpu_s"], found["newcomer_s"] = await _part(
        server.url, victim, attack, server.url, seconds
    )
    found["look"] = await server.look()
    share = found["attack_cpu_s"] / seconds
    found["control"], _, _ = await _part(server.url, victim, burn, str(share), seconds)
    found["after"] = await victim.watch(seconds)
    return found


async def _part(
    url: str, victim: Victim, work: Attack, argument: str, seconds: float
) -> tuple[Frames, float, float | None]:
    """Watch while a process works; return pictures, its processor time and when a new call was up."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_work, args=(theirs, work, argument, seconds))
    process.start()
    try:
        if not await asyncio.to_thread(ours.poll, _START_S):
            raise TimeoutError("the attacking process does not start")
        ours.recv()
        ours.send("begin")
        newcomer = asyncio.create_task(_newcomer_s(url, seconds / 3))
        pictures = await victim.watch(seconds)
        cpu_s = await asyncio.to_thread(ours.recv)
        return pictures, cpu_s, await newcomer
    finally:
        process.kill()
        process.join()


async def _newcomer_s(url: str, after_s: float) -> float | None:
    await asyncio.sleep(after_s)
    begun_s = time.monotonic()
    try:
        async with calling(url):
            return round(time.monotonic() - begun_s, 3)
    except (RuntimeError, OSError, httpx.TransportError):  # TimeoutError is an OSError
        return None


def _work(told: Connection, work: Attack, argument: str, seconds: float) -> None:
    told.send("ready")
    told.recv()
    before_s = time.process_time()
    work(argument, seconds)
    told.send(time.process_time() - before_s)


def burn(share: str, seconds: float) -> None:
    """Spend a share, a number from 0 to 1, of a core for some seconds."""
    end_s = time.monotonic() + seconds
    while (begun_s := time.monotonic()) < end_s:
        busy_until_s = begun_s + _BURN_STEP_S * float(share)
        while time.monotonic() < busy_until_s:
            pass
        time.sleep(max(0.0, begun_s + _BURN_STEP_S - time.monotonic()))

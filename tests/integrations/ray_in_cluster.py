"""Three machines of Ray with a worker and an ingress each, and what happens to calls there: run in an environment of
its own, ``python -m tests.integrations.ray_in_cluster FACTS.json``.
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from lipstream.avatar_cache.store import AvatarStore
from lipstream.realtime.session.cluster_secret import ClusterSecret
from lipstream.realtime.session.session_names import split_id
from lipstream.realtime.wire.cluster_messages import CLIENT_HEADER, SECRET_HEADER
from tests.browser.chromium import Page, chromium
from tests.cluster.conftest import KEY, SECRET, WAIT_S, Call, until
from tests.cluster.test_page import LIVE
from tests.integrations.ray_machines import Machine, Machines, answer
from tests.realtime.fakes import write_avatar

MACHINES = 3


class Scenes:
    """What happens, one after the other."""

    def __init__(self, machines: Machines) -> None:
        self._machines = machines
        self._clients: dict[str, httpx.AsyncClient] = {}
        self._calls: list[Call] = []
        self.facts: dict[str, Any] = {"took_s": {}}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        try:
            yield
        finally:
            for call in self._calls:
                await call.hang_up()
            for client in self._clients.values():
                await client.aclose()

    def client(self, url: str, **headers: str) -> httpx.AsyncClient:
        if url not in self._clients:
            headers |= {"Authorization": f"Bearer {KEY}"}
            self._clients[url] = httpx.AsyncClient(base_url=url, headers=headers, timeout=WAIT_S)
        return self._clients[url]

    def direct(self, machine: Machine) -> httpx.AsyncClient:
        proof = {SECRET_HEADER: ClusterSecret(SECRET).for_client, CLIENT_HEADER: "192.0.2.7"}
        return self.client(machine.worker, **proof)

    async def call(self, ingress: Machine) -> Call:
        call = Call(self.client(ingress.ingress), "ann")
        self._calls.append(call)
        await call.begin()
        return call

    async def continue_call(self, call: Call, ingress: Machine) -> float:
        """Begin a lost call again by an ingress, and return after what time from now it speaks, s."""
        began_s = time.monotonic()
        call.client, former = self.client(ingress.ingress), call.session
        path = f"/api/sessions/{former['id']}"

        async def is_lost() -> bool:
            return (await call.client.get(path)).status_code == 404

        await until(is_lost, "word of the loss")
        await call.begin(continues={"id": former["id"], "token": former["token"]})
        await until(call.speaks, "speech again")
        assert split_id(call.id)[1] == split_id(former["id"])[1]
        assert split_id(call.id)[0] != split_id(former["id"])[0]
        assert call.session["token"] == former["token"]
        return time.monotonic() - began_s

    async def machine_of(self, call: Call) -> Machine:
        """Return the machine whose worker has a session."""

        async def found() -> Machine | None:
            for machine in self._machines.every:
                if any(one["id"] == call.id for one in await answer(self.direct(machine), "/api/sessions") or ()):
                    return machine
            return None

        machine: Machine = await until(found, "the worker of a session")
        return machine

    async def free(self, count: int, *ingresses: Machine) -> None:
        """Wait until ingresses know that there is room for a number of sessions."""
        for ingress in ingresses:
            client = self.client(ingress.ingress)

            async def told(client: httpx.AsyncClient = client) -> bool:
                try:
                    return f"lipstream_cluster_sessions_free {float(count)}" in (await client.get("/metrics")).text
                except httpx.TransportError:
                    return False

            await until(told, f"an ingress that knows of room for {count} sessions")

    def took(self, scene: str, began_s: float) -> None:
        self.facts["took_s"][scene] = round(time.monotonic() - began_s, 1)

    # The scenes

    async def begin(self) -> None:
        """Start the launcher with one machine; the others join, and have no avatars of their own."""
        began_s = time.monotonic()
        await asyncio.to_thread(self._machines.wait, self._machines.join())
        self._machines.launch("--cluster-workers", f"{MACHINES}-9")
        joined = [self._machines.join() for _ in range(1, MACHINES)]
        await asyncio.gather(*(asyncio.to_thread(self._machines.wait, machine) for machine in joined))
        await self.free(MACHINES, *self._machines.every)
        for machine in self._machines.every:
            await until(partial(self._has, machine, "ann"), "the avatars of the first machine")
        self.took("begin", began_s)

    async def show_page(self) -> None:
        """Call from a browser beside two other clients: each has a worker of its own."""
        ingress = self._machines.every[0].ingress
        token = (await self.client(ingress).post("/api/tokens", json={})).json()["token"]

        def start(page: Page) -> None:
            page.open(f"{ingress}/#join={token}")
            page.until("document.querySelector('[data-avatar=\"ann\"] input')", WAIT_S)
            page.click("start")
            page.until(LIVE, WAIT_S)

        with chromium(None) as page:
            await asyncio.to_thread(start, page)
            calls = [await self.call(machine) for machine in self._machines.every[1:]]
            sessions = await answer(self.client(ingress), "/api/sessions")
            self.facts["workers of a page and two calls"] = len({split_id(one["id"])[0] for one in sessions or ()})
            for call in calls:
                await call.end()
            page.call("Page.navigate", url="about:blank")  # hangs up
            await self.free(MACHINES, *self._machines.every)

    async def spread(self) -> list[Call]:
        """Fill the cluster by three ingresses."""
        calls = [await self.call(machine) for machine in self._machines.every]
        self.facts["workers of three calls"] = len({split_id(call.id)[0] for call in calls})
        await self.free(0, *self._machines.every)
        refused = [await self.client(one.ingress).post("/api/sessions", json={}) for one in self._machines.every]
        self.facts["refused"] = [[one.status_code, one.json()["error"]["reason"]] for one in refused]
        self.facts["retry after"] = [int(one.headers["retry-after"]) for one in refused]
        listed = [await answer(self.client(one.ingress), "/api/sessions") for one in self._machines.every]
        self.facts["ingresses agree"] = [sorted(one["id"] for one in sessions) for sessions in listed]
        self.facts["sessions"] = sorted(call.id for call in calls)
        wanted = "workers that there should be: 5"  # those in use, a fifth, and one
        await until(lambda: wanted in self._machines.log(), "a launcher that asks for more machines")
        return calls

    async def kill_worker(self, call: Call) -> None:
        """Kill a worker in mid-word; its keeper starts it again at the same address."""
        await until(call.speaks, "speech")
        machine = await self.machine_of(call)
        process = machine.process_id("worker-0")
        machine.signal("worker-0", signal.SIGKILL)
        self.facts["speaks again after a kill, s"] = await self.continue_call(call, self._machines.every[0])
        await until(lambda: machine.process_id("worker-0") not in (0, process), "the worker again")

    async def appear_everywhere(self) -> None:
        """Build an avatar on one machine."""
        last = self._machines.every[-1]
        AvatarStore(last.store).build(write_avatar(self._machines.folder / "cleo", "cleo"), "cleo")
        for machine in self._machines.every:
            await until(partial(self._has, machine, "cleo"), "a new avatar everywhere")

    async def _has(self, machine: Machine, avatar: str) -> bool:
        return any(one["id"] == avatar for one in await answer(self.direct(machine), "/api/avatars") or ())

    async def lose_machine(self, call: Call, ingress: Machine) -> None:
        """Let a machine be silent, as without power: nothing closes its connections."""
        await until(call.speaks, "speech")
        machine = await self.machine_of(call)
        machine.freeze()
        self.facts["speaks again after a lost machine, s"] = await self.continue_call(call, ingress)
        await asyncio.to_thread(machine.lose)

    async def drain(self, call: Call, ingress: Machine) -> None:
        """Drain the worker of a call: it ends with it, is not started again, and its machine may go."""
        machine = await self.machine_of(call)
        machine.signal("worker-0", signal.SIGTERM)
        client = self.direct(machine)

        async def drains() -> bool:
            return bool((await client.get("/readyz")).json().get("reason") == "draining")

        await until(drains, "a worker that drains")
        await call.goes_on()
        self.facts["alive while it drains"] = bool(machine.process_id("worker-0"))
        call.client = self.client(ingress.ingress)
        await call.end()
        await until(lambda: not machine.process_id("worker-0"), "the end of a drained worker")
        await until(lambda: not machine.process_id("ingress"), "the end of the ingress beside it")

    async def lose_head(self, call: Call, ingress: Machine) -> None:
        """Stop what Ray's head knows: the calls go on, and new ones begin."""
        (head,) = self._machines.processes_of_gcs()
        os.kill(head, signal.SIGSTOP)
        try:
            await call.goes_on()
            another = await self.call(ingress)
            self.facts["begun without the head"] = bool(another.pictures)
            await another.end()
        finally:
            os.kill(head, signal.SIGCONT)

    async def end(self) -> None:
        """Lose the launcher; the next one finds what there is, and drains it."""
        assert self._machines.launcher is not None
        self._machines.launcher.kill()
        self._machines.launcher.wait(60)
        servers = [(machine, name) for machine in self._machines.every for name in ("worker-0", "ingress")]
        before = [machine.process_id(name) for machine, name in servers]
        self.facts["servers without a launcher"] = sum(map(bool, before))
        last = self._machines.launch("--cluster-workers", "0")
        self.facts["status at the end"] = await asyncio.to_thread(last.wait, WAIT_S)
        self.facts["servers at the end"] = sum(bool(machine.process_id(name)) for machine, name in servers)


async def play(machines: Machines) -> dict[str, Any]:
    scenes = Scenes(machines)
    async with scenes.running():
        await scenes.begin()
        began_s = time.monotonic()
        first, second, third = machines.every
        await scenes.show_page()
        scenes.took("page", began_s)
        calls = {(await scenes.machine_of(call)).host: call for call in await scenes.spread()}
        scenes.took("spread", began_s)
        await scenes.appear_everywhere()
        scenes.took("appear", began_s)
        await calls[third.host].end()
        await scenes.free(1, first, second, third)
        await scenes.lose_head(calls[first.host], third)
        scenes.took("head", began_s)
        await scenes.free(1, first, second, third)
        await scenes.kill_worker(calls[first.host])
        scenes.took("kill", began_s)
        await scenes.free(1, first)
        await scenes.lose_machine(calls[second.host], first)
        scenes.took("machine", began_s)
        on_third, on_first = calls[first.host], calls[second.host]
        if await scenes.machine_of(on_third) is first:
            on_third, on_first = on_first, on_third
        await scenes.drain(on_third, first)
        await on_first.end()
        scenes.took("drain", began_s)
        await scenes.end()
        scenes.took("end", began_s)
    return scenes.facts


def main() -> None:
    machines = Machines()
    try:
        facts = asyncio.run(play(machines))
    except BaseException:
        sys.stderr.write(machines.log()[-20_000:])
        raise
    finally:
        machines.close()
    Path(sys.argv[1]).write_text(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main()

"""A cluster of real processes on loopback: workers with small avatars, two ingresses, and light clients."""

import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from lipstream.avatar_cache.store import AvatarStore
from lipstream.realtime.session.cluster_secret import ClusterSecret
from lipstream.realtime.session.session_names import split_id
from lipstream.realtime.test_client.caller import Caller
from lipstream.realtime.test_client.click_track import voice
from lipstream.realtime.wire.cluster_messages import CLIENT_HEADER, SECRET_HEADER
from tests.realtime.fakes import write_avatar
from tests.server_process import ROOT

SECRET = "the secret of a cluster of the tests, long enough"
KEY = "the key of an operator of the cluster"
WAIT_S, LOOK_S = 240.0, 0.2
WORKERS, INGRESSES = 3, 2


async def until(condition: Callable[[], Any], what: str) -> Any:
    """Wait for something that must come, however slow the machine is; return it."""
    deadline = time.monotonic() + WAIT_S
    while True:
        found = condition()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        assert time.monotonic() < deadline, f"never came: {what}"
        await asyncio.sleep(LOOK_S)


def quiet_port() -> int:
    """Return a free TCP port of those that the system gives to nobody by itself: a process takes seconds to bind it."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def fill_stores(stores: Iterable[Path]) -> None:
    """Give stores the same three avatars, all of them not prepared yet."""
    first, *others = stores
    with tempfile.TemporaryDirectory() as folder:
        for avatar_id, shade in {"ann": 60, "bob": 140, "eve": 90}.items():
            AvatarStore(first).build(write_avatar(Path(folder) / avatar_id, avatar_id, shade=shade), avatar_id)
    for other in others:
        shutil.copytree(first, other)


@dataclass
class Process:
    """A worker or an ingress."""

    command: list[str]
    port: int
    running: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def runs(self) -> bool:
        return self.running.poll() is None

    @classmethod
    def start(cls, command: list[str], port: int) -> "Process":
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        return cls(command, port, subprocess.Popen(command, cwd=ROOT, env=environment))

    def kill(self) -> None:
        """End it without notice, as a fault would."""
        self.running.kill()
        self.running.wait(30)

    def again(self) -> None:
        """Start it again at the same address."""
        self.running = Process.start(self.command, self.port).running

    def replace(self) -> None:
        """Kill it and start it again at once, as a service manager would; its sessions are lost."""
        self.kill()
        self.again()

    def answers(self, path: str) -> bool:
        assert self.runs, "it has ended"
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(self.url + path, timeout=WAIT_S).is_success
        return False


class Machines:
    """The processes of a cluster, for all tests of the package. Each worker has room for one session, unless told."""

    def __init__(
        self,
        folder: Path,
        workers: int = WORKERS,
        options: tuple[str, ...] = ("--max-sessions", "1"),
        *,
        keys: bool = True,
    ) -> None:
        self.secret_file, self.list = folder / "secret", folder / "workers"
        self.secret_file.write_text(SECRET)
        key_file = folder / "keys"
        key_file.write_text(KEY)
        self.workers: list[Process] = []
        stores = [folder / f"worker-{number}" for number in range(workers)]
        fill_stores(stores)
        common = ["--cluster-secret-file", str(self.secret_file), *(["--secret-file", str(key_file)] if keys else [])]
        for store in stores:
            more = ["--picture-workers", "0", "--grace-s", "120", "--store", str(store), *options]
            self.workers.append(self._start("-m", "tests.cluster.worker", *more, *common))
        self.list.write_text("".join(f"{worker.url}\n" for worker in self.workers))
        self.ingresses = [self._start("run_server.py", "--workers", str(self.list), *common) for _ in range(INGRESSES)]

    def _start(self, *arguments: str) -> Process:
        port = quiet_port()
        return Process.start([sys.executable, *arguments, "--port", str(port)], port)

    def close(self) -> None:
        every = [process for process in (*self.ingresses, *self.workers) if process.runs]
        for _ in range(2):  # the second signal does not wait for live sessions
            for process in every:
                process.running.send_signal(signal.SIGTERM)
            time.sleep(0.3)
        for process in every:
            process.running.wait(60)


@pytest.fixture(scope="package")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    machines = Machines(tmp_path_factory.mktemp("cluster"))
    yield machines
    machines.close()


class Cluster:
    """The machines, as one test uses them."""

    def __init__(self, machines: Machines) -> None:
        self.workers, self.ingresses, self.list = machines.workers, machines.ingresses, machines.list
        self._clients: list[httpx.AsyncClient] = []
        self._calls: list[Call] = []

    async def begin(self) -> None:
        """Start what ended in another test, and wait until every worker is free and every ingress knows it."""
        for process in (*self.workers, *self.ingresses):
            if not process.runs:
                process.again()
        for ingress in self.ingresses:
            await until(partial(ingress.answers, "/healthz"), "an ingress that answers")
            await self.knows(ingress, WORKERS)

    async def knows(self, ingress: Process, free: int) -> None:
        """Wait until an ingress knows that there is room for a number of sessions."""
        client = self.client(ingress)

        async def told() -> bool:
            return f"lipstream_cluster_sessions_free {float(free)}" in (await client.get("/metrics")).text

        await until(told, f"an ingress that knows of room for {free} sessions")

    def client(self, server: Process, token: str = KEY) -> httpx.AsyncClient:
        """Return a client of an ingress."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._clients.append(httpx.AsyncClient(base_url=server.url, headers=headers, timeout=WAIT_S))
        return self._clients[-1]

    def direct(self, worker: Process, token: str = KEY) -> httpx.AsyncClient:
        """Return a client that speaks to a worker as an ingress does."""
        client = self.client(worker, token)
        client.headers.update({SECRET_HEADER: ClusterSecret(SECRET).for_client, CLIENT_HEADER: "192.0.2.7"})
        return client

    async def call(self, ingress: Process, avatar: str = "ann") -> "Call":
        """Return a call that is connected."""
        call = Call(self.client(ingress), avatar)
        self._calls.append(call)
        await call.begin()
        return call

    def worker_of(self, session_id: str) -> Process:
        """Return the worker that a session is on."""
        wanted = split_id(session_id)[0]
        return next(worker for worker in self.workers if worker.runs and self._id_of(worker) == wanted)

    def _id_of(self, worker: Process) -> str:
        headers = {SECRET_HEADER: ClusterSecret(SECRET).for_itself}
        url = f"{worker.url}/api/cluster/announcements"
        with httpx.stream("GET", url, headers=headers, timeout=WAIT_S) as answer:
            return str(json.loads(next(answer.iter_lines()))["worker"])

    async def close(self) -> None:
        for call in self._calls:
            await call.end()
        for client in self._clients:
            await client.aclose()


@dataclass
class Call:
    """A client that speaks without a pause, and what its server said of the session."""

    client: httpx.AsyncClient
    avatar: str
    session: dict[str, Any] = field(default_factory=dict)
    caller: Caller | None = None

    @property
    def id(self) -> str:
        return str(self.session["id"])

    @property
    def own(self) -> dict[str, str]:
        """The header with the session's own token."""
        return {"Authorization": f"Bearer {self.session['token']}"}

    @property
    def pictures(self) -> int:
        """Number of packets of the picture that have come."""
        return len(self.caller.recording.picture.packets) if self.caller else 0

    async def begin(self, **more: Any) -> None:
        """Begin a session with an offer, as soon as there is room, and wait for its pictures."""
        await self.hang_up()
        self.caller = Caller(voice(0, 48_000, level=0.7))
        offer = {"sdp": await self.caller.offer(), "type": "offer"}

        async def placed() -> httpx.Response | None:
            answer = await self.client.post("/api/sessions", json={"avatar": self.avatar, "offer": offer, **more})
            return None if answer.status_code == 503 else answer

        answer = await until(placed, "room for a session")
        assert answer.status_code == 201, answer.text
        self.session = answer.json()
        await self.caller.accept(self.session["answer"]["sdp"])
        await until(lambda: self.pictures, "pictures")

    async def goes_on(self) -> None:
        """Wait for further pictures."""
        before = self.pictures
        await until(lambda: self.pictures > before + 5, "further pictures")

    async def speaks(self) -> bool:
        """Return whether the avatar shows spoken mouths."""
        return bool((await self.client.get(f"/api/sessions/{self.id}", headers=self.own)).json().get("speaking"))

    async def hang_up(self) -> None:
        if self.caller:
            await self.caller.close()
        self.caller = None

    async def end(self) -> None:
        await self.hang_up()
        if not self.session:
            return
        with contextlib.suppress(httpx.TransportError):
            await self.client.delete(f"/api/sessions/{self.id}", headers=self.own)


@pytest.fixture
async def cluster(machines: Machines) -> AsyncIterator[Cluster]:
    """Return the cluster with all of its workers free."""
    cluster = Cluster(machines)
    await cluster.begin()
    yield cluster
    await cluster.close()

"""Machines of a Ray cluster on loopback, each with an address of its own, and the launcher."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from tests.cluster.conftest import KEY, SECRET, WAIT_S, fill_stores, quiet_port

_BYTES = str(80 << 20)
_HEAD = ("--head", "--include-dashboard=false")
_RAY = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "a token of the machines' own " * 2}


class Machine:
    """A machine: what `ray start` began there, and the files of its servers.

    Its address is not 127.0.0.1, which Ray takes for a name of this machine's outward one.
    """

    def __init__(self, folder: Path, host: str, port: int, arguments: tuple[str, ...]) -> None:
        self.host, self.store = host, folder / host
        self.ingress, self.worker = f"http://{host}:{port}", f"http://{host}:{port + 1}"
        environment = os.environ | _RAY | {
            "LIPSTREAM_STORE": str(self.store), "LIPSTREAM_HOST": host, "RAY_TMPDIR": str(folder),
            "PYTHONPATH": str(Path.cwd()),
        }  # fmt: skip
        command = [str(Path(sys.executable).with_name("ray")), "start", "--block", "--disable-usage-stats"]
        command += ["--node-ip-address", host, "--num-cpus", "1", "--object-store-memory", _BYTES, *arguments]
        with (folder / f"{host}.log").open("ab") as log:
            self.ray = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)

    def process_id(self, name: str) -> int:
        """Return the process of a server; 0 if there is none."""
        with contextlib.suppress(OSError, ValueError):
            found = int((self.store / "cluster" / f"{self.host}-{name}.pid").read_text())
            state = Path(f"/proc/{found}/stat").read_text().rpartition(")")[2].split()[0]
            return 0 if state == "Z" else found
        return 0

    def signal(self, name: str, number: signal.Signals) -> None:
        if found := self.process_id(name):
            os.kill(found, number)

    def freeze(self) -> None:
        """Stop it, so that it is silent."""
        for process in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGSTOP)

    def lose(self) -> None:
        """End all of its processes."""
        while found := self.processes():  # a keeper that is not dead yet starts its server again
            for process in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            time.sleep(0.05)
        self.ray.wait(60)

    def processes(self) -> list[int]:
        """Return all processes of the machine: those that have its store in their environment."""
        mark, found = f"LIPSTREAM_STORE={self.store}".encode(), []
        for path in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if mark in path.read_bytes().split(b"\0"):
                    found.append(int(path.parent.name))
        return found


class Machines:
    """Some machines, and the launcher on the first of them."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="r"))  # short, as it is in the names of sockets
        self._port, self._ray_port = quiet_port(), quiet_port()
        (self.folder / "secret").write_text(SECRET)
        (self.folder / "keys").write_text(KEY)
        self.every: list[Machine] = []
        self.launcher: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"{self.every[0].host}:{self._ray_port}"

    def join(self) -> Machine:
        """Add a machine; two that come at once take each other's sockets, since they share a folder."""
        host = f"127.0.0.{len(self.every) + 4}"
        arguments = (*_HEAD, "--port", str(self._ray_port)) if not self.every else ("--address", self.address)
        if not self.every:
            fill_stores([self.folder / host])  # the others get what it has
        deadline = time.monotonic() + WAIT_S
        while not self._starts(machine := Machine(self.folder, host, self._port, arguments)):
            machine.lose()  # parts of Ray that wait for each other give up where the machine is busy
            assert time.monotonic() < deadline, (self.folder / f"{host}.log").read_text()
        self.every.append(machine)
        return machine

    def _starts(self, machine: Machine) -> bool:
        """Wait until Ray runs on a machine or has failed; return whether it runs."""
        while "Ray runtime started" not in (self.folder / f"{machine.host}.log").read_text():
            if machine.ray.poll() is not None:
                return False
            time.sleep(0.2)
        return True

    def launch(self, *more: str) -> subprocess.Popen[bytes]:
        """Start the launcher."""
        command = [sys.executable, "-m", "tests.integrations.ray_launcher", "--cluster", self.address]
        command += ["--port", str(self._port), "--max-sessions", "1", "--picture-workers", "0", "--grace-s", "120"]
        command += ["--cluster-secret-file", str(self.folder / "secret"), "--secret-file", str(self.folder / "keys")]
        environment = (
            os.environ | _RAY | {"LIPSTREAM_STORE": str(self.folder / "launcher"), "RAY_TMPDIR": str(self.folder)}
        )
        with (self.folder / "launcher.log").open("ab") as log:
            self.launcher = subprocess.Popen([*command, *more], env=environment, stdout=log, stderr=log)
        return self.launcher

    def processes_of_gcs(self) -> list[int]:
        """Return the process in which Ray's head knows the cluster."""
        session = f"--session-name={self._session()}".encode()
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                words = path.read_bytes().split(b"\0")
                if words[0].endswith(b"gcs_server") and session in words:
                    found.append(int(path.parent.name))
        return found

    def _session(self) -> str:
        return (self.folder / "ray" / "session_latest").resolve().name

    def log(self) -> str:
        return (self.folder / "launcher.log").read_text()

    def close(self) -> None:
        if self.launcher and self.launcher.poll() is None:
            self.launcher.kill()
            self.launcher.wait(60)
        for machine in reversed(self.every):
            machine.lose()
        shutil.rmtree(self.folder, ignore_errors=True)


async def answer(client: httpx.AsyncClient, path: str) -> Any:
    """Return the JSON of an answer; ``None`` while there is none."""
    with contextlib.suppress(httpx.TransportError):
        got = await client.get(path)
        return got.json() if got.is_success else None
    return None

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
        self._environment = os.environ | _RAY | {
            "LIPSTREAM_STORE": str(self.store), "LIPSTREAM_HOST": host, "RAY_TMPDIR": str(folder),
            "PYTHONPATH": str(Path.cwd()),
        }  # fmt: skip
        command = [str(Path(sys.executable).with_name("ray")), "start", "--block", "--disable-usage-stats"]
        command += ["--node-ip-address", host, "--num-cpus", "1", "--object-store-memory", _BYTES, *arguments]
        command += ["--temp-dir", str(folder / f"ray-{host}")]  # or two that start at once take each other's sockets
        self._command, self.log = command, folder / f"{host}.log"
        self.start()

    def start(self) -> None:
        """Start Ray."""
        with self.log.open("ab") as log:
            self.ray = subprocess.Popen(
                self._command, env=self._environment, stdout=log, stderr=log, start_new_session=True
            )

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
        kill_all(f"LIPSTREAM_STORE={self.store}")
        self.ray.wait(60)

    def processes(self) -> list[int]:
        """Return all processes of the machine."""
        return marked(f"LIPSTREAM_STORE={self.store}")


def marked(variable: str) -> list[int]:
    """Return the processes that have a variable in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if variable.encode() in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found


def kill_all(variable: str) -> None:
    """Kill the processes that have a variable in their environment, and what they start meanwhile."""
    while found := marked(variable):
        for process in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.05)


class Machines:
    """Some machines, and the launcher on the first of them."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="r"))  # short, as it is in the names of sockets
        self._port, self._ray_port = quiet_port(), quiet_port()
        (self.folder / "secret").write_text(SECRET)
        (self.folder / "keys").write_text(KEY)
        self.every: list[Machine] = []
        self.launcher: subprocess.Popen[bytes] | None = None
        command = [sys.executable, "-m", "tests.integrations.ray_machines", str(self.folder)]
        self._reaper = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)

    @property
    def address(self) -> str:
        return f"{self.every[0].host}:{self._ray_port}"

    def join(self) -> Machine:
        """Add a machine; the others get the avatars of the first."""
        host = f"127.0.0.{len(self.every) + 4}"
        arguments = (*_HEAD, "--port", str(self._ray_port)) if not self.every else ("--address", self.address)
        if not self.every:
            fill_stores([self.folder / host])
        self.every.append(Machine(self.folder, host, self._port, arguments))
        return self.every[-1]

    def wait(self, machine: Machine) -> None:
        """Wait until Ray runs on a machine; its parts wait for each other, and give up where the machine is busy."""
        deadline = time.monotonic() + WAIT_S
        while not self._starts(machine):
            machine.lose()
            assert time.monotonic() < deadline, machine.log.read_text()
            machine.start()

    def _starts(self, machine: Machine) -> bool:
        """Wait until Ray runs on a machine or has failed; return whether it runs."""
        while "Ray runtime started" not in machine.log.read_text():
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
        return (self.folder / f"ray-{self.every[0].host}" / "session_latest").resolve().name

    def log(self) -> str:
        return (self.folder / "launcher.log").read_text()

    def close(self) -> None:
        """End everything."""
        assert self._reaper.stdin is not None
        self._reaper.stdin.close()
        self._reaper.wait(60)
        for process in (*(machine.ray for machine in self.every), self.launcher):
            if process:
                process.wait(60)


def reap(folder: str) -> None:
    """Wait until the process that made machines closes standard input or ends, however; then end all that is theirs."""
    sys.stdin.read()
    kill_all(f"RAY_TMPDIR={folder}")
    shutil.rmtree(folder, ignore_errors=True)


async def answer(client: httpx.AsyncClient, path: str) -> Any:
    """Return the JSON of an answer; ``None`` while there is none."""
    with contextlib.suppress(httpx.TransportError):
        got = await client.get(path)
        return got.json() if got.is_success else None
    return None


if __name__ == "__main__":
    reap(sys.argv[1])

"""Keeps one server of a machine running. It runs as an actor of Ray, but knows nothing of Ray.

The server outlives its keeper: calls must not end because a part of Ray does. It holds a lock, by which the next keeper
finds it. A shell stands between the two, because Ray kills the children of an actor that ends.
"""

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lipstream.avatar_cache.store_root import default_root
from lipstream.realtime.cluster.launching.node_plan import INGRESS
from lipstream.realtime.workers.supervisor import RestartPolicy

_SHELL = '"$@" & echo $! > "$0"; wait $!'
"""Starts a command, writes its process id to a file, and ends with its status."""
_OF_LAUNCHER = ("cluster", "cluster_workers", "workers", "config")
_OF_INGRESS = ("host", "port", "tls_cert", "tls_key")
_PORTS = 200
_PID_S = 10.0


@dataclass(frozen=True)
class Job:
    """What a keeper keeps.

    Attributes:
        name: ``ingress``, or ``worker-`` and a number.
        host: Address of the machine, on which a worker listens.
        port: First port that a worker may take; the first free one from there on is its own.
        options: Options of the command, by name, as the settings read them from TOML.
        module: What Python runs.
    """

    name: str
    host: str
    port: int
    options: Mapping[str, Any]
    module: str = "lipstream"


@dataclass(frozen=True)
class Report:
    """The state of a server.

    Attributes:
        url: Address of a worker; empty for an ingress, and until there is one.
        has_ended: Whether it was drained, has ended, and is not started again.
        workers: Addresses of the workers that an ingress was told.
    """

    url: str
    has_ended: bool
    workers: tuple[str, ...]


class Keeper:
    """Starts a server, and starts it again when it fails. One that ends in order, as after SIGTERM, is left.

    Raises:
        OSError: If the folder ``cluster`` in the machine's store cannot be written.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._store = Path(job.options.get("store") or default_root())
        if chosen := os.environ.get("LIPSTREAM_STORE"):  # as it is for all options: the environment over the file
            self._store = Path(chosen)
        self._folder = self._store / "cluster"
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._list = self._file("workers")
        if not self._list.exists():
            self._list.touch()
        self._url, self._is_leaving, self._has_ended = "", False, False
        threading.Thread(target=self._keep, name=job.name, daemon=True).start()

    def report(self) -> Report:
        """Return the state of the server."""
        return Report(self._url, self._has_ended, tuple(self._list.read_text().split()))

    def use(self, job: Job) -> None:
        """Use other options from the server's next start on."""
        self._job = job

    def tell(self, workers: tuple[str, ...]) -> None:
        """Tell an ingress the workers."""
        if tuple(self._list.read_text().split()) != workers:
            written = self._file("workers.new")
            written.write_text("".join(f"{url}\n" for url in workers))
            written.replace(self._list)

    def let_end(self) -> None:
        """Leave the server when it ends, however it does."""
        self._is_leaving = True

    def drain(self) -> None:
        """Let the server end with its last session. To call it again would not wait for sessions."""
        self._is_leaving = True
        end_s = time.monotonic() + _PID_S
        while self._runs() and time.monotonic() < end_s:
            with contextlib.suppress(FileNotFoundError, ValueError):  # it is being started
                process_id = int(self._file("pid").read_text())
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process_id, signal.SIGTERM)
                return
            time.sleep(0.1)

    def _file(self, kind: str) -> Path:
        return self._folder / f"{self._job.host}-{self._job.name}.{kind}"

    def _runs(self) -> bool:
        with self._file("lock").open("a") as lock:
            return not _take(lock.fileno())

    def _keep(self) -> None:
        policy = RestartPolicy()
        while not self._is_leaving and self._serve(policy) != 0:
            time.sleep(policy.next_delay_s(time.monotonic()))
        self._has_ended = True

    def _serve(self, policy: RestartPolicy) -> int | None:
        """Run the server until it ends; return its exit status, or ``None`` if a former keeper had started it."""
        policy.note_start(time.monotonic())
        with self._file("lock").open("a+") as lock:
            if not _take(lock.fileno()):
                lock.seek(0)
                self._url = lock.read()
                fcntl.flock(lock, fcntl.LOCK_EX)  # waits until no process has it
                return None
            self._file("pid").unlink(missing_ok=True)
            flags = self._flags()
            lock.truncate(0)
            lock.write(self._url)
            lock.flush()
            process = subprocess.Popen(  # noqa: S603 (options of the operator)
                ["/bin/sh", "-c", _SHELL, str(self._file("pid")), sys.executable, "-m", self._job.module, *flags],
                stdin=subprocess.DEVNULL,
                env=self._environment(),
                pass_fds=[lock.fileno()],
                start_new_session=True,
            )
        return process.wait()

    def _flags(self) -> list[str]:
        """Return the server's flags, after the file that they name has been written and a port chosen."""
        config = self._file("toml")
        config.touch(mode=0o600)
        left_out = self._left_out()
        config.write_text(
            "".join(f"{name} = {_toml(value)}\n" for name, value in self._job.options.items() if name not in left_out)
        )
        flags = ["--config", str(config), "--no-browser"]
        if self._job.name == INGRESS:
            return [*flags, "--workers", str(self._list)]
        host, port = self._job.host, self._free_port()
        self._url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        number = int(self._job.name.rpartition("-")[2])
        store = self._store.with_name(f"{self._store.name}-{number}") if number else self._store
        return [*flags, "--host", host, "--port", str(port), "--store", str(store)]

    def _left_out(self) -> tuple[str, ...]:
        return _OF_LAUNCHER if self._job.name == INGRESS else _OF_LAUNCHER + _OF_INGRESS

    def _environment(self) -> dict[str, str]:
        """Return the environment of Ray on this machine, whose options win over those of the command."""
        left_out = {f"LIPSTREAM_{name.upper()}" for name in self._left_out()}
        return {name: value for name, value in os.environ.items() if name not in left_out}

    def _free_port(self) -> int:
        """Return the first port that is free: a server that was killed gets its port again."""
        family = socket.AF_INET6 if ":" in self._job.host else socket.AF_INET
        for port in range(self._job.port, self._job.port + _PORTS):
            with socket.socket(family) as probe, contextlib.suppress(OSError):
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((self._job.host, port))
                return port
        return self._job.port  # the server says what is wrong


def _take(lock: int) -> bool:
    """Return whether an open file's lock was free, and is ours now."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _toml(value: Any) -> str:
    """Return a value as TOML: that is JSON, but for tables, which the settings read from text too."""
    is_nested = isinstance(value, list) and any(isinstance(one, dict) for one in value)
    return json.dumps(json.dumps(value) if is_nested else value, ensure_ascii=False)

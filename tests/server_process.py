"""The real server in a process of its own, and recorded speech for the browser's microphone."""

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lipstream.realtime.render import read_sound
from tests.sound_files import write_wav

ROOT = Path(__file__).parent.parent
PROMPTS = Path("/usr/share/asterisk/sounds/en_US_f_Allison")


_PORTS = range(10_000, 32_768)
"""Below the ports that Linux gives to outgoing connections and to sockets that ask for any port: no other test's socket
can take a port of these between the choice and its use."""
_given: set[int] = set()


def free_port() -> int:
    """Return a port that is free for TCP and UDP, another one each time."""
    while True:
        port = random.choice(_PORTS)
        if port not in _given and all(_is_free(port, kind) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)):
            _given.add(port)
            return port


def _is_free(port: int, kind: socket.SocketKind) -> bool:
    with socket.socket(type=kind) as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
        return True


@dataclass
class ServerProcess:
    """``run_server.py``, or what else serves, with the built-in weights and avatars."""

    store: Path
    options: tuple[str, ...] = ()
    command: tuple[str, ...] = (sys.executable, "run_server.py")
    cwd: Path = ROOT
    host: str = "127.0.0.1"
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    log: Path | None = None
    """Where its standard error goes; ``None`` for the tests' own."""
    key: str = ""
    """Shown with each request, where the server asks for one."""

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def start(self) -> None:
        """Start it and wait until it takes sessions."""
        arguments = [*self.command, "--host", self.host, "--port", str(self.port), *self.options]
        environment = os.environ | {"LIPSTREAM_STORE": str(self.store)}
        with self.log.open("ab") if self.log else contextlib.nullcontext() as log:
            self.process = subprocess.Popen(arguments, cwd=self.cwd, env=environment, stderr=log)
        deadline = time.monotonic() + 240
        while not self.is_ready():
            assert self.process.poll() is None, "the server ended"
            assert time.monotonic() < deadline, "the server does not become ready"
            time.sleep(0.2)

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=5):
                return True
        except OSError:
            return False

    def get(self, path: str) -> Any:
        request = urllib.request.Request(self.url + path, headers=self._headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}

    def post(self, path: str, body: dict[str, object]) -> Any:
        headers = {"Content-Type": "application/json", **self._headers}
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def delete(self, path: str) -> None:
        request = urllib.request.Request(self.url + path, headers=self._headers, method="DELETE")
        urllib.request.urlopen(request, timeout=60).close()

    def metrics(self) -> str:
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=60) as answer:
            text: str = answer.read().decode()
            return text

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Stop it and return its exit status."""
        assert self.process is not None
        self.process.send_signal(how)
        status = self.process.wait(120)
        self.process = None
        return status


@pytest.fixture(scope="session")
def server_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for all servers: networks are converted and avatars prepared once."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def start_server(server_store: Path) -> Iterator[Callable[..., ServerProcess]]:
    servers: list[ServerProcess] = []

    def start(*options: str, log: Path | None = None) -> ServerProcess:
        server = ServerProcess(server_store, options, log=log)
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        if server.process:
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.2)
            server.stop()  # the second signal does not wait for live sessions


@pytest.fixture(scope="session")
def speech_wav(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recorded prompts with pauses of a second and more between them, 48 kHz."""
    parts = []
    for name in ("demo-echotest", "conf-adminmenu", "priv-callee-options"):
        sound = read_sound(PROMPTS / f"{name}.wav")[: 48000 * 6]
        parts += [np.zeros(int(48000 * 1.6), np.float32), 0.6 * sound / np.abs(sound).max()]
    path = tmp_path_factory.mktemp("speech") / "speech.wav"
    write_wav(path, np.concatenate(parts))
    return path

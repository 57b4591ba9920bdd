"""The real server in a process of its own, and recorded speech for the browser's microphone."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from realtime.render import read_sound
from tests.browser.chromium import free_port

ROOT = Path(__file__).parent.parent.parent
PROMPTS = Path("/usr/share/asterisk/sounds/en_US_f_Allison")


@dataclass
class Server:
    """``run_server.py`` with the built-in weights and avatars."""

    store: Path
    options: tuple[str, ...] = ()
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it takes sessions."""
        arguments = [sys.executable, "run_server.py", "--port", str(self.port), *self.options]
        self.process = subprocess.Popen(arguments, cwd=ROOT, env=os.environ | {"LIPSTREAM_STORE": str(self.store)})
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

    def get(self, path: str) -> dict[str, object]:
        with urllib.request.urlopen(self.url + path, timeout=5) as answer:
            body: dict[str, object] = json.load(answer)
            return body

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Stop it and return its exit status."""
        assert self.process is not None
        self.process.send_signal(how)
        status = self.process.wait(30)
        self.process = None
        return status


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for all servers: networks are converted and avatars prepared once."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def start_server(store: Path) -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(*options: str) -> Server:
        server = Server(store, options)
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        if server.process:
            server.process.kill()
            server.process.wait(30)


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


def write_wav(path: Path, sound: np.ndarray, rate: int = 48000) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.rint(np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())

"""The server as a process: how it starts and how it ends."""

import signal
import subprocess
import sys
import time
import urllib.error
from collections.abc import Callable

import pytest

from tests.server_process import ROOT, Server

StartServer = Callable[..., Server]

pytestmark = pytest.mark.timeout(300)


def test_a_wrong_option_is_one_sentence_and_status_2() -> None:
    run = subprocess.run(
        [sys.executable, "run_server.py", "--host", "0.0.0.0"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert run.returncode == 2
    assert run.stderr.startswith("run_server.py: host '0.0.0.0' can be reached by others")
    assert run.stderr.count("\n") == 1


def test_a_wrong_weights_file_ends_the_start(tmp_path) -> None:
    (tmp_path / "w.pth").write_bytes(b"no weights")
    run = subprocess.run(
        [sys.executable, str(ROOT / "run_server.py"), "--port", "0", "--weights", "w.pth", "--store", "."],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert run.returncode != 0
    assert "w.pth is not a checkpoint of plain tensors" in run.stderr
    assert "Traceback" not in run.stderr


def test_sigterm_drains_and_ends_with_status_0(start_server: StartServer) -> None:
    server = start_server()
    created = server.post("/api/sessions", {})
    assert server.get(created["urls"]["self"])["state"] == "waiting"
    assert server.process is not None
    assert server.stop(signal.SIGTERM) == 0, "nobody is connected, so nothing is waited for"
    with pytest.raises(urllib.error.URLError):
        server.get("/healthz")


def test_without_the_worker_it_is_not_ready_and_then_is_again(start_server: StartServer) -> None:
    server = start_server()
    children = subprocess.run(
        ["pgrep", "-P", str(server.process.pid), "-f", "spawn_main"], capture_output=True, text=True, check=True
    ).stdout.split()
    for child in children:
        subprocess.run(["kill", "-KILL", child], check=True)
    deadline = time.monotonic() + 30
    while "lipstream_worker_restarts_total 1" not in server.metrics() or not server.is_ready():
        assert time.monotonic() < deadline
        time.sleep(0.1)

"""The server as a process: how it starts and how it ends."""

import asyncio
import os
import signal
import subprocess
import sys
import time
import urllib.error
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.realtime.rtc.loopback import Client, until
from tests.server_process import ROOT, ServerProcess

StartServer = Callable[..., ServerProcess]

pytestmark = pytest.mark.timeout(300)


def pid_of(server: ServerProcess) -> int:
    assert server.process is not None
    return server.process.pid


def test_a_wrong_option_is_one_sentence_and_status_2() -> None:
    run = subprocess.run(
        [sys.executable, "run_server.py", "--host", "0.0.0.0"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert run.returncode == 2
    assert run.stderr.startswith("run_server.py: host '0.0.0.0' can be reached by others")
    assert run.stderr.count("\n") == 1


def test_a_wrong_weights_file_ends_the_start(tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(b"no weights")
    run = subprocess.run(
        [sys.executable, str(ROOT / "run_server.py"), "--port", "0", "--weights", "w.pth", "--store", "."],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert run.returncode != 0
    assert "w.pth is a text, not a checkpoint" in run.stderr
    assert "Traceback" not in run.stderr


def test_a_card_that_is_asked_for_and_not_there_ends_the_start_with_status_2(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, str(ROOT / "run_server.py"), "--port", "0", "--device", "cuda:63", "--store", "."],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert run.returncode == 2
    assert "run_server.py: device 'cuda:63' was asked for, but torch finds no CUDA device like that" in run.stderr
    assert "Traceback" not in run.stderr


def test_sigterm_drains_and_ends_with_status_0(start_server: StartServer) -> None:
    server = start_server()
    created = server.post("/api/sessions", {})
    assert server.get(created["urls"]["self"])["state"] == "waiting"
    assert server.process is not None
    assert server.stop(signal.SIGTERM) == 0, "no client is connected, so the server does not wait"
    with pytest.raises(urllib.error.URLError):
        server.get("/healthz")


def test_sigterm_to_all_its_processes_ends_none_of_them_before_the_server(
    start_server: StartServer, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    server = start_server(log=log)
    assert server.process is not None
    family = psutil.Process(server.process.pid).children(recursive=True)
    for child in family:
        child.send_signal(signal.SIGTERM)
    time.sleep(0.5)  # so that a child that ended would be seen
    assert all(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in family)
    assert server.is_ready()
    assert server.stop(signal.SIGTERM) == 0
    assert "starting it again" not in log.read_text()
    _, alive = psutil.wait_procs(family, timeout=60)
    assert not alive


@pytest.mark.parametrize(("how", "options"), [(signal.SIGTERM, ("--grace-s", "0.5")), (signal.SIGINT, ())])
async def test_a_signal_to_its_process_group_ends_a_call_and_all_processes(
    how: signal.Signals, options: tuple[str, ...], server_store: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    server = ServerProcess(server_store, options, command=("setsid", sys.executable, "run_server.py"), log=log)
    await asyncio.to_thread(server.start)
    group, client = pid_of(server), Client()
    try:
        assert os.getpgid(group) == group
        offer = {"sdp": await client.offer(), "type": "offer"}
        created = await asyncio.to_thread(server.post, "/api/sessions", {"offer": offer})
        await client.accept(created["answer"]["sdp"])
        await until(lambda: client.frames["video"], "pictures")
        family = [child for child in psutil.Process(group).children(recursive=True) if child.is_running()]
        assert all(os.getpgid(child.pid) == group for child in family), "a terminal's signal reaches them all"
        os.killpg(group, how)
        if not options:  # Ctrl-C again, by somebody who does not wait for the call's end
            await until(lambda: f"{how.name}: live sessions" in log.read_text(), "the first one's effect")
            os.killpg(group, how)
        assert server.process is not None
        assert await asyncio.to_thread(server.process.wait, 60) == 0
        _, alive = await asyncio.to_thread(psutil.wait_procs, family, 20)
        assert not alive
        await until(lambda: client.pc.connectionState == "closed", "the goodbye")
    finally:
        await client.close()
        if server.process and server.process.poll() is None:
            os.killpg(group, signal.SIGKILL)
    said = log.read_text()
    assert not any(fault in said for fault in ("Traceback", "ERROR")), said
    assert "starting it again" not in said.partition("live sessions")[2], "the signal ended a worker"


def test_without_the_worker_it_is_not_ready_and_then_is_again(start_server: StartServer) -> None:
    server = start_server()
    process = psutil.Process(pid_of(server))
    workers = [child for child in process.children(recursive=True) if child.parent() != process]
    assert workers
    for worker in workers:
        worker.kill()
    deadline = time.monotonic() + 30
    while "lipstream_worker_restarts_total 1" not in server.metrics() or not server.is_ready():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_the_process_that_workers_are_forked_from_is_replaced(start_server: StartServer) -> None:
    server = start_server()
    process = psutil.Process(pid_of(server))
    for child in process.children(recursive=True):
        child.kill()
    deadline = time.monotonic() + 30
    while "lipstream_worker_restarts_total 1" not in server.metrics() or not server.is_ready():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert server.stop(signal.SIGTERM) == 0


def test_no_worker_outlives_a_server_that_was_killed(start_server: StartServer) -> None:
    server = start_server()
    family = psutil.Process(pid_of(server)).children(recursive=True)
    assert server.process is not None
    server.process.kill()
    server.process.wait(20)
    _, alive = psutil.wait_procs(family, timeout=60)
    assert not alive

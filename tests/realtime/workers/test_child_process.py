import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import psutil
import pytest

from lipstream.realtime.workers.child_process import Child
from lipstream.realtime.workers.child_signals import leave_to_server


class _Held:
    """A process that the kernel holds: SIGKILL does not end it."""

    pid = 4711

    def __init__(self) -> None:
        self.killed = False

    def kill(self) -> None:
        self.killed = True

    def join(self, timeout_s: float) -> None:
        assert timeout_s > 0

    def is_alive(self) -> bool:
        return True

    def close(self) -> None:
        raise ValueError("Cannot close a process while it is still running")


def _answer(connection: object) -> None:
    connection.send_bytes(b"again")  # type: ignore[attr-defined]
    connection.recv_bytes()  # type: ignore[attr-defined]


async def test_a_process_that_does_not_end_is_left_behind_and_another_can_be_started(
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard: asyncio.Queue[Any] = asyncio.Queue()
    child = Child("held", _answer, on_message=heard.put_nowait)
    held = _Held()
    child._process = held  # type: ignore[assignment]  # all that is asked of a process
    await child.stop()
    assert held.killed
    assert child.pid is None
    assert any("held (4711) does not end" in record.message for record in caplog.records)
    await child.start()
    try:
        assert await asyncio.wait_for(heard.get(), 60) == b"again"
    finally:
        await child.stop()


def _echo(connection: Any) -> None:
    leave_to_server()
    while True:
        connection.send_bytes(connection.recv_bytes())


@pytest.mark.parametrize("in_thread", [False, True])
async def test_messages_come_in_order_and_the_end_is_noticed(in_thread: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a thread as on Windows, whose event loop waits for no pipe."""
    monkeypatch.setattr("lipstream.realtime.workers.child_process._READS_IN_THREAD", in_thread)
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    lost = asyncio.Event()
    child = Child("echo", _echo, on_message=heard.put_nowait, on_lost=lost.set)
    await child.start()
    try:
        sent = [f"{number}".encode() * number for number in range(1, 50)]
        for message in sent:
            child.send(message)
        async with asyncio.timeout(60):
            assert [await heard.get() for _ in sent] == sent
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        async with asyncio.timeout(60):
            await lost.wait()
        assert not child.alive
    finally:
        await child.stop()


def _ignored(pid: int) -> set[int]:
    """Return the signals that a process ignores."""
    mask = int(re.findall(r"SigIgn:\s*(\w+)", Path(f"/proc/{pid}/status").read_text())[0], 16)
    return {number for number in range(1, 32) if mask >> (number - 1) & 1}


def _tell_signals(connection: Any) -> None:
    leave_to_server()
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(os.getpid(), number)
    connection.send_bytes(b"alive")
    connection.recv_bytes()


async def test_a_process_that_is_stopped_while_it_starts_is_not_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    start = BaseProcess.start

    def start_slowly(process: BaseProcess) -> None:
        start(process)
        time.sleep(0.5)  # its message waits in the pipe by then

    monkeypatch.setattr(BaseProcess, "start", start_slowly)
    heard: list[bytes] = []
    child = Child("late", _answer, on_message=heard.append)
    starting = asyncio.create_task(child.start())
    await asyncio.sleep(0.1)
    await child.stop()
    await starting
    assert heard == []
    assert child.pid is None
    assert not child.alive


async def test_signals_to_the_whole_group_end_neither_children_nor_what_forks_them() -> None:
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    child = Child("group", _tell_signals, on_message=heard.put_nowait)
    await child.start()
    try:
        assert await asyncio.wait_for(heard.get(), 60) == b"alive"
        assert child.pid is not None
        for process in (psutil.Process(child.pid), psutil.Process(child.pid).parent()):
            assert process is not None
            assert {signal.SIGINT, signal.SIGTERM} <= _ignored(process.pid)
        assert child.alive
    finally:
        await child.stop()


_LEAVES_CHILD = """
import asyncio, sys
from tests.realtime.workers.test_child_process import Child, _ignore_and_wait

async def main():
    told = asyncio.Event()
    child = Child("left", _ignore_and_wait, on_message=lambda _: told.set())
    await child.start()
    await told.wait()
    print(child.pid, flush=True)

if __name__ == "__main__":
    asyncio.run(main())
"""


def _ignore_and_wait(connection: Any) -> None:
    leave_to_server()
    connection.send_bytes(b"here")
    while True:
        signal.pause()


def test_a_server_that_ends_without_stopping_its_children_takes_them_along() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _LEAVES_CHILD], capture_output=True, text=True, timeout=60, check=True
    )
    assert not psutil.pid_exists(int(ended.stdout))

import asyncio
from typing import Any

import pytest

from lipstream.realtime.workers.child_process import Child


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

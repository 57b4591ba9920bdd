"""Child processes of the server, and the pipes to them.

Children are forked from a process that has imported what they need and does nothing else. Importing takes longer than
all else that a worker does before its first job, so this is what makes the first picture come soon, and a worker that
died be replaced soon; and what was imported once lies in memory once.
"""

import asyncio
import atexit
import contextlib
import logging
import multiprocessing
import sys
from collections.abc import Callable
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess

_IMPORTED = [
    f"lipstream.realtime.workers.{name}" for name in ("forkserver_signals", "picture_worker", "render_loading")
]
_CAN_FORK = sys.platform == "linux"
"""Elsewhere the system's libraries must not be forked, or cannot be: children import by themselves there."""


def warm_up() -> None:
    """Begin to import what children need; returns at once."""
    if _CAN_FORK:
        _context()
        forkserver.ensure_running()


def _context() -> ForkServerContext | SpawnContext:
    if not _CAN_FORK:
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_IMPORTED)
    return context


logger = logging.getLogger(__name__)

_JOIN_S = 10.0
"""After SIGKILL a process ends at once, unless the kernel waits for a device on its behalf."""


class Child:
    """One child process, as the event loop's thread sees it. It may be started again once it was stopped.

    Args:
        name: Of the process.
        target: What runs in it, given the child's end of the pipe and what ``start`` is given.
        on_message: Told each message of the child's.
        on_lost: Told that the pipe is gone.
    """

    def __init__(
        self,
        name: str,
        target: Callable[..., None],
        *,
        on_message: Callable[[bytes], None],
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        self._name, self._target = name, target
        self._on_message, self._on_lost = on_message, on_lost
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None
        self._starting: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Of the process, while there is one."""
        return self._process.pid if self._process else None

    @property
    def alive(self) -> bool:
        """Whether it runs and can be spoken to."""
        return self._process is not None and self._process.is_alive() and self._connection is not None

    async def start(self, *arguments: object) -> None:
        """Start the process.

        Raises:
            OSError: If it cannot be.
            EOFError: If the process that forks it ends meanwhile.
        """
        self._starting = asyncio.create_task(self._start(arguments), name=f"start-{self._name}")
        await asyncio.shield(self._starting)  # a process half started could not be ended

    async def _start(self, arguments: tuple[object, ...]) -> None:
        context = _context()
        ours, theirs = context.Pipe()
        process = context.Process(target=self._target, args=(theirs, *arguments), name=self._name, daemon=True)
        try:
            await asyncio.to_thread(process.start)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        atexit.register(process.kill)  # without it, multiprocessing would wait for a child that ignores SIGTERM
        self._process, self._connection = process, ours
        asyncio.get_running_loop().add_reader(ours.fileno(), self._read)

    def send(self, message: bytes) -> None:
        """Send a message; lost if the child is."""
        if self._connection:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # its end is read, too
                self._connection.send_bytes(message)

    async def stop(self) -> None:
        """End the process, and wait until it has, but not for long: a driver may hold it. May be called again."""
        if self._starting:
            await asyncio.wait([self._starting])
        self.disconnect()
        process, self._process = self._process, None
        if process:
            atexit.unregister(process.kill)
            process.kill()
            await asyncio.to_thread(process.join, _JOIN_S)
            if process.is_alive():
                logger.error("process %s (%d) does not end: it is left behind", self._name, process.pid)
            else:
                process.close()

    def disconnect(self) -> None:
        """Let go of the pipe; a child that still reads it ends."""
        if self._connection:
            asyncio.get_running_loop().remove_reader(self._connection.fileno())
            self._connection.close()
            self._connection = None
            self._on_lost()

    def _read(self) -> None:
        """Take one message; with another one there, the event loop calls again: to ask costs more than that."""
        assert self._connection is not None
        try:
            message = self._connection.recv_bytes()
        except (EOFError, ConnectionResetError):
            self.disconnect()
        else:
            self._on_message(message)

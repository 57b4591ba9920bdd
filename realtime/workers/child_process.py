"""Child processes of the server, and the pipes to them.

Children are forked from a process that has imported their modules and does nothing else. A worker would spend most of
its start on imports. With the fork the first picture comes sooner, a worker that died is replaced sooner, and the
children share the memory of the imported modules.
"""

import asyncio
import atexit
import contextlib
import gc
import logging
import multiprocessing
import sys
import threading
from collections.abc import Callable
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess

_IMPORTED = [f"lipstream.realtime.workers.{name}" for name in ("forkserver_setup", "picture_worker", "render_loading")]
_CAN_FORK = sys.platform == "linux"
"""Other systems cannot fork, or their libraries are not safe to fork; children do their own imports there."""
_READS_IN_THREAD = sys.platform == "win32"
"""The event loop of Windows waits for sockets, and not for pipes."""


def warm_up() -> None:
    """Start the process that children are forked from; return at once."""
    if _CAN_FORK:
        _context()
        forkserver.ensure_running()


def _context() -> ForkServerContext | SpawnContext:
    if not _CAN_FORK:
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_IMPORTED)
    return context


def _run(target: Callable[..., None], *arguments: object) -> None:
    """Run what a child is for. What it shares with the process that it was forked from is no garbage."""
    gc.freeze()
    gc.enable()
    target(*arguments)


logger = logging.getLogger(__name__)

_JOIN_S = 10.0
"""Longest wait for a process after SIGKILL: the kernel may hold the process while it waits for a device."""


class Child:
    """One child process. It may be started again after ``stop``. All methods belong to the event loop's thread.

    Args:
        on_lost: Called when the pipe is closed; default: nothing happens.
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
        self._is_stopping = False  # while a process that is still starting is waited for

    @property
    def pid(self) -> int | None:
        """Process id; ``None`` without a process."""
        return self._process.pid if self._process else None

    @property
    def alive(self) -> bool:
        """Whether the process runs and its pipe is open."""
        return self._process is not None and self._process.is_alive() and self._connection is not None

    async def start(self, *arguments: object) -> None:
        """Start the process.

        Raises:
            OSError: If the process cannot be started.
            EOFError: If the process that forks it ends meanwhile.
        """
        self._is_stopping = False
        self._starting = asyncio.create_task(self._start(arguments), name=f"start-{self._name}")
        await asyncio.shield(self._starting)  # a half-started process could not be ended

    async def _start(self, arguments: tuple[object, ...]) -> None:
        context = _context()
        ours, theirs = context.Pipe()
        arguments = (self._target, theirs, *arguments)
        process = context.Process(target=_run, args=arguments, name=self._name, daemon=True)
        try:
            await asyncio.to_thread(process.start)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        atexit.register(process.kill)  # without it, multiprocessing would wait for a child that ignores SIGTERM
        self._process, self._connection = process, ours
        if not self._is_stopping:
            self._listen(ours)

    def _listen(self, connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        if not _READS_IN_THREAD:
            loop.add_reader(connection.fileno(), self._read)
            return
        arguments = connection, loop
        threading.Thread(target=self._read_all, args=arguments, name=f"read-{self._name}", daemon=True).start()

    def send(self, message: bytes) -> None:
        """Send a message; it is lost if the child has ended."""
        if self._connection:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # _read notices the end
                self._connection.send_bytes(message)

    async def stop(self) -> None:
        """Kill the process and wait up to 10 s for its end; a driver may hold it longer. May be called again.

        No message of the process is taken from now on.
        """
        self._is_stopping = True
        self.disconnect()
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
        """Close the pipe; a child that reads from it ends."""
        if self._connection:
            if not _READS_IN_THREAD:
                asyncio.get_running_loop().remove_reader(self._connection.fileno())
            self._connection.close()
            self._connection = None
            self._on_lost()

    def _read(self) -> None:
        """Take one message. The event loop calls again for the next one; asking the pipe for more would cost more."""
        assert self._connection is not None
        try:
            message = self._connection.recv_bytes()
        except (EOFError, ConnectionResetError):
            self.disconnect()
        else:
            self._on_message(message)

    def _read_all(self, connection: Connection, loop: asyncio.AbstractEventLoop) -> None:
        """Give the event loop each message of a pipe, until its end; runs in a thread."""
        message: bytes | None = b""
        while message is not None:
            try:
                message = connection.recv_bytes()
            except (EOFError, OSError):
                message = None
            try:
                loop.call_soon_threadsafe(self._take, connection, message)
            except RuntimeError:  # the loop is closed
                return

    def _take(self, connection: Connection, message: bytes | None) -> None:
        if connection is not self._connection:
            return
        if message is None:
            self.disconnect()
        else:
            self._on_message(message)

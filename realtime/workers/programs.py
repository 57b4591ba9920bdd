"""Ends programs that the event loop started."""

import asyncio
import contextlib
import os
import signal
import sys


def kill_program(process: asyncio.subprocess.Process) -> None:
    """Kill a program that may have ended already. The caller waits for it afterwards.

    ``process.kill()`` first looks whether the program has ended, and so takes the exit status from asyncio's watcher,
    which then logs that it knows no such child.
    """
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            if sys.platform == "win32":
                process.kill()
            else:
                os.kill(process.pid, signal.SIGKILL)


def close_pipes(process: asyncio.subprocess.Process) -> None:
    """Close this end of a program's pipes: ``wait()`` never returns while a full output pipe is open."""
    transport: asyncio.SubprocessTransport = process._transport  # type: ignore[attr-defined]  # noqa: SLF001
    for descriptor in (0, 1, 2):
        if pipe := transport.get_pipe_transport(descriptor):
            pipe.close()

"""Sessions that have ended, until nothing of them is left, and the memory that they leave."""

import asyncio
import gc
from collections.abc import Callable, Iterator

from lipstream.realtime.session.session import Session

_COLLECT_EVERY = 4
"""Number of ended sessions after which the garbage collector runs.

Each session leaves a thousand objects in cycles. Without this they would accumulate until one of the collector's rare
full passes takes longer than a picture may."""


class EndedSessions:
    """Closes sessions in the background, and keeps each until it is gone.

    Args:
        is_idle: Returns whether the server has no session.
    """

    def __init__(self, is_idle: Callable[[], bool]) -> None:
        self._is_idle = is_idle
        self._closing: dict[Session, asyncio.Task[None]] = {}
        self._closed, self._settled = 0, False

    def __iter__(self) -> Iterator[Session]:
        """Yield those of which something is left."""
        return (session for session in self._closing if not session.gone)

    def add(self, session: Session) -> None:
        """Close a session."""
        task = self._closing[session] = asyncio.create_task(session.close(), name="end-session")
        task.add_done_callback(lambda _: self._closed_one())

    def forget_gone(self) -> None:
        """Forget those of which nothing is left."""
        for session in [session for session in self._closing if session.gone]:
            del self._closing[session]

    async def wait(self) -> None:
        """Wait until all are closed."""
        if self._closing:
            await asyncio.wait(self._closing.values())

    def _closed_one(self) -> None:
        self.forget_gone()
        asyncio.get_running_loop().call_soon(self._collect)  # takes milliseconds, so it runs after an answer

    def _collect(self) -> None:
        self._closed += 1
        if self._closed % _COLLECT_EVERY:
            return
        gc.collect()
        if not self._settled and self._is_idle():
            self._settled = True
            gc.freeze()  # the modules that the first calls imported

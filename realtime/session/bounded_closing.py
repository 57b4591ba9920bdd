"""Closes the parts of a session side by side, each within a time, so that no part keeps the others open."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

logger = logging.getLogger(__name__)

CLOSE_S = 5.0
"""Time for a part to close. A peer tells the other end, a recording writes what waits, a stream takes its leave."""


class BoundedClosing:
    """The closing of one session's parts.

    A part that takes longer than :data:`CLOSE_S` is logged and left to end by itself: most of them wait for a thread or
    a task that a cancellation of the wait would not end.
    """

    def __init__(self) -> None:
        self._left: set[asyncio.Task[None]] = set()

    @property
    def unfinished(self) -> int:
        """Number of parts that have not ended within their time and still run."""
        return len(self._left)

    async def close(self, parts: dict[str, Coroutine[Any, Any, None]]) -> None:
        """Close parts, and wait until all have ended or :data:`CLOSE_S` is over; a failure is logged.

        Args:
            parts: Coroutines that each close one part, by the part's name in the log.
        """
        closing = {asyncio.create_task(part, name=f"close-{name}"): name for name, part in parts.items()}
        if not closing:
            return
        self._left |= closing.keys()
        for task in closing:
            task.add_done_callback(self._note_end)
        _, late = await asyncio.wait(closing, timeout=CLOSE_S)
        for task in late:
            logger.error("the session's %s did not close within %.0f s", closing[task], CLOSE_S)

    def _note_end(self, task: asyncio.Task[None]) -> None:
        self._left.discard(task)
        if not task.cancelled() and (error := task.exception()):
            logger.error("%s failed", task.get_name(), exc_info=error)

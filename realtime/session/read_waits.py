"""Lets tasks wait for the timeline's reads without polling a queue."""

import asyncio
from collections.abc import Callable


class ReadWaits:
    """Tasks that each wait for a condition on a queue.

    Set a queue's ``on_read`` to ``check``: each condition is then evaluated after every read of the timeline, and its
    task wakes as soon as the condition holds.
    """

    def __init__(self) -> None:
        self._waits: dict[asyncio.Event, Callable[[], bool]] = {}

    def check(self) -> None:
        """Wake each task whose condition holds."""
        for event, condition in self._waits.items():
            if condition():
                event.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds; return at once if it does."""
        while not condition():
            event = asyncio.Event()
            self._waits[event] = condition
            try:
                await event.wait()
            finally:
                del self._waits[event]

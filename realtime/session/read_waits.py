"""Lets tasks wait for what the timeline reads, without looking at a queue again and again."""

import asyncio
from collections.abc import Callable


class ReadWaits:
    """Tasks that wait for a condition on what the timeline reads.

    ``check`` belongs to a queue's ``on_read``: a condition is looked at after each read, and its task wakes when it
    holds, not before.
    """

    def __init__(self) -> None:
        self._waits: dict[asyncio.Event, Callable[[], bool]] = {}

    def check(self) -> None:
        """Wake the tasks whose condition holds."""
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

"""Spreads the work of answering offers over rounds of the event loop.

One step takes milliseconds: several in a row would delay pictures.
"""

import asyncio


class OfferPacing:
    """Admits one step of an offer per round of the event loop."""

    def __init__(self) -> None:
        self._next = asyncio.Lock()

    async def wait_turn(self) -> None:
        """Wait for a round of the event loop without another step.

        The step is the code of the caller up to its next ``await``.
        """
        async with self._next:
            await asyncio.sleep(0)

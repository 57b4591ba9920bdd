"""Work of milliseconds, spread over rounds of the event loop: pictures do not wait for several offers in a row."""

import asyncio


class OfferPacing:
    """Lets everybody who has such work to do wait for a round that nobody else uses for it."""

    def __init__(self) -> None:
        self._next = asyncio.Lock()

    async def wait_turn(self) -> None:
        """Wait for a turn, which lasts until the caller waits for anything else."""
        async with self._next:
            await asyncio.sleep(0)

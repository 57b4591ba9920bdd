"""The server's end of the picture workers: starts them, shares the broadcasts out, starts those again that end or hang.

A broadcast whose worker ends loses the picture that is under way. It goes on with another worker, or in threads of the
server until one is there again; new encoders begin with a key frame.
"""

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

from realtime.encoding.picture_backend import Encoded, Order, OwnThreads, Paint, PicturePlace
from realtime.lipsync.metadata import Region
from realtime.picture.compositor import Painting
from realtime.workers.picture_process import Seat, Worker, WorkerGoneError

log = logging.getLogger(__name__)

_WATCH_S = 0.1


class PictureWorkers:
    """All of a server's. All methods belong to the event loop's thread.

    Args:
        store: Root of the avatar store.
        count: How many; with 0, threads of the server make the pictures.

    Attributes:
        seconds: Processor time that pictures have taken in the workers.
        restarts: Times that one was started again.
    """

    def __init__(self, store: Path, count: int) -> None:
        self.seconds = 0.0
        self.restarts = 0
        self._workers = [Worker(store, self._spent) for _ in range(count)]
        self._watcher: asyncio.Task[None] | None = None

    @property
    def up(self) -> int:
        """How many take pictures now."""
        return sum(worker.ready.is_set() for worker in self._workers)

    @property
    def pids(self) -> list[int]:
        """Of those that run."""
        return [pid for worker in self._workers if (pid := worker.pid) is not None]

    def start(self, region: Region) -> None:
        """Start the processes. They come up in the background; until then threads of the server stand in for them.

        Args:
            region: The decoded region, which sets the size of a mouth.
        """
        for worker in self._workers:
            worker.region = region
        if self._workers:
            self._watcher = asyncio.create_task(self._watch(), name="picture-workers-watch")

    def open(self) -> "PictureStream":
        """Return where a broadcast's pictures are made."""
        return PictureStream(self)

    def least_busy(self) -> Worker | None:
        """Return the worker with the fewest streams, if one is up and has room."""
        up = [worker for worker in self._workers if worker.has_room]
        return min(up, key=lambda worker: worker.streams, default=None)

    async def close(self) -> None:
        """End the processes. May be called again."""
        if self._watcher:
            self._watcher.cancel()
            await asyncio.wait([self._watcher])
            self._watcher = None
        for worker in self._workers:
            await worker.stop()

    def _spent(self, seconds: float) -> None:
        self.seconds += seconds

    async def _watch(self) -> None:
        for worker in self._workers:
            try:
                await worker.start()
            except OSError:
                log.exception("a picture worker cannot be started; trying again")
        while True:
            await asyncio.sleep(_WATCH_S)
            for worker in self._workers:
                try:
                    self.restarts += await worker.restart_if_needed()
                except OSError:
                    log.exception("a picture worker cannot be started; trying again")


class PictureStream:
    """One broadcast's pictures: at a worker while one is up."""

    def __init__(self, workers: PictureWorkers) -> None:
        self._workers = workers
        self._place: PicturePlace = OwnThreads()

    async def encode(self, index: int, paint: Paint, orders: Sequence[Order]) -> list[Encoded]:
        """Paint a picture and encode it as ordered, by new encoders where the ones before are gone.

        Raises:
            PictureFailedError: If it cannot be made.
        """
        try:
            return await self._place_for(paint).encode(index, paint, orders)
        except WorkerGoneError:
            return [Encoded((), key=False, bitrate=0, pixels=0) for _ in orders]

    def close(self) -> None:
        """Let go of the encoders."""
        self._place.close()

    def _place_for(self, paint: Paint) -> PicturePlace:
        known = isinstance(paint, Painting) and paint.compositor.origin is not None
        place = self._place
        if isinstance(place, Seat) and known and place.worker.has(place):
            return place
        worker = self._workers.least_busy() if known else None
        if worker or isinstance(place, Seat):
            place.close()
            self._place = worker.seat() if worker else OwnThreads()
        return self._place

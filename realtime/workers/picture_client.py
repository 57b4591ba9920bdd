"""The server's end of the picture workers: starts them and distributes the broadcasts among them.

A broadcast whose worker ends loses the picture under way. It continues with another worker, or with threads of the
server until a worker is ready. New encoders begin with a key frame.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from lipstream.realtime.encoding.picture_backend import Encoded, EncodeRequest, Paint, PictureBackend, ThreadBackend
from lipstream.realtime.lipsync.fields import PIXEL_BYTES
from lipstream.realtime.lipsync.metadata import Region
from lipstream.realtime.picture.compositor import Painting
from lipstream.realtime.workers.picture_process import PictureProcess, WorkerGoneError, WorkerSlot


class PictureWorkers:
    """All picture workers of a server. All methods belong to the event loop's thread.

    Args:
        count: Number of workers; with 0, threads of the server make the pictures.

    Attributes:
        seconds: Processor time that the workers have spent on pictures, s.
    """

    def __init__(self, store: Path, count: int) -> None:
        self.seconds = 0.0
        self._workers = [PictureProcess(store, self._spent) for _ in range(count)]

    @property
    def up(self) -> int:
        """Number of workers that take pictures now."""
        return sum(worker.ready for worker in self._workers)

    @property
    def restarts(self) -> int:
        """Number of restarts, over all workers."""
        return sum(worker.restarts for worker in self._workers)

    @property
    def pids(self) -> list[int]:
        """Process ids of the running workers."""
        return [pid for worker in self._workers if (pid := worker.pid) is not None]

    def start(self, region: Region, pixel_bytes: int = PIXEL_BYTES) -> None:
        """Start the processes in the background; threads of the server make the pictures until they are ready.

        Args:
            region: The decoded region.
            pixel_bytes: Bytes of one pixel of a mouth: 3 for BGR, 8 or 20 for fields.
        """
        for worker in self._workers:
            worker.region, worker.pixel_bytes = region, pixel_bytes
            worker.start()

    def open(self) -> "PictureStream":
        """Return a picture backend for one broadcast."""
        return PictureStream(self)

    def least_busy(self) -> PictureProcess | None:
        """Return the worker with the fewest streams; ``None`` if no worker is up and has room."""
        up = [worker for worker in self._workers if worker.has_room]
        return min(up, key=lambda worker: worker.streams, default=None)

    async def close(self) -> None:
        """End the processes. May be called again."""
        await asyncio.gather(*(worker.close() for worker in self._workers))

    def _spent(self, seconds: float) -> None:
        self.seconds += seconds


class PictureStream:
    """The picture backend of one broadcast: a worker while one is up, else threads of the server."""

    def __init__(self, workers: PictureWorkers) -> None:
        self._workers = workers
        self._backend: PictureBackend = ThreadBackend()

    async def encode(self, index: int, paint: Paint, requests: Sequence[EncodeRequest]) -> list[Encoded]:
        """Paint a picture and encode it for each request; without payloads if the worker ended meanwhile.

        Raises:
            PictureFailedError: If the picture cannot be painted or encoded.
        """
        try:
            return await self._backend_for(paint).encode(index, paint, requests)
        except WorkerGoneError:
            return [Encoded((), key=False, bitrate=0, pixels=0) for _ in requests]

    def close(self) -> None:
        """Free the encoders."""
        self._backend.close()

    def _backend_for(self, paint: Paint) -> PictureBackend:
        known = isinstance(paint, Painting) and paint.compositor.origin is not None
        backend = self._backend
        if isinstance(backend, WorkerSlot) and known and backend.worker.has(backend):
            return backend
        worker = self._workers.least_busy() if known else None
        if worker or isinstance(backend, WorkerSlot):
            backend.close()
            self._backend = worker.take_slot() if worker else ThreadBackend()
        return self._backend

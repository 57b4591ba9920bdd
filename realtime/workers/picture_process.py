"""The server's end of one picture worker: its process, its streams and their pictures under way."""

import asyncio
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lipstream.realtime.encoding.picture_backend import Encoded, EncodeRequest, Paint
from lipstream.realtime.lipsync.fields import PIXEL_BYTES
from lipstream.realtime.lipsync.metadata import Region
from lipstream.realtime.picture.compositor import Painting
from lipstream.realtime.workers.child_process import Child
from lipstream.realtime.workers.messages import pack, unpack
from lipstream.realtime.workers.picture_messages import (
    FROM_WORKER,
    CloseStream,
    PictureEncoded,
    PictureNotMade,
    PicturesReady,
    UseMemory,
    encoded_pictures,
    picture_message,
)
from lipstream.realtime.workers.picture_worker import run
from lipstream.realtime.workers.shared_memory import SLOTS, JobMemory
from lipstream.realtime.workers.supervisor import Fault, Supervisor

START_TIMEOUT_S = 120.0
"""Importing libraries takes a second, and many seconds on a busy machine."""


class WorkerGoneError(Exception):
    """The worker ended with a picture under way."""


class PictureFailedError(Exception):
    """A picture could not be painted or encoded. The fault concerns its broadcast alone."""


class WorkerSlot:
    """A stream's place in one worker, valid while that worker runs."""

    def __init__(self, worker: "PictureProcess", stream: int, slot: int) -> None:
        self.worker, self.stream, self.slot = worker, stream, slot

    async def encode(self, index: int, paint: Paint, requests: Sequence[EncodeRequest]) -> list[Encoded]:
        """Have the worker paint and encode a picture; see :meth:`PictureProcess.make`."""
        assert isinstance(paint, Painting)
        return await self.worker.make(self, index, paint, requests)

    def close(self) -> None:
        """Free the encoders and the slot."""
        self.worker.release(self)


class PictureProcess:
    """One picture worker as the server sees it. All methods belong to the event loop's thread.

    Args:
        on_spent: Called for each picture with the processor time that the worker spent on it, s.

    Attributes:
        restarts: Number of restarts of the process.
        start_timeout_s: Longest time that the process may take to be ready, s.
        region: The decoded region; ``None`` until it is known. The worker takes no streams before.
        pixel_bytes: Bytes of one pixel of a mouth: 3 for BGR, 8 or 20 for fields.
    """

    def __init__(self, store: Path, on_spent: Callable[[float], None]) -> None:
        self.label, self.start_timeout_s = "a picture worker", START_TIMEOUT_S
        self.ready, self.restarts = False, 0
        self.region: Region | None = None
        self.pixel_bytes = PIXEL_BYTES
        self._store, self._on_spent = store, on_spent
        self._child = Child("picture-worker", run, on_message=self._take, on_lost=self._lost)
        self._memory: JobMemory | None = None
        self._ids = itertools.count()
        self._free: list[int] = []
        self._held: dict[int, WorkerSlot] = {}  # by stream
        self._under_way: dict[int, tuple[asyncio.Future[list[Encoded]], float]] = {}  # by stream, with the time asked
        self._supervisor = Supervisor(self)

    @property
    def pid(self) -> int | None:
        """Process id; ``None`` without a process."""
        return self._child.pid

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._child.alive

    @property
    def owes_since_s(self) -> float | None:
        """Monotonic time of the request for the oldest picture under way; ``None`` if none is."""
        return min((since_s for _, since_s in self._under_way.values()), default=None)

    @property
    def streams(self) -> int:
        """Number of streams that have a slot."""
        return len(self._held)

    @property
    def has_room(self) -> bool:
        """Whether one more stream can have a slot."""
        return self.ready and self.region is not None and len(self._held) < SLOTS

    def has(self, held: WorkerSlot) -> bool:
        """Return whether the slot and its encoders still exist."""
        return self.ready and self._held.get(held.stream) is held

    def take_slot(self) -> WorkerSlot:
        """Return a slot for a new stream."""
        if self._memory is None:
            assert self.region is not None
            self._memory = JobMemory(self.region, pixel_bytes=self.pixel_bytes)
            self._free = list(range(SLOTS))
            self._send(UseMemory(self._memory.name, list(self.region), self.pixel_bytes))
        held = WorkerSlot(self, next(self._ids), self._free.pop())
        self._held[held.stream] = held
        return held

    def release(self, held: WorkerSlot) -> None:
        """Free a slot and its encoders."""
        if self._held.pop(held.stream, None):
            self._free.append(held.slot)
            self._under_way.pop(held.stream, None)
            self._send(CloseStream(held.stream))

    async def make(
        self, held: WorkerSlot, index: int, painting: Painting, requests: Sequence[EncodeRequest]
    ) -> list[Encoded]:
        """Have the worker paint and encode a picture.

        Raises:
            WorkerGoneError: If the process ends meanwhile.
            PictureFailedError: If the picture cannot be painted or encoded.
        """
        assert self._memory is not None
        loop = asyncio.get_running_loop()
        slot = None
        if painting.mouth is not None:
            slot = held.slot
            self._memory.mouths[slot] = painting.mouth
        future: asyncio.Future[list[Encoded]] = loop.create_future()
        self._under_way[held.stream] = future, loop.time()
        self._send(picture_message(held.stream, index, painting, slot, requests))
        return await future

    def start(self) -> None:
        """Start the process in the background, and again whenever it ends or hangs."""
        self._supervisor.begin()

    async def close(self) -> None:
        """End the process. May be called again."""
        await self._supervisor.end()

    async def start_child(self) -> None:
        """Start the process."""
        await self._child.start(self._store)

    async def stop_child(self) -> None:
        """End the process. May be called again."""
        await self._child.stop()
        if self._memory:
            self._memory.close()
            self._memory = None

    def take_fault(self, fault: Fault, *, stable: bool) -> bool:  # noqa: ARG002 (another process gets over any fault)
        """Count the restart that follows."""
        self.restarts += 1
        return True

    def _send(self, message: Any) -> None:
        self._child.send(pack(message))

    def _take(self, data: bytes) -> None:
        message, payload = unpack(FROM_WORKER, data)
        match message:
            case PicturesReady():
                self.ready = True
            case PictureEncoded(stream):
                self._on_spent(message.cpu_s)
                if future := self._asked(stream):
                    future.set_result(encoded_pictures(message, payload))
            case PictureNotMade(stream, why):
                if future := self._asked(stream):
                    future.set_exception(PictureFailedError(why))

    def _asked(self, stream: int) -> "asyncio.Future[list[Encoded]] | None":
        """Return the future for a stream's picture; ``None`` if no caller awaits it any more."""
        future, _ = self._under_way.pop(stream, (None, 0.0))
        return None if future is None or future.done() else future

    def _lost(self) -> None:
        """Free all slots of a process that has ended or is about to, so that its streams change to another backend."""
        self.ready = False
        under_way, self._under_way = self._under_way, {}
        self._held.clear()
        self._free.clear()
        for future, _ in under_way.values():
            if not future.done():
                future.set_exception(WorkerGoneError())

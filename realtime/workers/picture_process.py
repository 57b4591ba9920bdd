"""One picture worker's process, and its end in the server: its streams, their pictures under way, its restart."""

import asyncio
import itertools
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lipstream.realtime.encoding.picture_backend import Encoded, EncodeRequest, Paint
from lipstream.realtime.lipsync.metadata import Region
from lipstream.realtime.picture.compositor import Painting
from lipstream.realtime.workers.child_process import Child
from lipstream.realtime.workers.picture_messages import encoded_pictures, pack, picture_message, unpack
from lipstream.realtime.workers.picture_worker import run
from lipstream.realtime.workers.shared_memory import SLOTS, JobMemory

logger = logging.getLogger(__name__)

HANG_S = 2.0
"""With a picture under way for this long, the worker hangs."""
START_TIMEOUT_S = 120.0
"""Importing libraries takes a second, and many of them on a machine that is busy."""
_RESTART_DELAYS_S = (0.0, 0.5, 1.0, 2.0, 5.0)
_STABLE_S = 30.0
"""A worker that ends sooner than this is started again after a growing pause."""


class WorkerGoneError(Exception):
    """The worker ended with a picture under way."""


class PictureFailedError(Exception):
    """A picture could not be made; it is the broadcast's own fault."""


class WorkerSlot:
    """A stream's place at one worker, as long as that runs."""

    def __init__(self, worker: "PictureProcess", stream: int, slot: int) -> None:
        self.worker, self.stream, self.slot = worker, stream, slot

    async def encode(self, index: int, paint: Paint, requests: Sequence[EncodeRequest]) -> list[Encoded]:
        """Have a picture made."""
        assert isinstance(paint, Painting)
        return await self.worker.make(self, index, paint, requests)

    def close(self) -> None:
        """Let go of the encoders."""
        self.worker.release(self)


class PictureProcess:
    """One child process, as the server sees it. All methods belong to the event loop's thread.

    Args:
        store: Root of the avatar store.
        on_spent: Told the processor time that each picture took there, s.

    Attributes:
        ready: Whether it takes pictures.
        region: The decoded region; before it is known there is no room for anybody.
    """

    def __init__(self, store: Path, on_spent: Callable[[float], None]) -> None:
        self.ready = asyncio.Event()
        self.region: Region | None = None
        self._store, self._on_spent = store, on_spent
        self._child = Child("picture-worker", run, on_message=self._take, on_lost=self._lost)
        self._memory: JobMemory | None = None
        self._ids = itertools.count()
        self._free: list[int] = []
        self._held: dict[int, WorkerSlot] = {}  # by stream
        self._under_way: dict[int, tuple[asyncio.Future[list[Encoded]], float]] = {}  # by stream, and since when
        self._started_s = 0.0
        self._failures = 0

    @property
    def pid(self) -> int | None:
        """Of the process, while there is one."""
        return self._child.pid

    @property
    def streams(self) -> int:
        """Streams that have a slot."""
        return len(self._held)

    @property
    def has_room(self) -> bool:
        """Whether one more stream can have a slot."""
        return self.ready.is_set() and self.region is not None and len(self._held) < SLOTS

    def has(self, held: WorkerSlot) -> bool:
        """Tell whether a slot's encoders are still there."""
        return self.ready.is_set() and self._held.get(held.stream) is held

    def take_slot(self) -> WorkerSlot:
        """Return a place for one more stream."""
        if self._memory is None:
            assert self.region is not None
            self._memory = JobMemory(self.region)
            self._free = list(range(SLOTS))
            self._send({"memory": [self._memory.name, list(self.region)]})
        held = WorkerSlot(self, next(self._ids), self._free.pop())
        self._held[held.stream] = held
        return held

    def release(self, held: WorkerSlot) -> None:
        """Let go of a stream's encoders."""
        if self._held.pop(held.stream, None):
            self._free.append(held.slot)
            self._under_way.pop(held.stream, None)
            self._send({"close": held.stream})

    async def make(
        self, held: WorkerSlot, index: int, painting: Painting, requests: Sequence[EncodeRequest]
    ) -> list[Encoded]:
        """Have a picture painted and encoded.

        Raises:
            WorkerGoneError: If the process ends meanwhile.
            PictureFailedError: If the picture cannot be made.
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

    async def start(self) -> None:
        """Start the process.

        Raises:
            OSError: If it cannot be.
        """
        self._started_s = asyncio.get_running_loop().time()
        await self._child.start(self._store)

    async def restart_if_needed(self) -> bool:
        """Start the process again if it is gone or hangs; return whether."""
        now_s = asyncio.get_running_loop().time()
        hangs = any(now_s - since_s > HANG_S for _, since_s in self._under_way.values())
        hangs |= not self.ready.is_set() and now_s - self._started_s > START_TIMEOUT_S
        if self._child.alive and not hangs:
            return False
        logger.warning("a picture worker %s; starting it again", "hangs" if self._child.alive else "is gone")
        self._failures = self._failures + 1 if now_s - self._started_s < _STABLE_S else 0
        await self.stop()
        await asyncio.sleep(_RESTART_DELAYS_S[min(self._failures, len(_RESTART_DELAYS_S) - 1)])
        await self.start()
        return True

    async def stop(self) -> None:
        """End the process."""
        await self._child.stop()
        if self._memory:
            self._memory.close()
            self._memory = None

    def _send(self, message: dict[str, Any]) -> None:
        self._child.send(pack(message))

    def _take(self, data: bytes) -> None:
        message, body = unpack(data)
        if "ready" in message:
            self.ready.set()
            return
        self._on_spent(message.get("seconds", 0.0))
        asked = self._under_way.pop(message["encoded"] if "encoded" in message else message["failed"], None)
        if asked is None or asked[0].done():
            return  # nobody waits for it any more
        if "encoded" in message:
            asked[0].set_result(encoded_pictures(message, body))
        else:
            asked[0].set_exception(PictureFailedError(message["why"]))

    def _lost(self) -> None:
        """Have a process that is gone, or about to be, look empty: its streams look for another place."""
        self.ready.clear()
        under_way, self._under_way = self._under_way, {}
        self._held.clear()
        self._free.clear()
        for future, _ in under_way.values():
            if not future.done():
                future.set_exception(WorkerGoneError())

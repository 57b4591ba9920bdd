"""The render workers of a server, one for each device; a new session goes to the worker with the fewest."""

import asyncio
import dataclasses
import logging
from collections.abc import Callable, Sequence

from lipstream.realtime.errors import UnavailableError
from lipstream.realtime.lipsync.metadata import WeightsMetadata
from lipstream.realtime.meters import Meters
from lipstream.realtime.workers.render_client import RenderWorker
from lipstream.realtime.workers.render_jobs import WorkerCounts
from lipstream.realtime.workers.render_worker import WorkerSettings

logger = logging.getLogger(__name__)


class RenderWorkers:
    """All render workers of a server. All methods belong to the event loop's thread.

    A session keeps its worker, so that its mouths come in order. When a worker ends, only its own sessions have no
    mouths until it runs again.

    Args:
        meters: Gets the times of batches and jobs; ``None`` for meters of each worker's own.
        spare: Settings of a worker that is started if no other can be; ``None`` for none.
    """

    def __init__(
        self,
        settings: Sequence[WorkerSettings],
        meters: Meters | None = None,
        on_batch: Callable[[int, float, float], None] | None = None,
        on_moved: Callable[[], None] = lambda: None,
        spare: WorkerSettings | None = None,
    ) -> None:
        self.members = tuple(RenderWorker(each, meters, on_batch, on_moved) for each in settings)
        self._spare = RenderWorker(spare, meters, on_batch, on_moved) if spare else None

    @property
    def up(self) -> int:
        """Number of workers that take jobs."""
        return sum(worker.ready for worker in self.members)

    @property
    def on_card(self) -> int:
        """Number of workers that take jobs and draw on a card."""
        return sum(worker.ready and worker.device != "cpu" for worker in self.members)

    @property
    def usable(self) -> list[RenderWorker]:
        """Workers that a new session may be placed on."""
        return [worker for worker in self.members if worker.ready and not worker.is_short]

    @property
    def under_way(self) -> int:
        """Number of jobs of the worker that has most."""
        return max(worker.under_way for worker in self.members)

    @property
    def pixel_bytes(self) -> int:
        """Bytes of one pixel of a mouth, once the workers have started: 3 for BGR, 8 or 20 for fields."""
        return self.members[0].pixel_bytes

    @property
    def pids(self) -> list[int]:
        """Process ids of the running workers."""
        return [worker.pid for worker in self.members if worker.pid is not None]

    @property
    def counts(self) -> WorkerCounts:
        """Counts summed over all workers."""
        each = [dataclasses.astuple(worker.counts) for worker in self.members]
        return WorkerCounts(*map(sum, zip(*each, strict=True)))

    def place(self) -> RenderWorker:
        """Return the worker for a new session: the usable one with the fewest streams.

        Workers that draw on the CPU come after those with a card, and workers that are loading avatars come last.

        Raises:
            UnavailableError: If no worker is usable.
        """
        if not (usable := self.usable):
            raise UnavailableError("the renderer is being started again", reason="renderer")
        return min(usable, key=lambda worker: (worker.is_loading, worker.device == "cpu", worker.streams))

    async def start(self) -> WeightsMetadata:
        """Start all workers and wait until each has loaded the network; leave out those that fail.

        Raises:
            SettingsError: If all fail, and the first because of its settings.
            UnavailableError: If all fail, and the first for another reason.
        """
        found = await asyncio.gather(*(worker.start() for worker in self.members), return_exceptions=True)
        pairs = list(zip(self.members, found, strict=True))
        started = [(worker, facts) for worker, facts in pairs if isinstance(facts, WeightsMetadata)]
        for worker, failure in pairs:
            if isinstance(failure, BaseException):
                if not started and not self._spare:
                    raise failure
                logger.warning("device %s is left out: %s", worker.device, failure)
                await worker.close()
        if not started and self._spare:
            started = [(self._spare, await self._spare.start())]
        self.members = tuple(worker for worker, _ in started)
        return started[0][1]

    async def load_avatar(self, avatar_id: str) -> None:
        """Have the first worker prepare an avatar, and all load it. A worker that restarts loads it when ready.

        Raises:
            AvatarError: If the avatar cannot be loaded.
            UnavailableError: If a worker ended while loading it.
        """
        there = [worker for worker in self.members if worker.ready] or self.members
        for worker in self.members:
            if worker not in there:
                worker.expect_avatar(avatar_id)
        for worker in there:
            await worker.load_avatar(avatar_id)

    def forget_avatar(self, avatar_id: str) -> None:
        """Free an avatar in all workers. No stream for it may be open."""
        for worker in self.members:
            worker.forget_avatar(avatar_id)

    def flush(self) -> None:
        """Send each worker the jobs submitted since the last call as one message."""
        for worker in self.members:
            try:
                worker.flush()
            except OSError:
                logger.exception("jobs could not be sent to the worker of device %s", worker.device)

    async def close(self) -> None:
        """End all workers. May be called again."""
        await asyncio.gather(*(worker.close() for worker in self.members))

"""The render workers of a server, one for each device, as one: sessions are placed where the fewest are."""

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
    """All workers of a server. All methods belong to the event loop's thread.

    A session belongs to one worker as long as it lasts, so that its mouths come in order and one that ends takes no
    more than its own sessions' lips along, until it is there again.

    Args:
        settings: Of each, one at least.
        meters: Where their times are counted.
        on_batch: As a `RenderWorker` takes it.
        on_moved: Likewise.
        spare: Of one that takes the place of all, if none can be started.

    Attributes:
        members: The workers; once they are started, those that could be.
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
        """How many take jobs."""
        return sum(worker.ready for worker in self.members)

    @property
    def on_card(self) -> int:
        """How many of these draw on a card."""
        return sum(worker.ready and worker.device != "cpu" for worker in self.members)

    @property
    def usable(self) -> list[RenderWorker]:
        """Those that a new session may be placed on."""
        return [worker for worker in self.members if worker.ready and not worker.is_short]

    @property
    def under_way(self) -> int:
        """Jobs of the one that has most."""
        return max(worker.under_way for worker in self.members)

    @property
    def pids(self) -> list[int]:
        """Of the children there are."""
        return [worker.pid for worker in self.members if worker.pid is not None]

    @property
    def counts(self) -> WorkerCounts:
        """What happened to all of them together."""
        each = [dataclasses.astuple(worker.counts) for worker in self.members]
        return WorkerCounts(*map(sum, zip(*each, strict=True)))

    def place(self) -> RenderWorker:
        """Return the worker for a new session: of those that draw, the one with the fewest.

        One that was started again and still loads its avatars comes last; before it, those that the CPU draws for
        where others have a card.

        Raises:
            UnavailableError: If none can.
        """
        if not (usable := self.usable):
            raise UnavailableError("the renderer is being started again", reason="renderer")
        return min(usable, key=lambda worker: (worker.is_loading, worker.device == "cpu", worker.streams))

    async def start(self) -> WeightsMetadata:
        """Start all of them, and wait until each has loaded the network; go on with those that could.

        Raises:
            SettingsError: If none could because of its settings.
            UnavailableError: If none could for another reason.
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
        """Have an avatar prepared by the first that is there, and loaded by all; who comes back later loads it then.

        Raises:
            AvatarError: If it cannot be.
            UnavailableError: If a worker ended over it.
        """
        there = [worker for worker in self.members if worker.ready] or self.members
        for worker in self.members:
            if worker not in there:
                worker.expect_avatar(avatar_id)
        for worker in there:
            await worker.load_avatar(avatar_id)

    def forget_avatar(self, avatar_id: str) -> None:
        """Let go of an avatar that no stream is open for."""
        for worker in self.members:
            worker.forget_avatar(avatar_id)

    def flush(self) -> None:
        """Send the jobs that were submitted since the last call, to each worker as one message."""
        for worker in self.members:
            try:
                worker.flush()
            except OSError:
                logger.exception("jobs could not be sent to the worker of device %s", worker.device)

    async def close(self) -> None:
        """End the children. May be called again."""
        await asyncio.gather(*(worker.close() for worker in self.members))

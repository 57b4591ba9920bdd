"""The jobs of one render worker: who asked for which mouth, and in which slot of the shared memory it lies."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lipstream.realtime.lipsync.metadata import Region
from lipstream.realtime.meters import Meters
from lipstream.realtime.packets import RenderJob
from lipstream.realtime.workers.render_messages import Job, MouthsDrawn
from lipstream.realtime.workers.shared_memory import SLOTS, JobMemory

STALE_S = 0.1
"""A worker this far behind is given nothing more: what it draws would come too late for everybody."""

OnMouth = Callable[[int, npt.NDArray[np.uint8]], None]


@dataclass(slots=True)
class WorkerCounts:
    """What happened to the worker since the server began.

    Attributes:
        jobs: Mouths asked for.
        refused: Jobs not taken because the worker was behind, all slots were in use, or no worker was there.
        restarts: Times it had to be started again.
        short: Mouths that found no room in the device's memory, even alone.
        lost: Mouths that could not be drawn, those among them.
    """

    jobs: int = 0
    refused: int = 0
    restarts: int = 0
    short: int = 0
    lost: int = 0


class MouthStream:
    """One session's way to the worker. Once it is closed, mouths that are under way are thrown away."""

    def __init__(self, jobs: "WorkerJobs", avatar: int, on_mouth: OnMouth) -> None:
        self._jobs, self._avatar = jobs, avatar
        self._on_mouth: OnMouth | None = on_mouth
        jobs.streams += 1

    def submit(self, job: RenderJob) -> None:
        """Ask for the mouth of a job; it comes with ``on_mouth``, or not at all.

        The worker is asked with the next :meth:`RenderWorker.flush`.
        """
        self._jobs.submit(self, self._avatar, job)

    def deliver(self, frame: int, mouth: npt.NDArray[np.uint8]) -> None:
        """Hand over a painted mouth."""
        if self._on_mouth:
            self._on_mouth(frame, mouth)

    def close(self) -> None:
        """Take no more mouths. May be called again."""
        self._jobs.streams -= self._on_mouth is not None
        self._on_mouth = None


class WorkerJobs:
    """Jobs that wait to be sent to a worker, and those that it has.

    Args:
        meters: Where their times are counted.

    Attributes:
        counts: What became of them.
        memory: Shared with the worker; ``None`` while none is ready.
        streams: How many are open.
    """

    def __init__(self, meters: Meters) -> None:
        self.counts, self.streams = WorkerCounts(), 0
        self.memory: JobMemory | None = None
        self._meters = meters
        self._free: list[int] = []
        self._under_way: dict[int, tuple[MouthStream, int, float]] = {}  # by slot: whose, for which frame, since when
        self._answered_s = 0.0  # when the worker last answered, or was given its first job
        self._outbox: list[Job] = []

    @property
    def under_way(self) -> int:
        """Jobs that the worker has."""
        return len(self._under_way)

    @property
    def owes_since_s(self) -> float | None:
        """When the worker last answered while it has jobs; ``None`` while it has none."""
        return self._answered_s if self._under_way else None

    def open(self, region: Region) -> str:
        """Take jobs from now on; return the name of the memory that their windows and mouths lie in."""
        self.memory, self._free = JobMemory(region), list(range(SLOTS))
        return self.memory.name

    def close(self) -> None:
        """Forget all jobs, and take no more. May be called again."""
        if self.memory:
            self.memory.close()
            self.memory = None
        self._free.clear()
        self._under_way.clear()
        self._outbox.clear()

    def submit(self, stream: MouthStream, avatar: int, job: RenderJob) -> None:
        """Take a job, or count it as refused.

        Args:
            stream: Gets the mouth.
            avatar: Handle of the avatar.
            job: What to draw.
        """
        self.counts.jobs += 1
        now_s = asyncio.get_running_loop().time()
        oldest_s = next((since_s for _, _, since_s in self._under_way.values()), now_s)
        if not self._free or not self.memory or job.mel is None or now_s - oldest_s > STALE_S:
            self.counts.refused += 1
            return
        if not self._under_way:
            self._answered_s = now_s
        slot = self._free.pop()
        self.memory.mels[slot] = job.mel
        self._under_way[slot] = (stream, job.frame, now_s)
        self._outbox.append((slot, avatar, job.clip_frame))

    def take_outbox(self) -> list[Job]:
        """Return the jobs that were submitted since the last call."""
        jobs, self._outbox = self._outbox, []
        return jobs

    def note_answer(self) -> None:
        """Learn that the worker said something: it does not hang."""
        self._answered_s = asyncio.get_running_loop().time()

    def take(self, batch: MouthsDrawn) -> None:
        """Hand out the mouths of a batch."""
        assert self.memory is not None
        for slot in batch.done:
            stream, frame, since_s = self._under_way.pop(slot)
            self._free.append(slot)
            self._meters.render.labels("trip").observe(self._answered_s - since_s)
            stream.deliver(frame, self.memory.mouths[slot].copy())
        for slot in batch.lost:
            del self._under_way[slot]
            self._free.append(slot)
        self.counts.lost += len(batch.lost)
        self.counts.short += batch.short
        for mouths, gather_s, draw_s in batch.took:
            self._meters.batch.observe(mouths)
            self._meters.render.labels("gather").observe(gather_s)
            self._meters.render.labels("draw").observe(draw_s)

"""The jobs of one render worker: the stream that requested each mouth, and its slot in the shared memory."""

import asyncio
import itertools
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
"""While its oldest job waits longer than this, a worker gets no new jobs: their mouths would come too late."""

OnMouth = Callable[[int, npt.NDArray[np.uint8]], None]


@dataclass(slots=True)
class WorkerCounts:
    """Counts of a worker since the server began.

    Attributes:
        jobs: Number of requested mouths.
        refused: Number of jobs not taken because the worker was behind, all slots were in use, or no worker was ready.
        restarts: Number of restarts of the process.
        short: Number of mouths that found no room in the device's memory, even alone.
        lost: Number of mouths that could not be drawn, including the ``short`` ones.
    """

    jobs: int = 0
    refused: int = 0
    restarts: int = 0
    short: int = 0
    lost: int = 0


class MouthStream:
    """The jobs of one session. A closed stream discards the mouths under way.

    Attributes:
        number: Tells the streams of a worker apart.
        articulation: How far the mouths go that are requested from now on, 0.5 to 1.5 of what was heard.
    """

    def __init__(self, jobs: "WorkerJobs", avatar: int, on_mouth: OnMouth, articulation: float) -> None:
        self._jobs, self._avatar, self.articulation = jobs, avatar, articulation
        self._on_mouth: OnMouth | None = on_mouth
        self.number = next(jobs.numbers)
        jobs.streams += 1

    def submit(self, job: RenderJob) -> None:
        """Request the mouth of a job; ``on_mouth`` gets it, unless the job is refused or lost.

        The next :meth:`RenderWorker.flush` sends the job to the worker.
        """
        self._jobs.submit(self, self._avatar, job)

    def deliver(self, frame: int, mouth: npt.NDArray[np.uint8]) -> None:
        """Give the stream the mouth of a frame, ``uint8[h, w, 3]`` pixels or ``uint8[h, w, 8 or 20]`` fields."""
        if self._on_mouth:
            self._on_mouth(frame, mouth)

    def close(self) -> None:
        """Discard the mouths that still come. May be called again."""
        self._jobs.streams -= self._on_mouth is not None
        self._on_mouth = None


class WorkerJobs:
    """Jobs that wait to be sent to a worker, and jobs that it has.

    Attributes:
        memory: Memory shared with the worker; ``None`` while no worker is ready.
        streams: Number of open streams.
        numbers: Numbers of the streams to come.
    """

    def __init__(self, meters: Meters) -> None:
        self.counts, self.streams, self.numbers = WorkerCounts(), 0, itertools.count()
        self.memory: JobMemory | None = None
        self._meters = meters
        self._free: list[int] = []
        self._under_way: dict[int, tuple[MouthStream, int, float]] = {}  # by slot: stream, frame, time of the request
        self._answered_s = 0.0  # time at which the worker last answered, or got a job while it had none
        self._outbox: list[Job] = []

    @property
    def under_way(self) -> int:
        """Number of jobs that the worker has, sent or about to be sent."""
        return len(self._under_way)

    @property
    def owes_since_s(self) -> float | None:
        """Monotonic time at which the worker last answered; ``None`` while it has no jobs."""
        return self._answered_s if self._under_way else None

    def open(self, region: Region, pixel_bytes: int) -> str:
        """Begin to take jobs; return the name of the shared memory for their windows and mouths."""
        self.memory, self._free = JobMemory(region, pixel_bytes=pixel_bytes), list(range(SLOTS))
        return self.memory.name

    def close(self) -> None:
        """Drop all jobs, and take no more. May be called again."""
        if self.memory:
            self.memory.close()
            self.memory = None
        self._free.clear()
        self._under_way.clear()
        self._outbox.clear()

    def submit(self, stream: MouthStream, avatar: int, job: RenderJob) -> None:
        """Take a job, or count it as refused.

        Args:
            job: Refused if it has no mel window.
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
        self._outbox.append(
            Job(slot, avatar, job.clip_frame, stream.number, job.frame, job.continues, stream.articulation)
        )

    def take_outbox(self) -> list[Job]:
        """Return the jobs that were submitted since the last call."""
        jobs, self._outbox = self._outbox, []
        return jobs

    def note_answer(self) -> None:
        """Record that the worker sent a message, so it does not hang."""
        self._answered_s = asyncio.get_running_loop().time()

    def take(self, batch: MouthsDrawn) -> None:
        """Give the mouths of a batch to their streams."""
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

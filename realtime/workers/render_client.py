"""The server's end of the render worker: sends it jobs, takes its mouths, and leaves a device that fails too often."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from lipstream.realtime.errors import LipstreamError, SettingsError, UnavailableError
from lipstream.realtime.lipsync.metadata import WeightsMetadata
from lipstream.realtime.meters import Meters
from lipstream.realtime.workers.child_process import Child
from lipstream.realtime.workers.messages import pack, unpack
from lipstream.realtime.workers.render_avatars import WorkerAvatars
from lipstream.realtime.workers.render_jobs import MouthStream, OnMouth, WorkerCounts, WorkerJobs
from lipstream.realtime.workers.render_messages import (
    FROM_WORKER,
    AvatarLoaded,
    AvatarProgress,
    DrawJobs,
    MouthCost,
    MouthsDrawn,
    UseMemory,
    WorkerFailed,
    WorkerReady,
)
from lipstream.realtime.workers.render_worker import WorkerSettings, run
from lipstream.realtime.workers.supervisor import Fault, Supervisor

logger = logging.getLogger(__name__)

START_TIMEOUT_S = 300.0
"""Converting a large checkpoint and preparing a long clip may take minutes, once."""
RESTART_TIMEOUT_S = 60.0
"""That is done by then. A card whose driver is gone may keep a worker from ever being ready."""
MOST_FAULTS = 2
"""Times in a row that a device was lost soon after a start, or hung; from then on the CPU draws."""
SHORT_S = 10.0
"""After a mouth found no room in the device's memory, no session is begun for this long."""


class RenderWorker:
    """The worker as the server sees it. All methods belong to the event loop's thread.

    Args:
        settings: For the child.
        meters: Where its times are counted.
        on_batch: Told the mouths of each batch, the processor time that the child took over them, and the time, s.
        on_moved: Told that another device draws from now on: what mouths cost is unknown again.

    Attributes:
        metadata: Of the weights, once they are loaded.
        ready: Whether jobs are taken.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        meters: Meters | None = None,
        on_batch: Callable[[int, float, float], None] | None = None,
        on_moved: Callable[[], None] = lambda: None,
    ) -> None:
        self.metadata: WeightsMetadata | None = None
        self.ready = False
        self._settings = settings
        self._on_batch, self._on_moved = on_batch, on_moved
        self._child = Child("render-worker", run, on_message=self._take)
        self._supervisor = Supervisor(self)
        self._first_start: asyncio.Future[WeightsMetadata] | None = None
        self._avatars, self._jobs = WorkerAvatars(self._send), WorkerJobs(meters or Meters())
        self._short_s = float("-inf")
        self._device: str | None = None
        self._is_lost = False  # the device, as the child says
        self._faults = 0  # of the device, in a row

    @property
    def counts(self) -> WorkerCounts:
        """What happened to it."""
        return self._jobs.counts

    @property
    def streams(self) -> int:
        """Streams that are open."""
        return self._jobs.streams

    @property
    def is_short(self) -> bool:
        """Whether the device's memory was too small for a single mouth just now."""
        return asyncio.get_running_loop().time() - self._short_s < SHORT_S

    @property
    def is_loading(self) -> bool:
        """Whether it loads avatars, and jobs have to wait."""
        return self._avatars.are_loading

    @property
    def device(self) -> str:
        """Name of the device that draws; as the settings have it until that is known."""
        return self._device or self._settings.device

    @property
    def under_way(self) -> int:
        """Jobs that the worker has."""
        return self._jobs.under_way

    @property
    def pid(self) -> int | None:
        """Process id of the child, while there is one."""
        return self._child.pid

    @property
    def alive(self) -> bool:
        """Whether the child runs."""
        return self._child.alive

    @property
    def label(self) -> str:
        """Its name in the log."""
        return f"render worker ({self.device})"

    @property
    def start_timeout_s(self) -> float:
        """How long the child may take to load what it needs."""
        return START_TIMEOUT_S if self.metadata is None else RESTART_TIMEOUT_S

    @property
    def owes_since_s(self) -> float | None:
        """When the child last answered, while it has jobs and does not load avatars."""
        return None if self.is_loading else self._jobs.owes_since_s

    async def start(self) -> WeightsMetadata:
        """Start the child and wait until it has loaded the network.

        Raises:
            SettingsError: If it cannot because of its settings, as a card that is asked for and not there.
            UnavailableError: If it cannot for another reason; the message is the child's.
        """
        self._first_start = asyncio.get_running_loop().create_future()
        self._supervisor.begin()
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                metadata = await self._first_start
        except TimeoutError as error:
            await self.close()
            raise UnavailableError("the render worker did not start in time", reason="renderer") from error
        except LipstreamError:
            await self.close()
            raise
        self._settings = replace(self._settings, fall_back=True)  # from now on there are calls to be kept alive
        return metadata

    def expect_avatar(self, avatar_id: str) -> None:
        """Have an avatar loaded as soon as the child is there, now or later."""
        self._avatars.expect(avatar_id)

    async def load_avatar(self, avatar_id: str) -> None:
        """Have an avatar prepared and loaded; returns at once if it is.

        Raises:
            AvatarError: If it cannot be.
            UnavailableError: If the worker ended over it.
        """
        await self._avatars.load(avatar_id)

    def forget_avatar(self, avatar_id: str) -> None:
        """Free an avatar that no stream is open for."""
        self._avatars.forget(avatar_id)

    def open_stream(self, avatar_id: str, on_mouth: OnMouth) -> MouthStream:
        """Return a stream for an avatar that :meth:`load_avatar` loaded."""
        return MouthStream(self._jobs, self._avatars.handle(avatar_id), on_mouth)

    def flush(self) -> None:
        """Send the jobs that were submitted since the last call, as one message."""
        if jobs := self._jobs.take_outbox():
            self._send(DrawJobs(jobs))

    async def close(self) -> None:
        """End the child. May be called again."""
        await self._supervisor.end()
        self._avatars.close()

    async def start_child(self) -> None:
        """Start the process."""
        await self._child.start(self._settings)

    async def stop_child(self) -> None:
        """End the process; its jobs are lost. May be called again."""
        self.ready = False
        await self._child.stop()
        self._avatars.note_stopped()
        self._jobs.close()

    def take_fault(self, fault: Fault, *, stable: bool) -> bool:
        """Return whether to start the child again; have the CPU draw where a device fails again and again.

        One fault alone a new process may get over.
        """
        is_lost, self._is_lost = self._is_lost, False
        if self.metadata is None:
            self._fail_start(
                UnavailableError("the render worker failed: it ended before it was ready", reason="renderer")
            )
            return False
        if not is_lost:  # a device that is lost says nothing of the avatar that was being loaded
            self._avatars.give_up_loading()
        is_device = is_lost or fault is Fault.HANGS
        self._faults = (0 if stable else self._faults) + 1 if is_device else 0
        if self._faults >= MOST_FAULTS and self._settings.device != "cpu":
            logger.warning("device %s failed %d times in a row: the CPU draws in its place", self.device, self._faults)
            self._settings = self._settings.on_cpu()
        self.counts.restarts += 1
        return True

    def _send(self, message: Any) -> None:
        self._child.send(pack(message))

    def _take(self, data: bytes) -> None:
        self._jobs.note_answer()
        match unpack(FROM_WORKER, data)[0]:
            case MouthsDrawn() as batch:
                self._on_mouths(batch)
            case MouthCost(mouths, cpu_s, took_s):
                if self._on_batch:
                    self._on_batch(mouths, cpu_s, took_s)
            case WorkerReady(metadata, device):
                self._on_device(device)
                self._on_ready(WeightsMetadata.from_json(metadata))
            case AvatarLoaded() as loaded:
                self._avatars.take(loaded)
            case AvatarProgress(avatar_id, share):
                logger.info("preparing avatar %s: %.0f %%", avatar_id, 100 * share)
            case WorkerFailed(why, cause):
                self._on_failure(why, cause)

    def _on_failure(self, why: str, cause: str) -> None:
        self._is_lost = cause == "device"
        logger.error("render worker (%s): %s", self.device, why)
        self._fail_start(
            SettingsError(why)
            if cause == "settings"
            else UnavailableError(f"the render worker failed: {why}", reason="renderer")
        )

    def _fail_start(self, error: LipstreamError) -> None:
        if self._first_start and not self._first_start.done():
            self._first_start.set_exception(error)

    def _on_device(self, device: str) -> None:
        if self._device not in (None, device):
            logger.warning("mouths that were drawn on %s are drawn on %s from now on", self._device, device)
            self._on_moved()
        self._device = device

    def _on_mouths(self, batch: MouthsDrawn) -> None:
        if self._on_batch:
            self._on_batch(len(batch.done), batch.cpu_s, sum(gather_s + draw_s for _, gather_s, draw_s in batch.took))
        if batch.short:
            self._short_s = asyncio.get_running_loop().time()
        self._jobs.take(batch)

    def _on_ready(self, metadata: WeightsMetadata) -> None:
        self.metadata = metadata
        self._send(UseMemory(self._jobs.open(metadata.decoded_region)))
        self.ready = True
        self._avatars.note_ready()
        if self._first_start and not self._first_start.done():
            self._first_start.set_result(metadata)

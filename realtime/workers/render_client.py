"""The server's end of the render worker: sends jobs, takes mouths, and falls back to the CPU if the device fails."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from lipstream.realtime.errors import LipstreamError, SettingsError, UnavailableError
from lipstream.realtime.lipsync.articulation import DEFAULT_ARTICULATION
from lipstream.realtime.lipsync.fields import PIXEL_BYTES
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
"""At the first start, converting a large checkpoint and preparing a long clip may take minutes."""
RESTART_TIMEOUT_S = 60.0
"""A restart needs no conversion. A card without a working driver may keep a worker from ever being ready."""
MOST_FAULTS = 2
"""The CPU draws after a device was lost, or hung, this many times in a row."""
SHORT_S = 10.0
"""No session begins for this long after a mouth found no room in the device's memory."""


class RenderWorker:
    """One render worker as the server sees it. All methods belong to the event loop's thread.

    Args:
        meters: Gets the times of batches and jobs; ``None`` for meters of its own.
        on_batch: Called for each batch with the number of mouths, their processor time and their elapsed time, s.
        on_moved: Called when another device begins to draw, so that the cost of a mouth is unknown; default: nothing
            happens.

    Attributes:
        metadata: Metadata of the weights; ``None`` until they are loaded.
        pixel_bytes: Bytes of one pixel of a mouth, once the weights are loaded: 3 for BGR, 8 or 20 for fields.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        meters: Meters | None = None,
        on_batch: Callable[[int, float, float], None] | None = None,
        on_moved: Callable[[], None] = lambda: None,
    ) -> None:
        self.metadata: WeightsMetadata | None = None
        self.pixel_bytes = PIXEL_BYTES
        self.ready = False
        self._settings = settings
        self._on_batch, self._on_moved = on_batch, on_moved
        self._child = Child("render-worker", run, on_message=self._take)
        self._supervisor = Supervisor(self)
        self._first_start: asyncio.Future[WeightsMetadata] | None = None
        self._avatars, self._jobs = WorkerAvatars(self._send), WorkerJobs(meters or Meters())
        self._short_s = float("-inf")
        self._device: str | None = None
        self._is_lost = False  # whether the child reported its device as lost
        self._faults = 0  # faults of the device in a row

    @property
    def counts(self) -> WorkerCounts:
        """Counts since the server began."""
        return self._jobs.counts

    @property
    def streams(self) -> int:
        """Number of open streams."""
        return self._jobs.streams

    @property
    def is_short(self) -> bool:
        """Whether a single mouth found no room in the device's memory in the last :data:`SHORT_S` seconds."""
        return asyncio.get_running_loop().time() - self._short_s < SHORT_S

    @property
    def is_loading(self) -> bool:
        """Whether the worker is loading avatars; jobs wait meanwhile."""
        return self._avatars.are_loading

    @property
    def device(self) -> str:
        """Name of the device that draws; the name in the settings until the worker is ready."""
        return self._device or self._settings.device

    @property
    def under_way(self) -> int:
        """Number of jobs that the worker has."""
        return self._jobs.under_way

    @property
    def pid(self) -> int | None:
        """Process id of the child; ``None`` without one."""
        return self._child.pid

    @property
    def alive(self) -> bool:
        """Whether the child runs."""
        return self._child.alive

    @property
    def label(self) -> str:
        """Name of the worker in the log."""
        return f"render worker ({self.device})"

    @property
    def start_timeout_s(self) -> float:
        """Longest time that the child may take to be ready, s."""
        return START_TIMEOUT_S if self.metadata is None else RESTART_TIMEOUT_S

    @property
    def owes_since_s(self) -> float | None:
        """Monotonic time at which the child last answered; ``None`` without jobs, and while it loads avatars."""
        return None if self.is_loading else self._jobs.owes_since_s

    async def start(self) -> WeightsMetadata:
        """Start the child and wait until it has loaded the network.

        Raises:
            SettingsError: If the child's settings are at fault, such as a device that does not exist.
            UnavailableError: If the child fails for another reason, which the message gives.
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
        self._settings = replace(self._settings, fall_back=True)  # a restart must keep running calls alive
        return metadata

    def expect_avatar(self, avatar_id: str) -> None:
        """Load an avatar as soon as the child is ready, now or later; do not wait for it."""
        self._avatars.expect(avatar_id)

    async def load_avatar(self, avatar_id: str) -> None:
        """Have the child prepare and load an avatar; return at once if it is loaded.

        Raises:
            AvatarError: If the avatar cannot be loaded.
            UnavailableError: If the worker ended while loading it.
        """
        await self._avatars.load(avatar_id)

    def forget_avatar(self, avatar_id: str) -> None:
        """Free an avatar. No stream for it may be open."""
        self._avatars.forget(avatar_id)

    def open_stream(
        self, avatar_id: str, on_mouth: OnMouth, *, articulation: float = DEFAULT_ARTICULATION
    ) -> MouthStream:
        """Return a stream for an avatar that :meth:`load_avatar` loaded.

        Args:
            articulation: How far the mouths go, 0.5 to 1.5 of what was heard. Weights whose
                :attr:`WeightsMetadata.articulates` is false ignore it.
        """
        return MouthStream(self._jobs, self._avatars.handle(avatar_id), on_mouth, articulation)

    def flush(self) -> None:
        """Send the jobs submitted since the last call as one message."""
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
        self._avatars.note_stopped()  # first: an avatar that is expected from now on was not loaded by this process
        await self._child.stop()
        self._jobs.close()

    def take_fault(self, fault: Fault, *, stable: bool) -> bool:
        """Return whether to start the child again; switch to the CPU after repeated faults of the device.

        A single fault does not switch the device, since a new process often works again.
        """
        is_lost, self._is_lost = self._is_lost, False
        if self.metadata is None:
            self._fail_start(
                UnavailableError("the render worker failed: it ended before it was ready", reason="renderer")
            )
            return False
        if not is_lost:  # the loss of a device is not the fault of the avatar being loaded
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
            case WorkerReady(metadata, device, pixel_bytes):
                self._on_device(device)
                self._on_ready(WeightsMetadata.from_json(metadata), pixel_bytes)
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

    def _on_ready(self, metadata: WeightsMetadata, pixel_bytes: int) -> None:
        self.metadata, self.pixel_bytes = metadata, pixel_bytes
        self._send(UseMemory(self._jobs.open(metadata.decoded_region, pixel_bytes)))
        self.ready = True
        self._avatars.note_ready()
        if self._first_start and not self._first_start.done():
            self._first_start.set_result(metadata)

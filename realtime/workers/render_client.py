"""The server's end of the render worker: starts it, feeds it, and starts it again when it dies or hangs.

Longer than most files: the states of one child process are easier to check in one place.
"""

import asyncio
import itertools
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from lipstream.realtime.errors import AvatarError, LipstreamError, SettingsError, UnavailableError
from lipstream.realtime.lipsync.metadata import WeightsMetadata
from lipstream.realtime.meters import Meters
from lipstream.realtime.packets import RenderJob
from lipstream.realtime.workers.child_process import Child
from lipstream.realtime.workers.render_worker import WorkerSettings, run
from lipstream.realtime.workers.shared_memory import SLOTS, JobMemory

logger = logging.getLogger(__name__)

HANG_S = 2.0
"""With jobs under way, nothing heard for this long means that the worker hangs."""
STALE_S = 0.1
"""A worker this far behind is given nothing more: what it draws would come too late for everybody."""
START_TIMEOUT_S = 300.0
"""Converting a large checkpoint and preparing a long clip may take minutes, once."""
RESTART_TIMEOUT_S = 60.0
"""That is done by then. A card whose driver is gone may keep a worker from ever being ready."""
MOST_FAULTS = 2
"""Times in a row that a device was lost soon after a start, or hung; from then on the CPU draws."""
SHORT_S = 10.0
"""After a mouth found no room in the device's memory, no session is begun for this long."""
_WATCH_S = 0.1
_STABLE_S = 30.0
"""A worker that ends sooner than this is started again after a growing pause."""
_RESTART_DELAYS_S = (0.0, 0.5, 1.0, 2.0, 5.0)

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
    """One session's way to the worker. Closing it makes mouths that are under way fall on deaf ears."""

    def __init__(self, worker: "RenderWorker", avatar: int, on_mouth: OnMouth) -> None:
        self._worker, self._avatar = worker, avatar
        self._on_mouth: OnMouth | None = on_mouth
        worker.streams += 1

    def submit(self, job: RenderJob) -> None:
        """Ask for the mouth of a job; it comes with ``on_mouth``, or not at all. Sent by :meth:`RenderWorker.flush`."""
        self._worker._enqueue(self, self._avatar, job)  # noqa: SLF001 (the two are one unit)

    def deliver(self, frame: int, mouth: npt.NDArray[np.uint8]) -> None:
        """Hand over a painted mouth."""
        if self._on_mouth:
            self._on_mouth(frame, mouth)

    def close(self) -> None:
        """Hear no more. May be called again."""
        self._worker.streams -= self._on_mouth is not None
        self._on_mouth = None


class RenderWorker:
    """The worker as the server sees it. All methods belong to the event loop's thread.

    Args:
        settings: For the child.
        meters: Where its times are counted.
        on_batch: Told the mouths of each batch, the processor time that the child took over them, and the time, s.
        on_moved: Told that another device draws from now on: what mouths cost is unknown again.

    Attributes:
        counts: What happened to it.
        metadata: Of the weights, once they are loaded.
        streams: That are open.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        meters: Meters | None = None,
        on_batch: Callable[[int, float, float], None] | None = None,
        on_moved: Callable[[], None] = lambda: None,
    ) -> None:
        self.counts, self.streams = WorkerCounts(), 0
        self._on_batch, self._on_moved = on_batch, on_moved
        self.metadata: WeightsMetadata | None = None
        self._settings, self._meters = settings, meters or Meters()
        self._short_s = float("-inf")
        self._child = Child("render-worker", run, on_message=self._take)
        self._memory: JobMemory | None = None
        self._ready = asyncio.Event()
        self._failure: LipstreamError | None = None
        self._device: str | None = None
        self._lost = False  # the device, as the child says
        self._faults = 0  # of the device, in a row
        self._avatars: dict[str, tuple[int, asyncio.Future[None]]] = {}
        self._handles = itertools.count()
        self._loading: set[int] = set()  # handles; meanwhile jobs have to wait
        self._free: list[int] = []
        self._under_way: dict[int, tuple[MouthStream, int, float]] = {}  # by slot: whose, for which frame, since when
        self._heard_s = 0.0  # when the worker last answered, or was given its first job
        self._outbox: list[tuple[int, int, int]] = []
        self._watcher: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        """Whether jobs are taken."""
        return self._ready.is_set()

    @property
    def is_short(self) -> bool:
        """Whether the device's memory was too small for a single mouth just now."""
        return asyncio.get_running_loop().time() - self._short_s < SHORT_S

    @property
    def is_loading(self) -> bool:
        """Whether it is being given avatars, and jobs have to wait."""
        return bool(self._loading)

    @property
    def device(self) -> str:
        """That it draws on; as the settings name it until that is known."""
        return self._device or self._settings.device

    @property
    def under_way(self) -> int:
        """Jobs that the worker has."""
        return len(self._under_way)

    @property
    def pid(self) -> int | None:
        """Of the child, while there is one."""
        return self._child.pid

    async def start(self) -> WeightsMetadata:
        """Start the child and wait until it has loaded the network.

        Raises:
            SettingsError: If it cannot because of its settings, as a card that is asked for and not there.
            UnavailableError: If it cannot for another reason; the message is the child's.
        """
        await self._child.start(self._settings)
        self._watcher = asyncio.create_task(self._watch(), name="render-worker-watch")
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await self._ready.wait()
        except TimeoutError as error:
            await self.close()
            raise UnavailableError("the render worker did not start in time", reason="renderer") from error
        if self.metadata is None:
            await self.close()
            raise self._failure or UnavailableError(
                "the render worker failed: it ended before it was ready", reason="renderer"
            )
        self._settings = replace(self._settings, fall_back=True)  # from now on there are calls to be kept alive
        return self.metadata

    def expect_avatar(self, avatar_id: str) -> None:
        """Have an avatar loaded as soon as the child is there, now or later."""
        if avatar_id in self._avatars:
            return
        handle, future = next(self._handles), asyncio.get_running_loop().create_future()
        future.add_done_callback(lambda done: done.cancelled() or done.exception())  # perhaps nobody waits for it
        self._avatars[avatar_id] = (handle, future)
        if self.ready:
            self._ask_for_avatar(handle, avatar_id)

    async def load_avatar(self, avatar_id: str) -> None:
        """Have an avatar prepared and loaded; returns at once if it is.

        Raises:
            AvatarError: If it cannot be.
            UnavailableError: If the worker ended over it.
        """
        self.expect_avatar(avatar_id)
        future = self._avatars[avatar_id][1]
        try:
            await asyncio.shield(future)
        except (AvatarError, UnavailableError):
            self._avatars = {key: value for key, value in self._avatars.items() if value[1] is not future}
            raise

    def forget_avatar(self, avatar_id: str) -> None:
        """Let go of an avatar that no stream is open for."""
        handle, future = self._avatars.pop(avatar_id, (None, None))
        if future is not None and not future.done():
            future.set_exception(AvatarError(f"the avatar {avatar_id!r} was removed"))
            future.exception()
        if handle is not None and self.ready:
            self._send({"forget": handle})

    def open_stream(self, avatar_id: str, on_mouth: OnMouth) -> MouthStream:
        """Return a stream for an avatar that :meth:`load_avatar` loaded."""
        return MouthStream(self, self._avatars[avatar_id][0], on_mouth)

    def flush(self) -> None:
        """Send the jobs that were submitted since the last call, as one message."""
        if self._outbox:
            jobs, self._outbox = self._outbox, []
            self._send({"jobs": jobs})

    async def close(self) -> None:
        """End the child. May be called again."""
        if self._watcher:
            self._watcher.cancel()
            await asyncio.wait([self._watcher])
            self._watcher = None
        await self._stop()
        for _, future in self._avatars.values():
            future.cancel()

    def _enqueue(self, stream: MouthStream, avatar: int, job: RenderJob) -> None:
        self.counts.jobs += 1
        now_s = asyncio.get_running_loop().time()
        oldest_s = next((since_s for _, _, since_s in self._under_way.values()), now_s)
        if not self._free or not self._memory or job.mel is None or now_s - oldest_s > STALE_S:
            self.counts.refused += 1
            return
        if not self._under_way:
            self._heard_s = now_s
        slot = self._free.pop()
        self._memory.mels[slot] = job.mel
        self._under_way[slot] = (stream, job.frame, now_s)
        self._outbox.append((slot, avatar, job.clip_frame))

    def _ask_for_avatar(self, handle: int, avatar_id: str) -> None:
        self._loading.add(handle)
        self._send({"avatar": [handle, avatar_id]})

    def _send(self, message: dict[str, Any]) -> None:
        self._child.send(json.dumps(message).encode())

    def _take(self, data: bytes) -> None:
        message = json.loads(data)
        self._heard_s = asyncio.get_running_loop().time()
        if "done" in message:
            if self._on_batch:
                took_s = sum(gather_s + draw_s for _, gather_s, draw_s in message["took"])
                self._on_batch(len(message["done"]), message["seconds"], took_s)
            self._on_mouths(message)
        elif "cost" in message:
            if self._on_batch:
                self._on_batch(*message["cost"])
        elif "ready" in message:
            self._on_device(message["device"])
            self._on_ready(WeightsMetadata.from_json(message["ready"]))
        elif "loaded" in message or "failed" in message:
            self._on_avatar(message)
        elif "progress" in message:
            logger.info("preparing avatar %s: %.0f %%", message["progress"][0], 100 * message["progress"][1])
        elif "error" in message or "device_lost" in message:
            self._on_failure(message)

    def _on_failure(self, message: dict[str, Any]) -> None:
        self._lost = "device_lost" in message
        why = message["device_lost"] if self._lost else message["error"]
        logger.error("render worker (%s): %s", self.device, why)
        if self.metadata is None:  # start() reports it
            kind = SettingsError(why) if message.get("bad_settings") else None
            self._failure = kind or UnavailableError(f"the render worker failed: {why}", reason="renderer")
            self._ready.set()

    def _on_device(self, device: str) -> None:
        if self._device not in (None, device):
            logger.warning("mouths that were drawn on %s are drawn on %s from now on", self._device, device)
            self._on_moved()
        self._device = device

    def _on_mouths(self, message: dict[str, Any]) -> None:
        assert self._memory is not None
        for slot in message["done"]:
            stream, frame, since_s = self._under_way.pop(slot)
            self._free.append(slot)
            self._meters.render.labels("trip").observe(self._heard_s - since_s)
            stream.deliver(frame, self._memory.mouths[slot].copy())
        for slot in message["lost"]:
            del self._under_way[slot]
            self._free.append(slot)
        self.counts.lost += len(message["lost"])
        for mouths, gather_s, draw_s in message["took"]:
            self._meters.batch.observe(mouths)
            self._meters.render.labels("gather").observe(gather_s)
            self._meters.render.labels("draw").observe(draw_s)
        if message["short"]:
            self.counts.short += message["short"]
            self._short_s = self._heard_s

    def _on_ready(self, metadata: WeightsMetadata) -> None:
        self.metadata = metadata
        self._memory = JobMemory(metadata.decoded_region)
        self._free = list(range(SLOTS))
        self._send({"memory": self._memory.name})
        for avatar_id, (handle, _) in self._avatars.items():  # after a restart
            self._ask_for_avatar(handle, avatar_id)
        self._ready.set()

    def _on_avatar(self, message: dict[str, Any]) -> None:
        handle, why = (message["loaded"], None) if "loaded" in message else message["failed"]
        self._loading.discard(handle)
        if why is not None:
            logger.error("avatar cannot be loaded: %s", why)
        for known, future in self._avatars.values():
            if known == handle and not future.done():
                if why is None:
                    future.set_result(None)
                else:
                    future.set_exception(AvatarError(why))

    async def _watch(self) -> None:
        """Start the child again when it is gone or hangs."""
        loop = asyncio.get_running_loop()
        failures, started_s = 0, loop.time()
        while True:
            await asyncio.sleep(_WATCH_S)
            alive = self._child.alive
            if alive and not self._hangs(loop.time(), started_s):
                continue
            if self.metadata is None:
                self._ready.set()
                return
            logger.warning("render worker (%s) %s; starting it again", self.device, "hangs" if alive else "is gone")
            if not self._lost:  # a device that is lost says nothing of the avatar that was being loaded
                self._give_up_loading()
            await self._stop()
            short_lived = loop.time() - started_s < _STABLE_S
            failures = failures + 1 if short_lived else 0
            self._note_fault(short_lived=short_lived, hung=alive)
            await asyncio.sleep(_RESTART_DELAYS_S[min(failures, len(_RESTART_DELAYS_S) - 1)])
            self.counts.restarts += 1
            started_s = loop.time()
            try:
                await self._child.start(self._settings)
            except OSError:
                logger.exception("render worker cannot be started; trying again")

    def _note_fault(self, *, short_lived: bool, hung: bool) -> None:
        """Have the CPU draw where a device fails again and again; one fault alone a new process may get over."""
        fault = self._lost or hung
        self._faults = (self._faults if short_lived else 0) + 1 if fault else 0
        self._lost = False
        if self._faults >= MOST_FAULTS and self._settings.device != "cpu":
            logger.warning("device %s failed %d times in a row: the CPU draws in its place", self.device, self._faults)
            self._settings = self._settings.on_cpu()

    def _hangs(self, now_s: float, started_s: float) -> bool:
        if not self.ready:
            return now_s - started_s > (START_TIMEOUT_S if self.metadata is None else RESTART_TIMEOUT_S)
        return bool(self._under_way) and not self._loading and now_s - self._heard_s > HANG_S

    def _give_up_loading(self) -> None:
        """Forget avatars that were never loaded: one of them may be what ended the worker."""
        for avatar_id, (_, future) in list(self._avatars.items()):
            if not future.done():
                message = f"the render worker ended over avatar {avatar_id!r}"
                future.set_exception(UnavailableError(message, reason="renderer"))
                del self._avatars[avatar_id]

    async def _stop(self) -> None:
        self._ready.clear()
        await self._child.stop()
        if self._memory:
            self._memory.close()
            self._memory = None
        self._loading.clear()
        self._free.clear()
        self._under_way.clear()
        self._outbox.clear()

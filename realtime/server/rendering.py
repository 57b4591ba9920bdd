"""What draws the faces of a server: the render workers and the avatars that they have loaded.

It needs neither the API nor WebRTC. So a server begins with it, and imports the rest while the workers load.
"""

import asyncio
import dataclasses
import logging
import os

import cv2

from lipstream.avatar_cache.store import AvatarStore, default_root
from lipstream.realtime.errors import SettingsError
from lipstream.realtime.lipsync.devices import devices_of
from lipstream.realtime.lipsync.metadata import BUILT_IN_WEIGHTS, WeightsMetadata
from lipstream.realtime.meters import Meters
from lipstream.realtime.server.admission import Admission
from lipstream.realtime.server.loaded_avatars import LoadedAvatars
from lipstream.realtime.settings import Settings
from lipstream.realtime.workers.render_pool import RenderWorkers
from lipstream.realtime.workers.render_worker import WorkerSettings

logger = logging.getLogger(__name__)


class Rendering:
    """The render workers of one server, and the avatars that its sessions may show.

    Args:
        worker_settings: Settings of the render workers; ``None`` derives them from ``settings``.

    Attributes:
        admission: Gets the cost of mouths.
        meters: Get the times of batches and jobs.
    """

    def __init__(self, settings: Settings, worker_settings: WorkerSettings | None = None) -> None:
        self.settings = settings
        self.store = AvatarStore(settings.store or default_root())
        self.worker_settings = worker_settings or WorkerSettings(
            weights=(settings.weights or BUILT_IN_WEIGHTS).absolute(),
            store=self.store.root.absolute(),
            device=settings.device,
            precision=settings.precision,
            window_offset_samples=settings.window_offset,
            pads=settings.pads,
            model=settings.model,
            keeps_old=True,
            quick_start=True,
        )
        self.meters = Meters()
        self.admission = Admission(os.cpu_count() or 1, picture_workers=settings.picture_workers)
        devices = devices_of(self.worker_settings.device)
        self.workers = RenderWorkers(
            [dataclasses.replace(self.worker_settings, device=device) for device in devices],
            self.meters,
            self.admission.note_mouths,
            self.admission.forget_mouths,
            self.worker_settings.on_cpu() if self.worker_settings.device == "auto" and len(devices) > 1 else None,
        )
        self.avatars = LoadedAvatars(self.store, self.workers, self.worker_settings, settings.mark)
        self._starting: asyncio.Task[WeightsMetadata] | None = None

    def begin(self) -> None:
        """Start the workers, and prepare and load the avatar to begin with, in the background."""
        self._starting = self._starting or asyncio.create_task(self._start(), name="start-rendering")

    async def start(self) -> WeightsMetadata:
        """Wait until the workers draw and the first avatar is loaded; begin with both if :meth:`begin` has not.

        Raises:
            SettingsError: If there is no such avatar as the settings name, no worker starts because of its settings, or
                the disk is full.
            UnavailableError: If no worker starts for another reason, or no avatar is usable.
        """
        self.begin()
        assert self._starting
        return await asyncio.shield(self._starting)

    async def close(self) -> None:
        """End the preparations, then the workers. May be called again."""
        if self._starting:
            self._starting.cancel()
            await asyncio.wait([self._starting])
            if not self._starting.cancelled():
                self._starting.exception()  # whoever waits for the start was told
        await self.avatars.close()
        await self.workers.close()

    async def _start(self) -> WeightsMetadata:
        await asyncio.to_thread(self._check_avatar)
        cv2.setNumThreads(1)  # a mouth is small: giving its rows to other threads takes longer than painting them
        metadata = await self.workers.start()
        await self.avatars.fill(metadata, self.settings.avatar)
        return metadata

    def _check_avatar(self) -> None:
        """Check that there is an avatar of the name that the settings give; a cluster may bring it later.

        Raises:
            SettingsError: If there is none, and this is no worker of a cluster.
        """
        wanted = self.settings.avatar
        if not wanted or self.store.has(wanted):
            return
        known = ", ".join(manifest.id for manifest in self.store.list()) or "none"
        message = f"avatar {wanted!r}: there is no such avatar; there are {known}"
        if self.settings.cluster_secret_file is None:
            raise SettingsError(message)
        logger.warning("%s; until another worker of the cluster gives it, sessions must name one", message)

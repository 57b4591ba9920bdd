"""The avatars that sessions may show, with their states: loaded, being prepared, or failed."""

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Callable

from lipstream.avatar_cache.avatar import PreparedAvatar, load_prepared
from lipstream.avatar_cache.store import AvatarStore
from lipstream.realtime.errors import AvatarError, ConflictError, LipstreamError, UnavailableError
from lipstream.realtime.lipsync.metadata import WeightsMetadata
from lipstream.realtime.picture.watermark import MarkStyle
from lipstream.realtime.wire.answers import AvatarState
from lipstream.realtime.workers.programs import kill_program
from lipstream.realtime.workers.render_pool import RenderWorkers
from lipstream.realtime.workers.render_worker import WorkerSettings

logger = logging.getLogger(__name__)

_SHOWN_EVERY_S = 2.0
"""Interval of the checks whether an avatar that waits to be replaced is still shown."""
_NICENESS = 10
"""Priority of a preparation that no client waits for: calls come first."""


class LoadedAvatars:
    """Avatars in memory, in the server and in the render workers.

    Args:
        mark: Watermark on all pictures; ``None`` for none.
    """

    def __init__(
        self, store: AvatarStore, workers: RenderWorkers, settings: WorkerSettings, mark: MarkStyle | None
    ) -> None:
        self.store, self._workers, self._settings, self._mark = store, workers, settings, mark
        self._metadata: WeightsMetadata | None = None
        self._renewal: asyncio.Task[None] | None = None
        self._reload = asyncio.Lock()
        self._avatars: dict[str, PreparedAvatar] = {}
        self._failed: set[str] = set()
        self._preparing: dict[str, asyncio.Task[None]] = {}

    async def fill(self, metadata: WeightsMetadata) -> None:
        """Load every avatar of the store, and prepare those that are not prepared.

        Args:
            metadata: Metadata of the weights that draw.

        Raises:
            UnavailableError: If no avatar can be used.
        """
        self._metadata = metadata
        for manifest in self.store.list():
            try:
                await self.add(manifest.id)
            except LipstreamError as error:
                logger.warning("avatar %s cannot be used: %s", manifest.id, error.message)
                self._failed.add(manifest.id)
        if not self._avatars:
            raise UnavailableError("there is no usable avatar", reason="warming")

    def renew(self, is_shown: Callable[[str], bool]) -> None:
        """Prepare again, in the background, the avatars that were loaded as an earlier version prepared them.

        Args:
            is_shown: Whether a session shows the avatar with an id. Such an avatar is replaced after its sessions.
        """
        self._renewal = asyncio.create_task(self._renew(is_shown), name="renew-avatars")

    async def _renew(self, is_shown: Callable[[str], bool]) -> None:
        assert self._metadata is not None
        for avatar_id in list(self._avatars):
            try:
                stored = await asyncio.to_thread(self.store.load, avatar_id)
                if await asyncio.to_thread(stored.is_current, self._metadata):
                    continue
                logger.info("avatar %s is prepared again: an earlier version prepared it", avatar_id)
                if not await self._run_preparation(avatar_id, in_background=True):
                    continue
                while is_shown(avatar_id):  # noqa: ASYNC110 (the end of a session is no event)
                    await asyncio.sleep(_SHOWN_EVERY_S)
                async with self._reload:  # who asks for an avatar waits meanwhile, well below a second
                    if avatar_id in self._avatars:
                        await self._load_again(avatar_id)
            except (LipstreamError, OSError) as error:
                logger.warning("avatar %s could not be replaced: %s", avatar_id, error)

    async def _load_again(self, avatar_id: str) -> None:
        self._workers.forget_avatar(avatar_id)
        try:
            await self.add(avatar_id)
        except LipstreamError:
            self._avatars.pop(avatar_id, None)  # the workers have it no more; the next call loads it
            raise

    @property
    def first(self) -> str:
        """Id of the avatar for clients and settings that name none."""
        return min(self._avatars)

    def state(self, avatar_id: str) -> AvatarState:
        """Return ``ready``, ``failed``, or ``building`` for an avatar that is not prepared yet."""
        if avatar_id in self._avatars:
            return "ready"
        return "failed" if avatar_id in self._failed else "building"

    async def get(self, avatar_id: str) -> PreparedAvatar:
        """Return an avatar; start its preparation if it is not prepared.

        Raises:
            NotFoundError: If there is no such avatar.
            AvatarError: If its preparation failed. The next call starts another preparation.
            UnavailableError: While the avatar is being prepared.
        """
        if self._reload.locked():
            async with self._reload:
                pass
        if avatar_id not in self._avatars:
            stored = await asyncio.to_thread(self.store.load, avatar_id)
            if not await asyncio.to_thread(stored.is_prepared, self._fingerprint, self._workers.pixel_bytes):
                if avatar_id in self._failed and avatar_id not in self._preparing:
                    self._failed.discard(avatar_id)  # the failure is reported once; the next call tries again
                    raise AvatarError(f"avatar {avatar_id!r} could not be prepared")
                self._prepare(avatar_id)
                raise UnavailableError(f"avatar {avatar_id!r} is being prepared", reason="warming")
            await self.add(avatar_id)
        return self._avatars[avatar_id]

    async def add(self, avatar_id: str) -> None:
        """Load an avatar that the store has.

        Raises:
            AvatarError: If the avatar cannot be loaded.
            UnavailableError: If a worker ended while loading it.
        """
        await self._workers.load_avatar(avatar_id)
        stored = await asyncio.to_thread(self.store.load, avatar_id)
        prepared = await asyncio.to_thread(load_prepared, stored, self._fingerprint)
        await asyncio.to_thread(prepared.compositor, self._mark)  # draws the watermark once for each size
        self._avatars[avatar_id] = prepared
        self._failed.discard(avatar_id)

    async def remove(self, avatar_id: str, *, is_shown: Callable[[], bool]) -> None:
        """Remove an avatar from the store.

        Raises:
            NotFoundError: If there is no such avatar.
            ConflictError: If the avatar is built in, or a session shows it.
        """
        await asyncio.to_thread(self.store.load, avatar_id)
        if not self.store.is_own(avatar_id):
            raise ConflictError(f"the avatar {avatar_id!r} is built in")
        if is_shown():
            raise ConflictError(f"the avatar {avatar_id!r} is being shown")
        self._avatars.pop(avatar_id, None)
        self._failed.discard(avatar_id)
        self._workers.forget_avatar(avatar_id)
        await asyncio.to_thread(self.store.remove, avatar_id)

    async def close(self) -> None:
        """Cancel the running preparations. May be called again."""
        tasks = [*self._preparing.values(), *((self._renewal,) if self._renewal else ())]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    @property
    def _fingerprint(self) -> str:
        assert self._metadata is not None
        return self._metadata.fingerprint

    def _prepare(self, avatar_id: str) -> None:
        if avatar_id not in self._preparing:
            task = asyncio.create_task(self._prepare_first(avatar_id), name="prepare-avatar")
            self._preparing[avatar_id] = task
            task.add_done_callback(lambda _: self._preparing.pop(avatar_id, None))

    async def _prepare_first(self, avatar_id: str) -> None:
        if not await self._run_preparation(avatar_id):
            self._failed.add(avatar_id)

    async def _run_preparation(self, avatar_id: str, *, in_background: bool = False) -> bool:
        """Prepare an avatar in a separate process, so that the worker goes on with its jobs.

        Args:
            in_background: Whether the process has a low priority; default false.

        Returns:
            Whether the avatar is prepared; a failure is logged.
        """
        settings = self._settings
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "lipstream.avatar_cache", "--store", str(self.store.root), "prepare", avatar_id),
            *("--weights", str(settings.weights), "--device", settings.device),
            *((f"--pads={','.join(map(str, settings.pads))}",) if settings.pads else ()),
        )
        try:
            if in_background and hasattr(os, "setpriority"):
                with contextlib.suppress(OSError):  # it has ended already
                    os.setpriority(os.PRIO_PROCESS, process.pid, _NICENESS)
            if status := await process.wait():
                logger.error("avatar %s could not be prepared", avatar_id)
            return status == 0
        finally:
            if process.returncode is None:
                kill_program(process)
                await process.wait()

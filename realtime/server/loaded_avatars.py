"""The avatars that sessions may show, with their states: loaded, being prepared, or failed."""

import asyncio
import logging
import sys
from collections.abc import Callable

from lipstream.avatar_cache.avatar import PreparedAvatar, load_prepared
from lipstream.avatar_cache.store import AvatarStore
from lipstream.realtime.errors import AvatarError, ConflictError, LipstreamError, UnavailableError
from lipstream.realtime.picture.watermark import MarkStyle
from lipstream.realtime.wire.answers import AvatarState
from lipstream.realtime.workers.programs import kill_program
from lipstream.realtime.workers.render_pool import RenderWorkers
from lipstream.realtime.workers.render_worker import WorkerSettings

logger = logging.getLogger(__name__)


class LoadedAvatars:
    """Avatars in memory, in the server and in the render workers.

    Args:
        mark: Watermark on all pictures; ``None`` for none.
    """

    def __init__(
        self, store: AvatarStore, workers: RenderWorkers, settings: WorkerSettings, mark: MarkStyle | None
    ) -> None:
        self.store, self._workers, self._settings, self._mark = store, workers, settings, mark
        self._fingerprint = ""
        self._avatars: dict[str, PreparedAvatar] = {}
        self._failed: set[str] = set()
        self._preparing: dict[str, asyncio.Task[None]] = {}

    async def fill(self, fingerprint: str) -> None:
        """Load every avatar of the store, and prepare those that are not prepared.

        Args:
            fingerprint: First 16 digits of the SHA-256 of the weights file; a detector's crop adds its pads.

        Raises:
            UnavailableError: If no avatar can be used.
        """
        self._fingerprint = fingerprint
        for manifest in self.store.list():
            try:
                await self.add(manifest.id)
            except LipstreamError as error:
                logger.warning("avatar %s cannot be used: %s", manifest.id, error.message)
                self._failed.add(manifest.id)
        if not self._avatars:
            raise UnavailableError("there is no usable avatar", reason="warming")

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
        tasks = list(self._preparing.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _prepare(self, avatar_id: str) -> None:
        """Prepare an avatar in a separate process, so that the worker goes on with its jobs."""
        if avatar_id not in self._preparing:
            task = asyncio.create_task(self._run_preparation(avatar_id), name="prepare-avatar")
            self._preparing[avatar_id] = task
            task.add_done_callback(lambda _: self._preparing.pop(avatar_id, None))

    async def _run_preparation(self, avatar_id: str) -> None:
        settings = self._settings
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "lipstream.avatar_cache", "--store", str(self.store.root), "prepare", avatar_id),
            *("--weights", str(settings.weights), "--device", settings.device),
            *((f"--pads={','.join(map(str, settings.pads))}",) if settings.pads else ()),
        )
        try:
            if await process.wait():
                logger.error("avatar %s could not be prepared", avatar_id)
                self._failed.add(avatar_id)
        finally:
            if process.returncode is None:
                kill_program(process)
                await process.wait()

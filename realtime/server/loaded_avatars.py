"""The avatars that sessions may show: loaded, being prepared, failed, or not shown yet.

The server starts with one. Each other one is prepared and loaded when a session first wants it, because a prepared
avatar takes a hundred megabytes of disk and seconds of processor time.
"""

import asyncio
import contextlib
import json
import logging
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

from lipstream.avatar_cache.avatar import Avatar, PreparedAvatar, load_prepared
from lipstream.avatar_cache.store import AvatarStore
from lipstream.realtime.errors import AvatarError, ConflictError, LipstreamError, SettingsError, UnavailableError
from lipstream.realtime.lipsync.metadata import WeightsMetadata
from lipstream.realtime.picture.mark_style import MarkStyle
from lipstream.realtime.wire.answers import AvatarState
from lipstream.realtime.workers import prepare_job
from lipstream.realtime.workers.programs import kill_program
from lipstream.realtime.workers.render_pool import RenderWorkers
from lipstream.realtime.workers.render_worker import WorkerSettings

logger = logging.getLogger(__name__)

_SHOWN_EVERY_S = 2.0
"""Interval of the checks whether an avatar that waits to be replaced is still shown."""
PATIENCE_S = 15.0
"""Longest wait of a request for an avatar that is being prepared; then the client is told to come again."""
_LITTLE_MB = 128
"""Free MiB of a disk that is too full for an avatar."""
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
        self._first = ""
        self._failed: dict[str, str] = {}
        """Why avatars could not be prepared or loaded, by id."""
        self._preparing: dict[str, asyncio.Task[None]] = {}
        self._progress: dict[str, float] = {}
        self._changed = asyncio.Event()

    async def fill(self, metadata: WeightsMetadata, wanted: str | None = None) -> None:
        """Load the first avatar that can be used, and prepare it if it is not prepared.

        Args:
            metadata: Metadata of the weights that draw.
            wanted: Id of the avatar to begin with; ``None`` for the order of the ids.

        Raises:
            SettingsError: If the disk is full.
            UnavailableError: If no avatar can be used.
        """
        self._metadata = metadata
        known = {manifest.id for manifest in self.store.list()}
        known |= {form.id for form in self.store.unfilmed()} & {wanted}
        for avatar_id in sorted(known, key=lambda one: (one != wanted, one)):
            try:
                await self.add(avatar_id)
            except LipstreamError as error:
                self._check_room()
                logger.warning("avatar %s cannot be used: %s", avatar_id, error.message)
                self._failed[avatar_id] = error.message
            else:
                self._first = avatar_id
                return
        raise UnavailableError("there is no usable avatar", reason="warming")

    def _check_room(self) -> None:
        free_mb = shutil.disk_usage(self.store.root).free >> 20
        if free_mb < _LITTLE_MB:
            message = f"the disk of the store {self.store.root} is full: {free_mb} MiB are free"
            raise SettingsError(f"{message}, and an avatar takes a hundred")

    def renew(self, is_shown: Callable[[str], bool]) -> None:
        """Prepare again, in the background, the avatars that an earlier version prepared.

        Args:
            is_shown: Whether a session shows the avatar with an id. Such an avatar is replaced after its sessions.
        """
        self._renewal = asyncio.create_task(self._renew(is_shown), name="renew-avatars")

    async def _renew(self, is_shown: Callable[[str], bool]) -> None:
        assert self._metadata is not None
        for manifest in await asyncio.to_thread(self.store.list):
            avatar_id = manifest.id
            try:
                stored = await asyncio.to_thread(self.store.load, avatar_id)
                if await asyncio.to_thread(self._is_new_or_current, stored):
                    continue
                logger.info("avatar %s is prepared again: an earlier version prepared it", avatar_id)
                await self._run_preparation(avatar_id, in_background=True)
                while is_shown(avatar_id):  # noqa: ASYNC110 (the end of a session is no event)
                    await asyncio.sleep(_SHOWN_EVERY_S)
                async with self._reload:  # who asks for an avatar waits meanwhile, well below a second
                    if avatar_id in self._avatars:
                        await self._load_again(avatar_id)
            except (LipstreamError, OSError) as error:
                logger.warning("avatar %s could not be replaced: %s", avatar_id, error)

    def _is_new_or_current(self, stored: Avatar) -> bool:
        assert self._metadata is not None
        return not stored.is_prepared(self._fingerprint) or stored.is_current(self._metadata)

    async def _load_again(self, avatar_id: str) -> None:
        self._workers.forget_avatar(avatar_id)
        try:
            await self.add(avatar_id)
        except LipstreamError:
            self._avatars.pop(avatar_id, None)  # the workers have it no more; the next call loads it
            raise

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the weights that draw; empty until they are known."""
        return self._metadata.fingerprint if self._metadata else ""

    def at_hand(self) -> list[str]:
        """Return the ids of the avatars that a session need not wait for, or not as long as elsewhere."""
        return sorted({*self._avatars, *self._preparing})

    async def replace(self, avatar_id: str, is_shown: Callable[[str], bool]) -> None:
        """Load an avatar whose files have changed, or a new one; sessions that show it keep what they show.

        Raises:
            LipstreamError: For the reasons that :meth:`add` gives.
        """
        while avatar_id in self._avatars and is_shown(avatar_id):  # noqa: ASYNC110 (the end of a session is no event)
            await asyncio.sleep(_SHOWN_EVERY_S)
        async with self._reload:
            await self._load_again(avatar_id)

    def forget(self, avatar_id: str) -> None:
        """Load an avatar again when it is next shown, since its files have changed. No session may show it."""
        self._avatars.pop(avatar_id, None)
        self._failed.pop(avatar_id, None)
        self._workers.forget_avatar(avatar_id)

    @property
    def first(self) -> str:
        """Id of the avatar for clients and settings that name none."""
        if self._first in self._avatars:
            return self._first
        return min(self._avatars, default=self._first)

    def state(self, avatar_id: str) -> AvatarState:
        """Return ``building`` while an avatar is being prepared, ``failed`` if it could not be, else ``ready``."""
        if avatar_id in self._avatars:
            return "ready"
        if avatar_id in self._preparing:
            return "building"
        return "failed" if avatar_id in self._failed else "ready"

    def progress(self, avatar_id: str) -> float:
        """Return the finished share of an avatar's preparation, 0..1; 1 for one that may be shown."""
        state = self.state(avatar_id)
        return self._progress.get(avatar_id, 0.0) if state == "building" else float(state == "ready")

    def failure(self, avatar_id: str) -> str | None:
        """Return why an avatar could not be prepared or loaded; ``None`` for others."""
        return self._failed.get(avatar_id) if self.state(avatar_id) == "failed" else None

    async def changes(self, avatar_id: str) -> AsyncIterator[None]:
        """Yield now and after every step of an avatar's preparation, until it is ready or has failed."""
        while True:
            changed = self._changed
            yield
            if self.state(avatar_id) != "building":
                return
            await changed.wait()

    async def get(self, avatar_id: str) -> PreparedAvatar:
        """Return an avatar; prepare and load it first if no session has shown it yet.

        Raises:
            NotFoundError: If there is no such avatar.
            AvatarError: If it cannot be prepared or loaded. The next call tries again.
            UnavailableError: If its preparation takes longer than :data:`PATIENCE_S`; it goes on.
        """
        if self._reload.locked():
            async with self._reload:
                pass
        if avatar_id not in self._avatars:
            if avatar_id not in self._preparing:
                await asyncio.to_thread(self.store.load, avatar_id)  # or there is none
            task = self._preparing.get(avatar_id) or self._begin(avatar_id)
            await asyncio.wait([task], timeout=PATIENCE_S)
            if not task.done():
                share = f"{self.progress(avatar_id):.0%}"
                message = f"avatar {avatar_id!r} is being prepared, {share} is done"
                raise UnavailableError(message, reason="warming", retry_after_s=2)
            if why := self._failed.get(avatar_id):
                raise AvatarError(f"avatar {avatar_id!r} could not be prepared: {why}")
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
        self._failed.pop(avatar_id, None)

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
        self.forget(avatar_id)
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

    def _begin(self, avatar_id: str) -> asyncio.Task[None]:
        """Begin to prepare and load an avatar."""
        self._failed.pop(avatar_id, None)
        self._preparing[avatar_id] = task = asyncio.create_task(self._bring(avatar_id), name="prepare-avatar")
        return task

    async def _bring(self, avatar_id: str) -> None:
        try:
            stored = await asyncio.to_thread(self.store.load, avatar_id)
            if not await asyncio.to_thread(stored.is_prepared, self._fingerprint, self._workers.pixel_bytes):
                logger.info("avatar %s is prepared: it has not been shown yet", avatar_id)
                await self._run_preparation(avatar_id)
            await self.add(avatar_id)
        except LipstreamError as error:
            logger.warning("avatar %s cannot be used: %s", avatar_id, error.message)
            self._failed[avatar_id] = error.message
        except Exception as error:
            logger.exception("avatar %s cannot be used", avatar_id)
            self._failed[avatar_id] = f"the server failed: {type(error).__name__}"
        finally:
            self._preparing.pop(avatar_id, None)
            self._note_progress(avatar_id, None)

    def _note_progress(self, avatar_id: str, share: float | None) -> None:
        """Note the finished share of a preparation, ``None`` at its end, and wake all that wait for a change."""
        if share is None:
            self._progress.pop(avatar_id, None)
        else:
            self._progress[avatar_id] = share
        self._changed.set()
        self._changed = asyncio.Event()

    async def _run_preparation(self, avatar_id: str, *, in_background: bool = False) -> None:
        """Prepare an avatar in a separate process, so that the worker goes on with its jobs.

        Args:
            in_background: Whether the process has a low priority; default false.

        Raises:
            AvatarError: If the avatar is not prepared.
        """
        settings = replace(self._settings, device=self._workers.members[0].device)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "lipstream.realtime.workers.prepare_job"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        failure: str | None = "its process ended"
        try:
            if in_background and hasattr(os, "setpriority"):
                with contextlib.suppress(OSError):  # it has ended already
                    os.setpriority(os.PRIO_PROCESS, process.pid, _NICENESS)
            process.stdin.write(prepare_job.to_job(avatar_id, settings))
            process.stdin.close()
            async for line in process.stdout:
                message = json.loads(line)
                if "progress" in message and not in_background:
                    self._note_progress(avatar_id, message["progress"])
                failure = message.get("failed", None if "done" in message else failure)
            await process.wait()
        finally:
            if process.returncode is None:
                kill_program(process)
                await process.wait()
        if failure:
            raise AvatarError(failure)

"""The avatars of one render worker: loaded ones, those being loaded, and the callers that wait for them."""

import asyncio
import itertools
import logging
from collections.abc import Callable

from lipstream.realtime.errors import AvatarError, UnavailableError
from lipstream.realtime.workers.render_messages import AvatarLoaded, ForgetAvatar, LoadAvatar

logger = logging.getLogger(__name__)


class WorkerAvatars:
    """The avatars that a worker must have, also after a restart."""

    def __init__(self, send: Callable[[LoadAvatar | ForgetAvatar], None]) -> None:
        self._send = send
        self._is_there = False  # whether the worker is ready
        self._handles = itertools.count()
        self._known: dict[str, tuple[int, asyncio.Future[None]]] = {}
        self._loading: set[int] = set()  # handles
        self._unanswered: set[int] = set()  # handles that the worker was loading when it ended

    @property
    def are_loading(self) -> bool:
        """Whether the worker is loading avatars; jobs wait meanwhile."""
        return bool(self._loading)

    def handle(self, avatar_id: str) -> int:
        """Return the number by which jobs refer to a loaded avatar."""
        return self._known[avatar_id][0]

    def expect(self, avatar_id: str) -> None:
        """Load an avatar as soon as the worker is ready, now or later; do not wait for it."""
        if avatar_id in self._known:
            return
        handle, future = next(self._handles), asyncio.get_running_loop().create_future()
        future.add_done_callback(lambda done: done.cancelled() or done.exception())  # no caller may be waiting
        self._known[avatar_id] = (handle, future)
        if self._is_there:
            self._ask_for(handle, avatar_id)

    async def load(self, avatar_id: str) -> None:
        """Have the worker load an avatar; return at once if it is loaded.

        Raises:
            AvatarError: If the avatar cannot be loaded.
            UnavailableError: If the worker ended while loading it.
        """
        self.expect(avatar_id)
        future = self._known[avatar_id][1]
        try:
            await asyncio.shield(future)
        except (AvatarError, UnavailableError):
            self._known = {key: value for key, value in self._known.items() if value[1] is not future}
            raise

    def forget(self, avatar_id: str) -> None:
        """Free an avatar. No stream for it may be open."""
        handle, future = self._known.pop(avatar_id, (None, None))
        if future is not None and not future.done():
            future.set_exception(AvatarError(f"the avatar {avatar_id!r} was removed"))
            future.exception()
        if handle is not None and self._is_there:
            self._send(ForgetAvatar(handle))

    def note_ready(self) -> None:
        """Record that the worker is ready, and have it load all avatars."""
        self._is_there = True
        self._unanswered.clear()
        for avatar_id, (handle, _) in self._known.items():
            self._ask_for(handle, avatar_id)

    def note_stopped(self) -> None:
        """Record that the worker has ended."""
        self._is_there = False
        self._unanswered |= self._loading
        self._loading.clear()

    def take(self, message: AvatarLoaded) -> None:
        """Take the worker's answer."""
        self._loading.discard(message.handle)
        if message.why is not None:
            logger.error("avatar cannot be loaded: %s", message.why)
        for handle, future in self._known.values():
            if handle == message.handle and not future.done():
                if message.why is None:
                    future.set_result(None)
                else:
                    future.set_exception(AvatarError(message.why))

    def give_up_loading(self) -> None:
        """Drop the avatars that the worker was loading when it ended, since one of them may be the cause."""
        for avatar_id, (handle, future) in list(self._known.items()):
            if handle in self._unanswered and not future.done():
                message = f"the render worker ended over avatar {avatar_id!r}"
                future.set_exception(UnavailableError(message, reason="renderer"))
                del self._known[avatar_id]

    def close(self) -> None:
        """Cancel the futures of all avatars."""
        for _, future in self._known.values():
            future.cancel()

    def _ask_for(self, handle: int, avatar_id: str) -> None:
        self._loading.add(handle)
        self._send(LoadAvatar(handle, avatar_id))

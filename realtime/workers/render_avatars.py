"""The avatars of one render worker: which are loaded, which are being loaded, and who waits for that."""

import asyncio
import itertools
import logging
from collections.abc import Callable

from lipstream.realtime.errors import AvatarError, UnavailableError
from lipstream.realtime.workers.render_messages import AvatarLoaded, ForgetAvatar, LoadAvatar

logger = logging.getLogger(__name__)


class WorkerAvatars:
    """The avatars that a worker has to have, through all its restarts.

    Args:
        send: Sends a message to the worker.
    """

    def __init__(self, send: Callable[[LoadAvatar | ForgetAvatar], None]) -> None:
        self._send = send
        self._is_there = False  # the worker
        self._handles = itertools.count()
        self._known: dict[str, tuple[int, asyncio.Future[None]]] = {}
        self._loading: set[int] = set()  # handles
        self._unanswered: set[int] = set()  # those that the worker was loading when it ended

    @property
    def are_loading(self) -> bool:
        """Whether the worker loads some now; jobs have to wait meanwhile."""
        return bool(self._loading)

    def handle(self, avatar_id: str) -> int:
        """Return the number by which jobs name a loaded avatar."""
        return self._known[avatar_id][0]

    def expect(self, avatar_id: str) -> None:
        """Have an avatar loaded as soon as the worker is there, now or later."""
        if avatar_id in self._known:
            return
        handle, future = next(self._handles), asyncio.get_running_loop().create_future()
        future.add_done_callback(lambda done: done.cancelled() or done.exception())  # perhaps nobody waits for it
        self._known[avatar_id] = (handle, future)
        if self._is_there:
            self._ask_for(handle, avatar_id)

    async def load(self, avatar_id: str) -> None:
        """Have an avatar loaded; return at once if it is.

        Raises:
            AvatarError: If it cannot be.
            UnavailableError: If the worker ended over it.
        """
        self.expect(avatar_id)
        future = self._known[avatar_id][1]
        try:
            await asyncio.shield(future)
        except (AvatarError, UnavailableError):
            self._known = {key: value for key, value in self._known.items() if value[1] is not future}
            raise

    def forget(self, avatar_id: str) -> None:
        """Free an avatar that no stream is open for."""
        handle, future = self._known.pop(avatar_id, (None, None))
        if future is not None and not future.done():
            future.set_exception(AvatarError(f"the avatar {avatar_id!r} was removed"))
            future.exception()
        if handle is not None and self._is_there:
            self._send(ForgetAvatar(handle))

    def note_ready(self) -> None:
        """Learn that the worker is there, and have it load all avatars."""
        self._is_there = True
        self._unanswered.clear()
        for avatar_id, (handle, _) in self._known.items():
            self._ask_for(handle, avatar_id)

    def note_stopped(self) -> None:
        """Learn that the worker has ended."""
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
        """Forget the avatars that the worker ended over for good: one of them may be the reason."""
        for avatar_id, (handle, future) in list(self._known.items()):
            if handle in self._unanswered and not future.done():
                message = f"the render worker ended over avatar {avatar_id!r}"
                future.set_exception(UnavailableError(message, reason="renderer"))
                del self._known[avatar_id]

    def close(self) -> None:
        """Cancel all waiting for avatars."""
        for _, future in self._known.values():
            future.cancel()

    def _ask_for(self, handle: int, avatar_id: str) -> None:
        self._loading.add(handle)
        self._send(LoadAvatar(handle, avatar_id))

"""An ingress: knows the workers, and finds the one for a request. It holds nothing that outlives it."""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from starlette.requests import HTTPConnection

from lipstream.realtime.api.authorization import bearer
from lipstream.realtime.api.tokens import ANYBODY, Caller, Invitation, Tokens
from lipstream.realtime.cluster.claiming import Claim, claim_session
from lipstream.realtime.cluster.exchange import Exchange
from lipstream.realtime.cluster.forwarding import Forwarder, UnreachableError
from lipstream.realtime.cluster.membership import Members
from lipstream.realtime.cluster.placement import Wish, order_of, refusal_of
from lipstream.realtime.cluster.worker_link import listen
from lipstream.realtime.cluster.worker_list import WorkerList
from lipstream.realtime.errors import UnavailableError
from lipstream.realtime.session.cluster_secret import ClusterSecret
from lipstream.realtime.settings import Settings
from lipstream.realtime.wire.cluster_messages import Announcement

logger = logging.getLogger(__name__)

_LOOK_S = 0.5
"""Interval at which the list of workers is looked at, and what they keep is compared."""
_MESSAGES = {
    "draining": "the cluster is about to stop",
    "warming": "no worker has started yet",
    "renderer": "the renderers are being started again",
    "full": "the cluster is full",
}


class Ingress:
    """One ingress of a cluster.

    Raises:
        SettingsError: If a secret file or the list of workers cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        assert settings.cluster_secret_file is not None
        self.settings = settings
        self.secret = ClusterSecret.read(settings.cluster_secret_file)
        self.tokens = Tokens.read(settings.secret_file)
        self.members = Members()
        self.forwarder = Forwarder(self.secret)
        self._workers = WorkerList(settings.workers)
        self._links: dict[str, asyncio.Task[None]] = {}
        self._exchange = Exchange(self.forwarder, self.members)
        self._chance = random.Random()
        self._open: set[str] = set()
        """Workers that would let everybody in."""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen to the workers."""
        tasks = [
            asyncio.create_task(self._keep_links(), name="workers"),
            asyncio.create_task(self._keep_same(self._exchange.exchange_avatars), name="exchange-avatars"),
            # side by side: a large avatar travels for minutes, and a token that was taken back must not wait for it
            asyncio.create_task(self._keep_same(self._exchange.exchange_tokens), name="exchange-tokens"),
        ]
        try:
            yield
        finally:
            tasks += self._links.values()
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await self.forwarder.close()

    def caller(self, request: HTTPConnection) -> Caller:
        """Return who sends a request."""
        return self.tokens.caller_of(bearer(request), time.time()) if self.tokens.required else ANYBODY

    def note(self, error: UnreachableError, url: str) -> None:
        """Take note of a worker that did not answer a request."""
        if error.is_gone:
            self._lose(url)

    def order(self, wish: Wish, invitation: Invitation | None) -> tuple[list[str], bool]:
        """Return the ids of the workers to ask for a new session, best first, and whether it is one more of its token.

        A join token that has as many sessions as it may is sent to the workers that have them: they refuse, or let one
        whose client is gone make room.

        Raises:
            UnavailableError: If no worker has room.
        """
        now_s = time.monotonic()
        states = self.members.states(now_s)
        if invitation and invitation.max_sessions:
            fresh = self.members.there(now_s).values()
            held = {told["worker"]: told["held"].get(invitation.id, 0) for told in fresh}
            if sum(held.values()) >= invitation.max_sessions:
                return [worker for worker, count in held.items() if count], False
        order = order_of(states, wish, self._chance)
        if not order and (refusal := refusal_of(states)):
            message = _MESSAGES[refusal.reason]
            raise UnavailableError(message, reason=refusal.reason, retry_after_s=refusal.retry_after_s)
        return order, True

    async def claim(self, invitation: Invitation | None) -> Claim | None:
        """Claim a session of a join token, before it is placed; ``None`` if nothing has to be claimed.

        Raises:
            UnavailableError: If the token has as many sessions as it may.
        """
        if invitation is None:
            return None
        fresh = self.members.there(time.monotonic())
        urls = {told["worker"]: url for url, told in fresh.items()}
        return await claim_session(self.forwarder, fresh.values(), urls, invitation)

    async def _keep_links(self) -> None:
        while True:
            urls = await asyncio.to_thread(self._workers.look)
            for url in set(urls) - self._links.keys():
                self._links[url] = asyncio.create_task(
                    listen(self.forwarder, url, self._hear, self._lose), name=f"link-{url}"
                )
            for url in self._links.keys() - set(urls):
                task = self._links.pop(url)
                task.cancel()
                await asyncio.wait([task])
                self._lose(url)
                logger.info("worker %s is no more in the list", url)
            self.members.forget_old(time.monotonic())
            await asyncio.sleep(_LOOK_S)

    async def _keep_same(self, exchange: Callable[[float], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            try:
                await exchange(time.monotonic())
            except Exception:
                logger.exception("what workers keep could not be compared")

    def reload(self, secret_file: Path) -> None:
        """Use the keys that a secret file holds now.

        Raises:
            SettingsError: If the file cannot be used; the keys stay.
        """
        self.tokens = Tokens.read(secret_file)

    def _hear(self, url: str, announcement: Announcement) -> None:
        if self.tokens.required and not announcement["keyed"]:
            if url not in self._open:
                logger.error("worker %s is not used: it asks for no keys, and this ingress has a secret file", url)
                self._open.add(url)
            return
        self._open.discard(url)
        self.members.hear(url, announcement, time.monotonic())

    def _lose(self, url: str) -> None:
        self.members.lose(url, time.monotonic())

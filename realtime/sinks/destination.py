"""One destination of a live stream: connects, and reconnects when the connection breaks."""

import asyncio
import logging
import os
import random
import secrets
import socket
import ssl
from abc import abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

from lipstream.realtime.errors import LipstreamError
from lipstream.realtime.sinks.backoff import Backoff
from lipstream.realtime.sinks.flv import Tag
from lipstream.realtime.sinks.stream_address import StreamAddress, StreamConnection, StreamConnectionError
from lipstream.realtime.sinks.stream_targets import StreamTargets
from lipstream.realtime.wire.answers import StreamAnswer

logger = logging.getLogger(__name__)

DestinationState = Literal["connecting", "live", "waiting", "ended", "failed"]

CONNECT_S = 10.0
STALL_S = 10.0
"""Time without progress after which a server counts as stalled."""
MOST_TAGS = 220
"""Tags that may wait for a slow server, three seconds; then the stream continues with the next key frame."""


class Destination:
    """Keeps one connection up until it is closed.

    Attributes:
        id: Random URL-safe id of 12 characters.
        state: ``connecting``, ``live``, ``waiting``, ``ended`` or ``failed``.
        reason: Reason for the last break; ``""`` before one.
        links: Number of connections made so far.
    """

    def __init__(self, address: StreamAddress, on_change: Callable[["Destination"], None]) -> None:
        self.id = secrets.token_urlsafe(9)
        self.address = address
        self.state: DestinationState = "connecting"
        self.reason = ""
        self.links = 0
        self._on_change = on_change
        self._task: asyncio.Task[None] | None = None
        self._back_off = Backoff()

    @property
    def running(self) -> bool:
        """Whether the destination sends or tries to connect."""
        return self.state not in ("ended", "failed")

    def start(self) -> None:
        """Start connecting."""
        self._task = asyncio.create_task(self._keep(), name="stream")

    async def close(self, *, failed: bool = False) -> None:
        """End the stream in good order. Later calls do nothing."""
        task, self._task = self._task, None
        if task:
            task.cancel()
            await asyncio.wait([task])
            self._become("failed" if failed else "ended")

    def stats(self) -> StreamAnswer:
        """Return the state for API answers, without the stream's key."""
        stats = StreamAnswer(id=self.id, to=str(self.address), state=self.state, links=self.links)
        if self.reason:
            stats["reason"] = self.reason
        return stats

    @abstractmethod
    async def _serve(self) -> None:
        """Connect, call ``_connected``, and send until the connection breaks.

        Raises:
            LipstreamError: If the connection fails or breaks, with a reason for clients.
            OSError: If the connection fails or breaks.
        """

    def _connected(self) -> None:
        """Record that the connection is up."""
        self.links += 1
        self.reason = ""
        self._back_off.works(asyncio.get_running_loop().time())
        logger.info("stream %s is live at %s", self.id, self.address)
        self._become("live")

    async def _keep(self) -> None:
        """Connect again and again, until closed; a library that swallows the cancellation does not prolong it."""
        while self._task is asyncio.current_task():
            try:
                await self._serve()
            except LipstreamError as error:
                self.reason = error.message
            except TimeoutError:
                self.reason = "no answer in time"
            except OSError as error:
                self.reason = _in_words(error)
            except Exception:
                logger.exception("stream %s failed", self.id)
                self.reason = "a fault of the server"
            if self._task is not asyncio.current_task():
                break
            pause_s = self._back_off.fails(asyncio.get_running_loop().time(), random.random())
            logger.warning("stream %s to %s: %s; again in %.1f s", self.id, self.address, self.reason, pause_s)
            self._become("waiting")
            await asyncio.sleep(pause_s)
            self._become("connecting")

    def _become(self, state: DestinationState) -> None:
        self.state = state
        self._on_change(self)


class TagDestination(Destination):
    """A destination that receives the tags of a shared encode.

    Args:
        targets: Where streams may go.
        open_link: Connects to one of some IP addresses.
        headers: Returns the header tags that a stream begins with.
        ask_key: Makes the next picture a key frame, at which a link begins.

    Attributes:
        lost: Number of tags dropped because the server was too slow.
    """

    def __init__(
        self,
        address: StreamAddress,
        on_change: Callable[[Destination], None],
        *,
        targets: StreamTargets,
        open_link: Callable[[StreamAddress, Sequence[str]], Awaitable[StreamConnection]],
        headers: Callable[[], list[Tag]],
        ask_key: Callable[[], None],
    ) -> None:
        super().__init__(address, on_change)
        self.lost = 0
        self._targets, self._open_link, self._headers, self._ask_key = targets, open_link, headers, ask_key
        self._tags: deque[Tag] = deque()
        self._more = asyncio.Event()
        self._has_key = False

    @property
    def queue_depth(self) -> int:
        """Number of tags that wait to be sent."""
        return len(self._tags)

    def take(self, tag: Tag) -> None:
        """Queue a tag; drop it while no connection is up."""
        if self.state != "live" or not (self._has_key or tag.is_key):
            return
        if len(self._tags) >= MOST_TAGS:
            self.lost += len(self._tags)
            self._tags.clear()
            self._has_key = tag.is_key
            if not tag.is_key:
                return
        self._has_key = True
        self._tags.append(tag)
        self._more.set()

    def stats(self) -> StreamAnswer:
        """Return the state for API answers, with the number of dropped tags."""
        return {**super().stats(), "lost_tags": self.lost}

    async def _serve(self) -> None:
        async with asyncio.timeout(CONNECT_S):
            link = await self._open_link(self.address, await self._targets.resolve(self.address))
        try:
            self._tags.clear()
            self._has_key = False
            self._connected()
            self._ask_key()
            await self._send_all(link)
        finally:
            await link.close()

    async def _send_all(self, link: StreamConnection) -> None:
        """Send from the next key frame on; its time becomes 0."""
        origin_ms: int | None = None
        while True:
            tag = await self._next()
            if origin_ms is None:
                origin_ms = tag.time_ms
                for header in self._headers():
                    await _send(link, header.at(0))
            if tag.time_ms >= origin_ms:
                await _send(link, tag.at(tag.time_ms - origin_ms))

    async def _next(self) -> Tag:
        while not self._tags:
            self._more.clear()
            await self._more.wait()
        return self._tags.popleft()


async def _send(link: StreamConnection, tag: Tag) -> None:
    try:
        async with asyncio.timeout(STALL_S):
            await link.send(tag)
    except TimeoutError as error:
        raise StreamConnectionError("the server accepts no more data") from error


def _in_words(error: OSError) -> str:
    """Return a description of a network error; the error's own text may contain secrets."""
    match error:
        case ssl.SSLCertVerificationError():
            return "this machine does not trust the server's certificate"
        case ssl.SSLError():
            return "the server speaks no supported version of TLS"
        case socket.gaierror():
            return "no such host"
        case _:
            return os.strerror(error.errno).lower() if error.errno else "the connection broke"

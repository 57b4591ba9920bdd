"""Those who watch a session without speaking in it."""

import asyncio
import logging
import secrets
from collections.abc import Callable

from lipstream.realtime.encoding.broadcast import Broadcast
from lipstream.realtime.errors import NotFoundError, UnavailableError, found
from lipstream.realtime.queue_depths import QueueDepths, fullest
from lipstream.realtime.rtc.peer import Peer
from lipstream.realtime.rtc.rtc_settings import RtcSettings
from lipstream.realtime.rtc.sdp import WATCHING
from lipstream.realtime.wire.session_answers import PeerStats, ViewerStats

logger = logging.getLogger(__name__)


class Viewers:
    """The viewers of one session.

    Args:
        broadcast: What they get.
        rtc: How they connect.
        limit: Most of them at once.
        on_fault: Told what failed when a viewer is lost by a fault of the server's: all others get the same.
    """

    def __init__(self, broadcast: Broadcast, *, rtc: RtcSettings, limit: int, on_fault: Callable[[str], None]) -> None:
        self._broadcast, self._rtc, self._limit = broadcast, rtc, limit
        self._on_fault = on_fault
        self._peers: dict[str, Peer] = {}
        self._answering = 0
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def count(self) -> int:
        """Viewers there are, those that are still connecting too."""
        return len(self._peers) + self._answering

    @property
    def connected(self) -> bool:
        """Whether anybody watches now."""
        return any(peer.connected for peer in self._peers.values())

    async def watch(self, offer_sdp: str) -> tuple[str, str]:
        """Let one more watch; return its id and the answer to its offer.

        Raises:
            OfferError: If the offer cannot be answered.
            TooLargeError: If it is over the size limit.
            UnavailableError: If there are as many as may be.
            NotFoundError: If the session ended meanwhile.
        """
        if self.count >= self._limit:
            raise UnavailableError("as many watch this session as may", reason="full")
        viewer_id = secrets.token_urlsafe(16)
        peer = Peer(
            self._broadcast,
            terms=WATCHING,
            settings=self._rtc,
            on_gone=lambda reason: self._gone(viewer_id, reason),
        )
        self._answering += 1
        try:
            answer = await peer.answer(offer_sdp)
        finally:
            self._answering -= 1
        if self._closed:
            await peer.close()
            raise NotFoundError("there is no such session")
        self._peers[viewer_id] = peer
        return viewer_id, answer

    def get(self, viewer_id: str) -> Peer:
        """Return a viewer's connection.

        Raises:
            NotFoundError: If there is none of this id.
        """
        return found(self._peers, viewer_id, "viewer")

    async def leave(self, viewer_id: str) -> None:
        """Let a viewer go.

        Raises:
            NotFoundError: If there is none of this id.
        """
        peer = self.get(viewer_id)
        del self._peers[viewer_id]
        await peer.close()

    async def close(self) -> None:
        """Let go of everybody."""
        self._closed = True
        peers, self._peers = list(self._peers.values()), {}
        await asyncio.gather(*(peer.close() for peer in peers))
        if self._closing:
            await asyncio.wait(self._closing)

    def stats(self) -> ViewerStats:
        """Return how many there are, and how many get key frames alone because their link carries no more."""
        figures = list(self.connections().values())
        thinned = sum("video" in each and each["video"]["thinned"] for each in figures)
        connected = sum(each["connected"] for each in figures)
        return ViewerStats(count=len(figures), connected=connected, thinned=thinned)

    def connections(self) -> dict[str, PeerStats]:
        """Return the figures of each viewer's connection, by its id."""
        return {viewer_id: peer.stats() for viewer_id, peer in self._peers.items()}

    def queue_depths(self) -> QueueDepths:
        """Return how much waits in the fullest of their connections, and how much may."""
        return fullest(peer.queue_depths() for peer in self._peers.values())

    def _gone(self, viewer_id: str, reason: str) -> None:
        if peer := self._peers.pop(viewer_id, None):
            logger.info("viewer %s: %s", viewer_id[:6], reason)
            task = asyncio.create_task(peer.close(), name="close-viewer")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
            if peer.failed:
                self._on_fault(reason)

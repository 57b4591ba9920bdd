"""Viewers: peers that watch a session without speaking in it."""

import asyncio
import logging
import secrets
from collections.abc import Callable

from lipstream.realtime.encoding.broadcast import Broadcast
from lipstream.realtime.errors import NotFoundError, UnavailableError, found
from lipstream.realtime.queue_depths import QueueDepths, fullest
from lipstream.realtime.rtc.offer_terms import WATCHING
from lipstream.realtime.rtc.peer import Peer
from lipstream.realtime.rtc.rtc_settings import RtcSettings
from lipstream.realtime.wire.session_answers import PeerStats, ViewerStats

logger = logging.getLogger(__name__)


class Viewers:
    """The viewers of one session.

    All receive the same media, so a viewer that is lost by a fault of the server is reported to ``on_fault``.
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
        """Number of viewers, including those still connecting."""
        return len(self._peers) + self._answering

    @property
    def connected(self) -> bool:
        """Whether at least one viewer is connected."""
        return any(peer.connected for peer in self._peers.values())

    async def watch(self, offer_sdp: str) -> tuple[str, str]:
        """Add a viewer; return its id and the answer to its offer.

        Raises:
            OfferError: If the offer cannot be answered.
            TooLargeError: If the offer is over the size limit.
            UnavailableError: If the session has its most viewers already.
            NotFoundError: If the session ended meanwhile.
        """
        if self.count >= self._limit:
            raise UnavailableError("this session has as many viewers as it may have", reason="full")
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
            NotFoundError: If there is no viewer with this id.
        """
        return found(self._peers, viewer_id, "viewer")

    async def leave(self, viewer_id: str) -> None:
        """Close a viewer's connection and remove it.

        Raises:
            NotFoundError: If there is no viewer with this id.
        """
        peer = self.get(viewer_id)
        del self._peers[viewer_id]
        await peer.close()

    async def close(self) -> None:
        """Close all viewers' connections and take no more. May be called again."""
        self._closed = True
        peers, self._peers = list(self._peers.values()), {}
        await asyncio.gather(*(peer.close() for peer in peers))
        if self._closing:
            await asyncio.wait(self._closing)

    def stats(self) -> ViewerStats:
        """Return the number of viewers, of connected ones, and of those whose slow link gets key frames only."""
        figures = list(self.connections().values())
        thinned = sum("video" in each and each["video"]["thinned"] for each in figures)
        connected = sum(each["connected"] for each in figures)
        return ViewerStats(count=len(figures), connected=connected, thinned=thinned)

    def connections(self) -> dict[str, PeerStats]:
        """Return the statistics of each viewer's connection, by the viewer's id."""
        return {viewer_id: peer.stats() for viewer_id, peer in self._peers.items()}

    def queue_depths(self) -> QueueDepths:
        """Return the highest fill of each queue over all viewers, and its limit."""
        return fullest(peer.queue_depths() for peer in self._peers.values())

    def _gone(self, viewer_id: str, reason: str) -> None:
        if peer := self._peers.pop(viewer_id, None):
            logger.info("viewer %s: %s", viewer_id[:6], reason)
            task = asyncio.create_task(peer.close(), name="close-viewer")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
            if peer.failed:
                self._on_fault(reason)

"""The place of the peer that speaks in a session: one at a time, and the next one takes over."""

import asyncio
import logging
from collections.abc import Callable, Coroutine

from lipstream.realtime.audio.jitter_buffer import JitterBuffer
from lipstream.realtime.encoding.broadcast import Broadcast
from lipstream.realtime.errors import NotFoundError
from lipstream.realtime.queue_depths import QueueDepths
from lipstream.realtime.rtc.offer_terms import PUBLISHING, SPEAKING, Terms
from lipstream.realtime.rtc.peer import Peer
from lipstream.realtime.rtc.rtc_settings import RtcSettings
from lipstream.realtime.wire.control_messages import ControlMessage
from lipstream.realtime.wire.events import ServerEvent
from lipstream.realtime.wire.session_answers import PeerStats

logger = logging.getLogger(__name__)


class SpeakingPeer:
    """Answers the offers of a session's speaker, and closes the peers that are replaced or lost.

    Args:
        microphone: Gets the sound of the peer; cleared when the peer changes.
        on_control: Called with each message of the peer's control channel.
        on_fault: Called with the reason if a fault of this server ends the peer, which stays.
        on_left: Called with the peer after it is gone for any other reason.
    """

    def __init__(
        self,
        broadcast: Broadcast,
        *,
        rtc: RtcSettings,
        microphone: JitterBuffer,
        on_control: Callable[[ControlMessage], None],
        on_fault: Callable[[str], None],
        on_left: Callable[[Peer], None],
    ) -> None:
        self._broadcast, self._rtc, self._microphone = broadcast, rtc, microphone
        self._on_control, self._on_fault, self._on_left = on_control, on_fault, on_left
        self._peer: Peer | None = None
        self._earlier: set[asyncio.Task[None]] = set()  # tasks that close earlier peers
        self._ended = False
        self.publishes = False
        """Whether the last peer only sends sound."""

    @property
    def peer(self) -> Peer | None:
        """The peer, connected or connecting; ``None`` if there is none."""
        return self._peer

    @property
    def connected(self) -> bool:
        """Whether there is a peer and media flow."""
        return self._peer is not None and self._peer.connected

    async def answer(self, offer_sdp: str, terms: Terms) -> str:
        """Answer an offer; the new peer replaces the previous one, which stays if this fails.

        A later offer of the previous one's client is answered on its connection.

        Raises:
            OfferError: If the offer cannot be answered.
            TooLargeError: If the offer is over the size limit.
            NotFoundError: If the session ended meanwhile.
        """
        if self._peer and terms is SPEAKING and self._peer.is_offered_again(offer_sdp):
            return await self._peer.answer_again(offer_sdp)
        peer = Peer(
            self._broadcast,
            terms=terms,
            settings=self._rtc,
            microphone=self._microphone,
            on_control=self._on_control,
            on_gone=lambda reason: self._gone(peer, reason),
        )
        answer = await peer.answer(offer_sdp)
        if self._ended:
            await peer.close()
            raise NotFoundError("there is no such session")
        before, self._peer = self._peer, peer
        self.publishes = terms is PUBLISHING
        self._microphone.clear()
        if before:
            self._close_later(before)
        return answer

    def tell(self, event: ServerEvent) -> None:
        """Send an event to the peer, if there is one."""
        if self._peer:
            self._peer.send_control(event)

    def stats(self) -> PeerStats | None:
        """Return the peer's statistics; ``None`` without a peer."""
        return self._peer.stats() if self._peer else None

    def queue_depths(self) -> QueueDepths:
        """Return fill and limit of each queue of the peer; empty without a peer."""
        return self._peer.queue_depths() if self._peer else {}

    def end(self) -> None:
        """Take no more peers. May be called again."""
        self._ended = True

    def closing(self, *, flush: bool) -> dict[str, Coroutine[None, None, None]]:
        """Return what closes the peer and those before it, by names for the log; they may run side by side.

        Args:
            flush: Whether the peer first gets the events that wait for it.
        """
        parts = {"earlier peers": self._close_earlier()}
        peer, self._peer = self._peer, None
        if peer:
            parts["peer"] = _part_from(peer, flush=flush)
        return parts

    def _gone(self, peer: Peer, reason: str) -> None:
        logger.info("peer lost: %s", reason)
        if peer is self._peer and peer.failed:
            self._on_fault(reason)
            return
        self._close_later(peer)
        if peer is self._peer:
            self._peer = None
            self._microphone.clear()
            self._on_left(peer)

    def _close_later(self, peer: Peer) -> None:
        task = asyncio.create_task(peer.close(), name="close-peer")
        self._earlier.add(task)
        task.add_done_callback(self._earlier.discard)

    async def _close_earlier(self) -> None:
        if self._earlier:
            await asyncio.wait(self._earlier)


async def _part_from(peer: Peer, *, flush: bool) -> None:
    if flush:
        await peer.flush_control()
    await peer.close()

"""The live streams of one session, and the encode that they share."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

from lipstream.realtime.encoding.broadcast import Broadcast
from lipstream.realtime.errors import ConflictError, NotFoundError, found
from lipstream.realtime.queue_depths import QueueDepths
from lipstream.realtime.rtc.rtc_settings import RtcSettings
from lipstream.realtime.sinks.destination import MOST_TAGS, Destination, DestinationState, TagDestination
from lipstream.realtime.sinks.flv import Tag
from lipstream.realtime.sinks.flv_sink import FlvSink
from lipstream.realtime.sinks.rtmp_link import RtmpLink
from lipstream.realtime.sinks.sink import OnEvent
from lipstream.realtime.sinks.srt_link import SrtLink
from lipstream.realtime.sinks.stream_address import StreamAddress, StreamConnection
from lipstream.realtime.sinks.stream_targets import StreamTargets
from lipstream.realtime.sinks.whip import WhipDestination
from lipstream.realtime.wire.answers import StreamAnswer
from lipstream.realtime.wire.events import StreamEvent

MOST = 8
"""Limit of streams of one session at a time."""
_LINKS: dict[str, Callable[[StreamAddress, Sequence[str]], Awaitable[StreamConnection]]] = {
    "rtmp": RtmpLink.open,
    "rtmps": RtmpLink.open,
    "srt": SrtLink.open,
}
_EVENTS: dict[DestinationState, Literal["stream_started", "stream_lost", "stream_ended"]] = {
    "live": "stream_started",
    "waiting": "stream_lost",
    "ended": "stream_ended",
    "failed": "stream_ended",
}


class Streams:
    """Streams a session to several servers; a slow server does not delay the others.

    Args:
        targets: Where streams may go.
    """

    def __init__(
        self, broadcast: Broadcast, session_id: str, on_event: OnEvent, rtc: RtcSettings, targets: StreamTargets
    ) -> None:
        self._broadcast, self._session_id, self._on_event = broadcast, session_id, on_event
        self._rtc, self._targets = rtc, targets
        self._destinations: dict[str, Destination] = {}
        self._encode: FlvSink | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def running(self) -> bool:
        """Whether a stream is connected or connecting: the session then continues without a connected client."""
        return any(destination.running for destination in self._destinations.values())

    @property
    def live(self) -> int:
        """Number of connected streams."""
        return sum(destination.state == "live" for destination in self._destinations.values())

    def add(self, url: str, facts: dict[str, str]) -> Destination:
        """Start streaming to an address.

        Args:
            url: ``rtmp://``, ``rtmps://`` or ``srt://`` address, or a WHIP endpoint.

        Raises:
            BadRequestError: If the URL cannot be streamed to, or a stream may not go to the address in it.
            ConflictError: If the session is streamed there already or has ``MOST`` streams.
            NotFoundError: If the session has ended.
        """
        if self._closed:
            raise NotFoundError("there is no such session")
        address = StreamAddress.parse(url)
        self._targets.check(address)
        running = [destination for destination in self._destinations.values() if destination.running]
        if any(destination.address == address for destination in running):
            raise ConflictError("this session is streamed there already")
        if len(running) >= MOST:
            raise ConflictError(f"a session has {MOST} streams at most")
        destination: Destination
        if open_link := _LINKS.get(address.parts.scheme):
            encode = self._open_encode(facts)
            destination = TagDestination(
                address,
                self._changed,
                targets=self._targets,
                open_link=open_link,
                headers=lambda: encode.headers,
                ask_key=encode.ask_key,
            )
        else:
            destination = WhipDestination(
                address, self._changed, targets=self._targets, broadcast=self._broadcast, rtc=self._rtc
            )
        self._destinations = {d.id: d for d in running} | {destination.id: destination}
        destination.start()
        return destination

    def get(self, stream_id: str) -> Destination:
        """Return a stream by its id.

        Raises:
            NotFoundError: If the id is unknown.
        """
        return found(self._destinations, stream_id, "stream")

    def all(self) -> list[Destination]:
        """Return all streams, oldest first."""
        return list(self._destinations.values())

    def stats(self) -> list[StreamAnswer]:
        """Return the state of each stream."""
        encode = self._encode.stats() if self._encode else None
        listed: list[StreamAnswer] = []
        for destination in self._destinations.values():
            stats = destination.stats()
            shares = encode if isinstance(destination, TagDestination) else None
            listed.append({**stats, **shares} if shares else stats)
        return listed

    def queue_depths(self) -> QueueDepths:
        """Return fill and limit of the encoder's queue and of the fullest server queue."""
        tags = [one.queue_depth for one in self._destinations.values() if isinstance(one, TagDestination)]
        return ({"stream_units": self._encode.queue_depth} if self._encode else {}) | (
            {"stream_tags": (max(tags), MOST_TAGS)} if tags else {}
        )

    async def remove(self, stream_id: str) -> Destination:
        """End a stream and return it.

        Raises:
            NotFoundError: If the id is unknown.
        """
        destination = self.get(stream_id)
        await destination.close()
        self._destinations.pop(stream_id, None)
        if not any(isinstance(other, TagDestination) and other.running for other in self._destinations.values()):
            await self._stop_encode()
        return destination

    async def close(self) -> None:
        """End all streams and take no more. Later calls do nothing."""
        self._closed = True
        await asyncio.gather(self._stop_encode(), *(destination.close() for destination in self._destinations.values()))
        if self._closing:
            await asyncio.wait(self._closing)

    def _open_encode(self, facts: dict[str, str]) -> FlvSink:
        if self._encode is None:
            self._encode = FlvSink(
                self._broadcast, self._session_id, facts, on_tag=self._hand_out, on_end=self._encode_ended
            )
            self._encode.start()
        return self._encode

    async def _stop_encode(self) -> None:
        encode, self._encode = self._encode, None
        if encode:
            await encode.close()

    def _hand_out(self, tag: Tag) -> None:
        for destination in self._destinations.values():
            if isinstance(destination, TagDestination):
                destination.take(tag)

    def _encode_ended(self, error: Exception | None) -> None:
        if self._encode is None:  # the end was requested
            return
        self._encode = None
        for destination in self._destinations.values():
            if not isinstance(destination, TagDestination):
                continue
            if error is not None:
                destination.reason = "the encoder failed"
            task = asyncio.create_task(destination.close(failed=error is not None), name="end-stream")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def _changed(self, destination: Destination) -> None:
        if kind := _EVENTS.get(destination.state):
            event = StreamEvent(type=kind, stream=destination.id)
            if destination.reason:
                event["reason"] = destination.reason
            self._on_event(event)

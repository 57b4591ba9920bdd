"""The live streams of one session: which there are, and the one encode that they share."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal

from lipstream.realtime.encoding.broadcast import Broadcast
from lipstream.realtime.errors import ConflictError, found
from lipstream.realtime.queue_depths import QueueDepths
from lipstream.realtime.rtc.rtc_settings import RtcSettings
from lipstream.realtime.sinks.destination import MOST_TAGS, Destination, DestinationState, TagDestination
from lipstream.realtime.sinks.flv import Tag
from lipstream.realtime.sinks.flv_sink import FlvSink
from lipstream.realtime.sinks.rtmp_link import RtmpLink
from lipstream.realtime.sinks.sink import OnEvent
from lipstream.realtime.sinks.srt_link import SrtLink
from lipstream.realtime.sinks.stream_address import StreamAddress, StreamConnection
from lipstream.realtime.sinks.whip import WhipDestination
from lipstream.realtime.wire.answers import StreamAnswer
from lipstream.realtime.wire.events import StreamEvent

MOST = 8
"""Streams of one session at once."""
_LINKS: dict[str, Callable[[StreamAddress], Awaitable[StreamConnection]]] = {
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
    """Sends a session to servers, each at its own pace.

    Args:
        broadcast: The session's.
        session_id: The session's.
        on_event: Told when a stream is live, lost, or over, as clients are.
        rtc: How an SFU is connected to.
    """

    def __init__(self, broadcast: Broadcast, session_id: str, on_event: OnEvent, rtc: RtcSettings) -> None:
        self._broadcast, self._session_id, self._on_event = broadcast, session_id, on_event
        self._rtc = rtc
        self._destinations: dict[str, Destination] = {}
        self._encode: FlvSink | None = None
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def running(self) -> bool:
        """Whether there is any, connected or on its way: the session then goes on though nobody is connected."""
        return any(destination.running for destination in self._destinations.values())

    @property
    def live(self) -> int:
        """How many are connected."""
        return sum(destination.state == "live" for destination in self._destinations.values())

    def add(self, url: str, facts: dict[str, str]) -> Destination:
        """Begin to stream to an address.

        Args:
            url: Of RTMP(S), SRT, or a WHIP endpoint.
            facts: Of :func:`realtime.picture.provenance.provenance`.

        Raises:
            BadRequestError: If nothing can be streamed there.
            ConflictError: If that is done already, or there are as many as may be.
        """
        address = StreamAddress.parse(url)
        running = [destination for destination in self._destinations.values() if destination.running]
        if any(destination.address == address for destination in running):
            raise ConflictError("this session is streamed there already")
        if len(running) >= MOST:
            raise ConflictError(f"a session has {MOST} streams at most")
        destination: Destination
        if open_link := _LINKS.get(address.parts.scheme):
            encode = self._open_encode(facts)
            destination = TagDestination(address, self._changed, open_link=open_link, headers=lambda: encode.headers)
        else:
            destination = WhipDestination(address, self._changed, broadcast=self._broadcast, rtc=self._rtc)
        self._destinations = {d.id: d for d in running} | {destination.id: destination}
        destination.start()
        return destination

    def get(self, stream_id: str) -> Destination:
        """Return a stream.

        Raises:
            NotFoundError: If there is none of this id.
        """
        return found(self._destinations, stream_id, "stream")

    def all(self) -> list[Destination]:
        """Return the streams there are, oldest first."""
        return list(self._destinations.values())

    def stats(self) -> list[StreamAnswer]:
        """Return the state of each."""
        encode = self._encode.stats() if self._encode else None
        listed: list[StreamAnswer] = []
        for destination in self._destinations.values():
            stats = destination.stats()
            shares = encode if isinstance(destination, TagDestination) else None
            listed.append({**stats, **shares} if shares else stats)
        return listed

    def queue_depths(self) -> QueueDepths:
        """Return how much waits to be encoded, and to be sent to the server that is furthest behind, and may."""
        tags = [one.queue_depth for one in self._destinations.values() if isinstance(one, TagDestination)]
        return ({"stream_units": self._encode.queue_depth} if self._encode else {}) | (
            {"stream_tags": (max(tags), MOST_TAGS)} if tags else {}
        )

    async def remove(self, stream_id: str) -> Destination:
        """End a stream; return it.

        Raises:
            NotFoundError: If there is none of this id.
        """
        destination = self.get(stream_id)
        await destination.close()
        self._destinations.pop(stream_id, None)
        if not any(isinstance(other, TagDestination) and other.running for other in self._destinations.values()):
            await self._stop_encode()
        return destination

    async def close(self) -> None:
        """End them all. May be called again."""
        await asyncio.gather(*(destination.close() for destination in self._destinations.values()))
        await self._stop_encode()
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
        if self._encode is None:  # asked to
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

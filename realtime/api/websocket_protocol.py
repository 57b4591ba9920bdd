"""Uvicorn's WebSocket protocol with bounds on what a client sends, and a deadline for what it does not read.

Each frame costs the event loop, which also sends media, some microseconds, however short the frame is. Data is parsed
in slices, so that a client that goes over a bound is stopped before the rest of its data is looked at.
"""

import asyncio
import logging
from asyncio.transports import BaseTransport
from typing import Any

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

from lipstream.realtime.api.connections import WRITE_S
from lipstream.realtime.rate_limit import RateLimit

logger = logging.getLogger(__name__)

CONTROL_BURST, CONTROL_PER_S = 40, 10.0
"""Pings and pongs that a client may send: a client's own keep-alive needs one in some seconds."""
FRAME_BURST, FRAMES_PER_S = 2000, 500.0
"""Frames of any kind: sound in pieces of 10 ms takes 100 a second."""
SLICE_BYTES = 2048
SLICE_BURST, SLICES_PER_S = 4096, 1024.0
"""Slices of data, 2 MiB a second: sound of 48 kHz takes 94 KiB, and a program may send some seconds of it ahead."""
_POLICY = 1008
_BAD_HEAD = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_FAREWELL_S = 1.0
"""Time for a client that went over a bound to read the closing code."""
_CLOSED_S = 15.0
"""Time for a connection to end by itself after its application; uvicorn waits 10 s for the client's farewell."""


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """The protocol of one WebSocket. A client that goes over a bound is closed with code 1008."""

    def connection_made(self, transport: BaseTransport) -> None:
        """Begin with a connection whose request has been read."""
        super().connection_made(transport)
        self._control = RateLimit(CONTROL_BURST, CONTROL_PER_S)
        self._frames = RateLimit(FRAME_BURST, FRAMES_PER_S)
        self._slices = RateLimit(SLICE_BURST, SLICES_PER_S)
        self._fault = ""
        self._unread: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        """Parse data until the client goes over a bound."""
        for start in range(0, len(data), SLICE_BYTES):
            if self.close_sent and self._fault:
                return
            if self._slices.take("", self.loop.time()):
                self._fault = self._fault or "too much data"
            if not self._fault:
                super().data_received(data[start : start + SLICE_BYTES])
            if self._fault:
                self._refuse()

    def refuse_head(self) -> None:
        """Refuse a head that was read whole and is none of a WebSocket: a line too long, too many, or with a body.

        Nothing would ever be answered, and the connection would count as one at work for as long as its client likes.
        """
        self.handshake_complete = self.close_sent = True
        self.transport.write(_BAD_HEAD)
        self.transport.close()

    def handle_ping(self) -> None:
        """Answer a ping."""
        if self._counted(self._control, "too many pings"):
            super().handle_ping()

    def handle_pong(self, event: Frame) -> None:
        """Take a pong."""
        if self._counted(self._control, "too many pongs"):
            super().handle_pong(event)

    def handle_cont(self, event: Frame) -> None:
        """Take the next part of a message."""
        if self._counted(self._frames, "too many frames"):
            super().handle_cont(event)

    def handle_text(self, event: Frame) -> None:
        """Take a message of text, or its first part."""
        if self._counted(self._frames, "too many frames"):
            super().handle_text(event)

    def handle_bytes(self, event: Frame) -> None:
        """Take a message of sound, or its first part."""
        if self._counted(self._frames, "too many frames"):
            super().handle_bytes(event)

    def pause_writing(self) -> None:
        """Give a client that reads too slowly some time."""
        super().pause_writing()
        self._unread = self.loop.call_later(WRITE_S, self._give_up)

    def resume_writing(self) -> None:
        """Continue: the client has read."""
        super().resume_writing()
        self._stop_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        """End with the connection."""
        self._stop_clock()
        super().connection_lost(exc)

    def keepalive_timeout(self) -> None:
        """Close the connection of a client that answers no ping."""
        super().keepalive_timeout()
        self.loop.call_later(_CLOSED_S, self.transport.abort)

    async def send(self, message: ASGISendEvent) -> None:
        """Send a message of the application.

        Raises:
            ClientDisconnected: If the connection has ended or is being closed, by either end.
        """
        await self.writable.wait()
        if self.close_sent:
            raise ClientDisconnected
        await super().send(message)
        if message["type"] == "websocket.http.response.body":  # uvicorn takes a refusal for a missing answer
            self.handshake_complete = True

    async def run_asgi(self) -> None:
        """Run the application; the connection ends soon after it, also if the client reads nothing."""
        await super().run_asgi()
        self.loop.call_later(_CLOSED_S, self.transport.abort)

    def _counted(self, bound: RateLimit, fault: str) -> bool:
        """Count a frame; return whether it is within the bound, and so are all before it."""
        if not self._fault and bound.take("", self.loop.time()):
            self._fault = fault
        return not self._fault

    def _refuse(self) -> None:
        """Close the connection; what the client goes on sending is not looked at."""
        logger.warning("a WebSocket is closed: %s", self._fault)
        closing: dict[str, Any] = {"type": "websocket.disconnect", "code": _POLICY, "reason": self._fault}
        self.queue.put_nowait(closing)  # type: ignore[arg-type]
        self.conn.fail(_POLICY, self._fault)
        if not self.transport.is_closing():
            self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.stop_keepalive()
        # Closed at once, with data unread, the connection would be reset before the client reads the code.
        self.close_timer = self.loop.call_later(_FAREWELL_S, self.transport.abort)

    def _give_up(self) -> None:
        logger.warning("a WebSocket is closed: its client has read nothing for %.0f s", WRITE_S)
        self.transport.abort()

    def _stop_clock(self) -> None:
        if self._unread:
            self._unread.cancel()
            self._unread = None

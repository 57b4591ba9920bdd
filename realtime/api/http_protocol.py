"""Uvicorn's HTTP/1.1 protocol; it reports the state of each connection to the limits on connections."""

import asyncio

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from lipstream.realtime.api.connections import Connections, ConnectionState
from lipstream.realtime.api.websocket_protocol import WebSocketProtocol

LONGEST_HEAD_BYTES = 16 * 1024


class HttpConfig(uvicorn.Config):
    """A configuration of uvicorn with the limits on the server's connections."""

    connections: Connections


class HttpProtocol(H11Protocol):
    """The protocol of one connection, until it ends or becomes a WebSocket."""

    config: HttpConfig

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin with a new connection."""
        super().connection_made(transport)
        self._descriptor: int = transport.get_extra_info("socket").fileno()
        self._upgraded = False

    def data_received(self, data: bytes) -> None:
        """Handle received bytes and report the state."""
        super().data_received(data)
        self._note(len(data))

    def on_response_complete(self) -> None:
        """Report the state after a complete answer."""
        super().on_response_complete()
        self._note()

    def pause_writing(self) -> None:
        """Report that the client must receive bytes first."""
        super().pause_writing()
        self._note()

    def resume_writing(self) -> None:
        """Report that the client has received enough bytes."""
        super().resume_writing()
        self._note()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Pass the connection to the WebSocket protocol, which detects lost clients by pings."""
        self.config.connections.enter(self._descriptor, ConnectionState.WORKING, self.loop.time())
        self._upgraded = True
        super().handle_websocket_upgrade(event)
        protocol = self.transport.get_protocol()
        if isinstance(protocol, WebSocketProtocol) and not protocol.handshake_initiated:
            protocol.refuse_head()

    def _note(self, received: int = 0) -> None:
        if not self._upgraded:
            self.config.connections.enter(self._descriptor, self._state(), self.loop.time(), received)

    def _state(self) -> ConnectionState:
        answered = self.cycle is None or self.cycle.response_complete
        if self.conn.their_state is h11.SEND_BODY and not self.flow.read_paused:
            return ConnectionState.RECEIVING
        if self.flow.write_paused or (answered and self.transport.get_write_buffer_size()):
            return ConnectionState.SENDING
        return ConnectionState.WAITING if answered else ConnectionState.WORKING

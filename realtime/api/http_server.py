"""Runs the application in uvicorn with limits on connections, for the server, its benchmarks and its tests."""

import errno
import logging
import socket
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from lipstream.realtime.api.connections import CONNECTIONS, Connections
from lipstream.realtime.api.http_protocol import LONGEST_HEAD_BYTES, HttpConfig, HttpProtocol
from lipstream.realtime.api.listening import (
    ACCEPTED_AT_ONCE,
    NETWORK_SHARE,
    AcceptedSockets,
    connection_room,
    listen_on,
)
from lipstream.realtime.api.websocket_protocol import WebSocketProtocol
from lipstream.realtime.errors import SettingsError
from lipstream.realtime.settings import Settings

logger = logging.getLogger(__name__)

WEBSOCKET_FRAME_BYTES = 256 * 1024
"""Largest WebSocket message; a larger one ends its connection. Sound comes in small messages."""
_TICKS_A_SECOND = 10
"""Ticks of uvicorn's main loop per second."""
_TOLD_TICKS = 10 * _TICKS_A_SECOND


def server_config(app: ASGIApp, settings: Settings, **more: Any) -> HttpConfig:
    """Return the configuration of a server for the application.

    The function also raises the process's limit on open files, see :func:`connection_room`.

    Args:
        more: Options of :class:`uvicorn.Config` that replace the defaults here.
    """
    room = connection_room(settings.max_sessions, settings.max_viewers)
    options: dict[str, Any] = {
        "host": settings.host,
        "port": settings.port,
        "log_config": None,  # uvicorn's lines go to the server's log
        "log_level": "warning",
        "access_log": False,
        "server_header": False,
        "timeout_graceful_shutdown": 3,
        "ws": WebSocketProtocol,
        "ws_per_message_deflate": False,  # some bytes could become a queue of large messages
        "ws_max_size": WEBSOCKET_FRAME_BYTES,
        "ssl_certfile": settings.tls_cert,
        "ssl_keyfile": settings.tls_key,
        "http": HttpProtocol,
        "loop": "asyncio",  # other loops do not call accept of ListeningSocket
        "backlog": ACCEPTED_AT_ONCE,
        "h11_max_incomplete_event_size": LONGEST_HEAD_BYTES,
    }
    config = HttpConfig(app, **(options | more))
    config.connections = Connections(room, max(1, room // NETWORK_SHARE))
    return config


class HttpServer(uvicorn.Server):
    """Uvicorn with the connection limits of its configuration."""

    config: HttpConfig

    def __init__(self, config: HttpConfig) -> None:
        super().__init__(config)
        self._accepted = AcceptedSockets(config.connections)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen and begin to answer.

        Raises:
            SettingsError: If the address cannot be bound.
        """
        if sockets is None:
            try:
                sockets = [*listen_on(self.config.host, self.config.port, self._accepted)]
            except OSError as error:
                await self.lifespan.startup()
                await self.lifespan.shutdown()  # ends the tasks that the application has begun
                raise SettingsError(_why_deaf(error, self.config.host, self.config.port)) from error
        self.lifespan.state[CONNECTIONS] = self.config.connections  # each request gets it as part of its state
        await super().startup(sockets)

    async def on_tick(self, counter: int) -> bool:
        """Close overdue connections each second, and log the numbers of closed ones every 10 s."""
        if counter % _TICKS_A_SECOND == 0:
            self._accepted.close_overdue()
        if counter % _TOLD_TICKS == 0 and (closed := self.config.connections.take_closed()):
            logger.warning(
                "connections closed in 10 s: %d that kept the server waiting, %d to make room, %d refused; %d are open",
                closed.overdue, closed.displaced, closed.refused, len(self.config.connections),
            )  # fmt: skip
        return await super().on_tick(counter)


def _why_deaf(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} of {host} is in use: give this server another one with --port, 0 takes a free one"
    if error.errno == errno.EACCES:
        return f"port {port} of {host} may not be listened on by this user: --port 8080 may"
    return f"cannot listen on {host}, port {port}: {error.strerror or error}"

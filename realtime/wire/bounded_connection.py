"""WebSockets to other servers, bounded in what they cost the event loop, which also sends media.

A frame costs some microseconds, however short it is, and the library parses all frames of a read at once. Data is
therefore given to it in slices, so that a server that goes over a bound is left before the rest is looked at.
"""

import json
import logging
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.frames import CTRL_OPCODES, Frame

from lipstream.realtime.rate_limit import RateLimit

logger = logging.getLogger(__name__)

MOST_MESSAGE_BYTES = 1 << 20
"""Largest message: 16 s of sound at 24 kHz in base64."""
CONTROL_BURST, CONTROL_PER_S = 40, 10.0
"""Pings and pongs that a server may send."""
SMALL_BYTES, SMALL_BURST, SMALL_PER_S = 256, 1000, 200.0
"""Frames below this size count, the more the smaller they are: an event of an API has 100 bytes and more."""
FAREWELL_S = 1.0
"""Time for a server to close too: one that sends without end never comes to it."""
_SLICE_BYTES = 2048
_PLAIN_BYTES, _MOST_PARTS = 64 * 1024, 4096
"""A larger message is one long string, such as sound, and has no more parts than this."""


class BoundedConnection(ClientConnection):
    """A connection that is aborted when its server goes over a bound."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._control = RateLimit(CONTROL_BURST, CONTROL_PER_S)
        self._small = RateLimit(SMALL_BURST, SMALL_PER_S)
        self._is_over = False

    def data_received(self, data: bytes) -> None:
        """Parse data until the server goes over a bound."""
        for start in range(0, len(data), _SLICE_BYTES):
            if self._is_over:
                return
            super().data_received(data[start : start + _SLICE_BYTES])

    def process_event(self, event: Any) -> None:
        """Take a frame, or the answer to the handshake."""
        if isinstance(event, Frame) and not self._is_over:
            size, now_s = len(event.data), self.loop.time()
            if event.opcode in CTRL_OPCODES:
                wait_s = self._control.take("", now_s)
            else:
                wait_s = self._small.take("", now_s, cost=max(0.0, 1 - size / SMALL_BYTES))
            if wait_s:
                logger.warning("a WebSocket is left: its server sends too many frames")
                self._is_over = True
                self.transport.abort()
        if not self._is_over:
            super().process_event(event)

    def start_keepalive(self) -> None:
        """Send pings from now on, unless the connection has ended with its handshake: they would end 20 s later."""
        if not self._is_over:
            super().start_keepalive()


class BoundedConnect(connect):
    """Connects with the bounds of :class:`BoundedConnection`; no redirect is followed."""

    def __init__(self, uri: str, *, close_timeout: float = FAREWELL_S, **options: Any) -> None:
        super().__init__(
            uri,
            create_connection=BoundedConnection,
            max_size=MOST_MESSAGE_BYTES,
            close_timeout=close_timeout,
            **options,
        )

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Return the error: where a server redirects to is no address that the settings name."""
        return exc


def parse_message(message: str | bytes) -> Any:
    """Return a message's JSON.

    Raises:
        ValueError: If it is none, is nested too deeply, or has so many parts that it would hold the event loop.
    """
    if len(message) > _PLAIN_BYTES:
        text = message if isinstance(message, str) else message.decode("latin-1")
        if sum(text.count(mark) for mark in ",[{") > _MOST_PARTS:
            raise ValueError("a message has too many parts")
    try:
        return json.loads(message)
    except RecursionError as error:
        raise ValueError("a message is nested too deeply") from error

"""A peer's control channel: the data channel with the label ``control`` that the client opens."""

import asyncio
import json
import logging
from collections import deque
from collections.abc import Callable

from aiortc import RTCDataChannel

from lipstream.realtime.errors import LipstreamError
from lipstream.realtime.wire.control_messages import ControlMessage, parse_control
from lipstream.realtime.wire.events import ServerEvent, error_event

logger = logging.getLogger(__name__)

OnControl = Callable[[ControlMessage], None]

LABEL = "control"
MAX_BACKLOG_BYTES = 64 * 1024
"""Above this, messages are dropped: a client that does not read must not fill the server's memory."""
EARLY_EVENTS = 32
"""Events kept for a channel that is not open yet."""
EARLY_S = 10
"""How old such an event may be: longer than a channel takes to open, where packets are lost."""
FLUSH_S = 0.3


class ControlChannel:
    """Receives control messages; sends events.

    Args:
        on_control: Called with each message; ``None`` refuses every channel.
    """

    def __init__(self, on_control: OnControl | None) -> None:
        self._on_control = on_control
        self._channel: RTCDataChannel | None = None
        self._early: deque[tuple[float, ServerEvent]] = deque(maxlen=EARLY_EVENTS)  # with when they were told

    @property
    def backlog(self) -> int:
        """Bytes that the client has not received yet."""
        return int(self._channel.bufferedAmount) if self._channel else 0

    @property
    def _open(self) -> RTCDataChannel | None:
        channel = self._channel
        return channel if channel is not None and channel.readyState == "open" else None

    def take(self, channel: RTCDataChannel) -> None:
        """Accept a channel that the client opened; close it if its label is wrong or one is open already."""
        if self._on_control is None or channel.label != LABEL or self._channel is not None:
            channel.close()
            return
        self._channel = channel
        channel.on("message", self._came)
        since_s = asyncio.get_running_loop().time() - EARLY_S
        for told_s, event in self._early:
            if told_s >= since_s:
                self.send(event)
        self._early.clear()

    def send(self, event: ServerEvent) -> None:
        """Send a message once the channel is open, which it is some time after the media; drop it if it is closed.

        Dropped are, too, what a full backlog has no room for and all but the last messages before the channel opens.
        """
        if self._channel is None and self._on_control is not None:
            self._early.append((asyncio.get_running_loop().time(), event))
            return
        channel = self._open
        if channel is not None and channel.bufferedAmount <= MAX_BACKLOG_BYTES:
            channel.send(json.dumps(event))

    async def flush(self) -> None:
        """Wait until the last messages have left, at most ``FLUSH_S``."""
        loop = asyncio.get_running_loop()
        give_up_s = loop.time() + FLUSH_S
        while (channel := self._open) is not None and channel.bufferedAmount:
            if loop.time() > give_up_s:
                return
            await asyncio.sleep(0.01)

    def _came(self, message: object) -> None:
        assert self._on_control is not None
        try:
            self._on_control(parse_control(message))
        except LipstreamError as error:
            self.send(error_event(error.message))
        except Exception:
            logger.exception("control message failed")
            self.send(error_event("The server could not do this."))

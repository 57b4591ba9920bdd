"""One byte stream of an agent: read as it comes, since the room's client would keep it without bound."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any, Protocol

from lipstream.realtime.rooms.utterances import Utterance

logger = logging.getLogger(__name__)

IDLE_S = 10.0
"""A stream that is silent for so long is over: its end was lost."""
CATCH_UP_S = 0.05
"""The same for a stream after which another one has begun: time to read what has come of it."""
MOST_HELD_BYTES = 16 << 20
"""Sound of one agent that may wait to be said: more than five minutes at 24 kHz. What goes beyond it is not said."""


class StreamInfo(Protocol):
    """What a byte stream says of itself."""

    @property
    def attributes(self) -> Mapping[str, str] | None:
        """``sample_rate`` and ``num_channels`` of the sound, in words."""


class ByteStream(Protocol):
    """A byte stream of LiveKit's client, s16le; a broken one raises ConnectionError."""

    @property
    def info(self) -> StreamInfo:
        """What the sender says of it."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def __anext__(self) -> bytes: ...

    def close(self) -> Any:
        """Take no more of it."""


class HeldBytes:
    """The bytes of all streams of one agent that wait.

    Attributes:
        count: Their number.
    """

    def __init__(self) -> None:
        self.count = 0


class IncomingStream:
    """A stream with its utterance.

    Args:
        held: Counts what waits, of this stream and of the agent's others.

    Attributes:
        is_cut: Whether an interruption dropped it.
    """

    def __init__(self, stream: ByteStream, utterance: Utterance, held: HeldBytes) -> None:
        self.utterance, self.is_cut = utterance, False
        self.attributes: Mapping[str, str] = stream.info.attributes or {}
        self._stream, self._held = stream, held
        self._chunks: deque[bytes] = deque()
        self._is_superseded = self._is_over = False
        self._changed = asyncio.Event()
        self._reading = asyncio.create_task(self._read(), name="agent-stream")

    def supersede(self) -> None:
        """Wait for no more of it: another stream has begun."""
        self._is_superseded = True
        self._changed.set()

    def cut(self) -> None:
        """Drop it."""
        self.is_cut = True
        self.supersede()

    def close(self) -> None:
        """Take no more of it, and forget what waits. May be called again."""
        self._reading.cancel()
        self._stream.close()
        self._held.count -= sum(map(len, self._chunks))
        self._chunks.clear()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield what comes until the stream ends, breaks off, or nothing more is waited for."""
        while True:
            if self._chunks:  # what has come is said first
                chunk = self._chunks.popleft()
                self._held.count -= len(chunk)
                yield chunk
            elif self._is_over or self.is_cut:
                return
            else:
                self._changed.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(CATCH_UP_S if self._is_superseded else IDLE_S):
                        await self._changed.wait()
                if not self._changed.is_set():
                    return

    async def _read(self) -> None:
        try:
            async for chunk in self._stream:
                if self._held.count + len(chunk) > MOST_HELD_BYTES:
                    logger.warning("an agent sends more sound than may wait: the rest of its utterance is not said")
                    break
                self._held.count += len(chunk)
                self._chunks.append(chunk)
                self._changed.set()
        except ConnectionError:  # what has come counts
            pass
        finally:
            self._is_over = True
            self._changed.set()
            self._stream.close()

"""Base class of sinks: each has its own queue and thread, so it cannot delay the session or another sink."""

import asyncio
import logging
import threading
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable
from queue import SimpleQueue

from lipstream.realtime.encoding.broadcast import Broadcast
from lipstream.realtime.encoding.encoded_unit import RAW_PICTURES, RAW_SPEECH, EncodedUnit
from lipstream.realtime.encoding.pacing import Kind
from lipstream.realtime.encoding.thread_priority import step_back
from lipstream.realtime.log_format import in_session
from lipstream.realtime.sinks.muxer import Muxer
from lipstream.realtime.timeline import PACKET_SOUND, PTS_PER_FRAME
from lipstream.realtime.wire.events import ServerEvent

logger = logging.getLogger(__name__)

MOST_UNITS = 150
"""Limit of waiting units, pictures and speech packets together: two seconds. Further units are dropped."""
MOST_QUEUED = 2 * MOST_UNITS
"""Limit of waiting units and events together."""

OnEvent = Callable[[ServerEvent], None]
"""Called on the event loop with an event for the clients."""


class _End:
    """Marks the end of the queue."""


class Sink:
    """Receives a session's raw speech and pictures until it is closed or fails.

    Attributes:
        kinds: Raw codecs that the sink subscribes to; speech and pictures by default.
        most_units: Most waiting units, default :data:`MOST_UNITS`; further ones are dropped.
        lost: Number of units dropped because the queue was full, by kind.
    """

    leads = False
    bitrate = None
    kinds: tuple[str, ...] = (RAW_SPEECH, RAW_PICTURES)
    most_units = MOST_UNITS

    def __init__(self, broadcast: Broadcast, session_id: str) -> None:
        self.lost: Counter[Kind] = Counter()
        self.running = False
        self._broadcast, self._session_id = broadcast, session_id
        self._queue: SimpleQueue[EncodedUnit | ServerEvent | _End] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=type(self).__name__.lower(), daemon=True)
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()

    @property
    def queue_depth(self) -> tuple[int, int]:
        """Number of waiting units and events, and its limit."""
        return self._queue.qsize(), MOST_QUEUED

    def start(self) -> None:
        """Start the thread and subscribe."""
        self.running = True
        self._thread.start()
        for kind in self.kinds:
            self._broadcast.subscribe(kind, self)

    def wants_key(self, now_s: float) -> bool:  # noqa: ARG002 (given by the protocol)
        """Return False: raw units need no key frame."""
        return False

    def on_unit(self, unit: EncodedUnit) -> None:
        """Queue a unit; drop it if the queue is full."""
        if self._queue.qsize() < self.most_units:
            self._queue.put(unit)
        else:
            self.lost["picture" if unit.pixels else "speech"] += 1

    def fail(self, unit: Kind, error: Exception) -> None:  # noqa: ARG002 (given by the protocol)
        """End the sink: no more units follow."""
        self._leave()

    async def close(self) -> None:
        """Write the waiting units and end. Later calls only wait."""
        self._leave()
        await self._over.wait()

    @abstractmethod
    def _serve(self) -> None:
        """Write units until the end, in the sink's thread; an exception ends the sink."""

    @abstractmethod
    def _ended(self, error: Exception | None) -> None:
        """Take note, on the event loop, that the thread has ended."""

    def _next(self) -> EncodedUnit | ServerEvent | None:
        """Wait for the next item; return ``None`` at the end."""
        item = self._queue.get()
        return None if isinstance(item, _End) else item

    def _tell_thread(self, event: ServerEvent) -> None:
        """Queue an event between the units."""
        if self._queue.qsize() < MOST_QUEUED:
            self._queue.put(event)

    def _leave(self) -> None:
        self._broadcast.unsubscribe(self)
        self._queue.put(_End())

    def _run(self) -> None:
        step_back()
        failure: Exception | None = None
        with in_session(self._session_id):
            try:
                self._serve()
            except Exception as error:  # noqa: BLE001 (any failure must stay within this sink)
                failure = error
        self._loop.call_soon_threadsafe(self._finish, failure)

    def _finish(self, error: Exception | None) -> None:
        self.running = False
        self._broadcast.unsubscribe(self)
        self._thread.join()
        self._queue = SimpleQueue()  # drops units that arrived after the end
        with in_session(self._session_id):
            self._ended(error)
        self._over.set()


def write_unit(muxer: Muxer, unit: EncodedUnit) -> None:
    """Write a raw unit at its position in a container.

    Raises:
        OSError: If the output cannot be written.
    """
    assert unit.raw is not None
    if unit.pixels:
        muxer.write_picture(unit.timestamp // PTS_PER_FRAME, unit.raw)
    else:
        muxer.write_speech(unit.timestamp // PACKET_SOUND, unit.raw)


def begins_at(unit: EncodedUnit) -> tuple[int, tuple[int, int]] | None:
    """Return the first frame and the picture size of a container that starts after a unit; ``None`` for speech.

    A picture is painted after the speech of its frame has left, so a container starts with the next frame.
    """
    if not unit.pixels:
        return None
    assert unit.raw is not None
    rows, width = unit.raw.shape
    return unit.timestamp // PTS_PER_FRAME + 1, (width, rows * 2 // 3)

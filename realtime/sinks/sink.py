"""A sink's own queue and thread: nothing that it does or fails to do delays the session or another sink."""

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
"""That may wait, pictures and packets of speech together: two seconds. One more is lost, and filled in."""
MOST_QUEUED = 2 * MOST_UNITS
"""That may wait with the events between them."""

OnEvent = Callable[[ServerEvent], None]
"""Told on the event loop what happens to a sink, as clients are."""


class _End:
    """Comes after the last unit."""


class Sink:
    """Takes what leaves a session, unencoded, until it is closed or its own end comes.

    Args:
        broadcast: Of the session.
        session_id: For the log.

    Attributes:
        kinds: What it takes of the broadcast.
        most_units: That may wait.
        lost: Units that came while the queue was full, by kind.
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
        """How many units and events wait to be written, and how many may."""
        return self._queue.qsize(), MOST_QUEUED

    def start(self) -> None:
        """Begin to take."""
        self.running = True
        self._thread.start()
        for kind in self.kinds:
            self._broadcast.subscribe(kind, self)

    def wants_key(self, now_s: float) -> bool:  # noqa: ARG002 (of the protocol)
        """Never ask the shared encode for anything."""
        return False

    def on_unit(self, unit: EncodedUnit) -> None:
        """Queue a unit; lose it if too many wait."""
        if self._queue.qsize() < self.most_units:
            self._queue.put(unit)
        else:
            self.lost["picture" if unit.pixels else "speech"] += 1

    def fail(self, unit: Kind, error: Exception) -> None:  # noqa: ARG002 (of the protocol)
        """End, since no more will come."""
        self._leave()

    async def close(self) -> None:
        """Write what waits, and end. May be called again."""
        self._leave()
        await self._over.wait()

    @abstractmethod
    def _serve(self) -> None:
        """Write units until their end, in the sink's own thread; an error that leaves it ends the sink."""

    @abstractmethod
    def _ended(self, error: Exception | None) -> None:
        """Learn on the event loop that the thread has come to its end."""

    def _next(self) -> EncodedUnit | ServerEvent | None:
        """Wait for what comes next; ``None`` is the end."""
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
            except Exception as error:  # noqa: BLE001 (whatever it is, it is this sink's alone)
                failure = error
        self._loop.call_soon_threadsafe(self._finish, failure)

    def _finish(self, error: Exception | None) -> None:
        self.running = False
        self._broadcast.unsubscribe(self)
        self._thread.join()
        self._queue = SimpleQueue()  # nobody reads it any more
        with in_session(self._session_id):
            self._ended(error)
        self._over.set()


def write_unit(muxer: Muxer, unit: EncodedUnit) -> None:
    """Write a raw unit where it belongs.

    Raises:
        OSError: If it cannot be written.
    """
    assert unit.raw is not None
    if unit.pixels:
        muxer.write_picture(unit.timestamp // PTS_PER_FRAME, unit.raw)
    else:
        muxer.write_speech(unit.timestamp // PACKET_SOUND, unit.raw)


def begins_at(unit: EncodedUnit) -> tuple[int, tuple[int, int]] | None:
    """Return the first frame of a container that begins after a unit, and its size; ``None`` for speech.

    The speech of a picture's own frame has left before it was painted: a container begins with the next one.
    """
    if not unit.pixels:
        return None
    assert unit.raw is not None
    rows, width = unit.raw.shape
    return unit.timestamp // PTS_PER_FRAME + 1, (width, rows * 2 // 3)

"""Subscribers that observe a session's units beside its peers and request nothing."""

import time

from lipstream.realtime.encoding.encoded_unit import EncodedUnit
from lipstream.realtime.encoding.pacing import Kind
from lipstream.realtime.session.playout import PlayoutBuffer
from lipstream.realtime.session.session import Session


class Onlooker:
    """Subscribes to a session and ignores its units.

    Args:
        codec: MIME type of the pictures.
    """

    leads, bitrate = False, None

    def __init__(self, session: Session, codec: str) -> None:
        self._broadcast = session.broadcast
        self._broadcast.subscribe(codec, self)

    def wants_key(self, now_s: float) -> bool:  # noqa: ARG002 (signature of Subscriber)
        """Return False."""
        return False

    def on_unit(self, unit: EncodedUnit) -> None:
        """Ignore a unit."""

    def fail(self, unit: Kind, error: Exception) -> None:
        """Ignore the end: the session's peer reports it."""

    def close(self) -> None:
        """Unsubscribe."""
        self._broadcast.unsubscribe(self)


class Watch(Onlooker):
    """Counts one session's pictures from now on, and records their lateness.

    Attributes:
        late_ms: Time from each picture's due time until the peers' senders received it, ms.
    """

    def __init__(self, session: Session) -> None:
        self.late_ms: list[float] = []
        self._playout = session.playout
        self._before = _late_and_all(self._playout)
        super().__init__(session, session.broadcast.codecs[0])  # the codec that is sent anyway: no extra encode

    def on_unit(self, unit: EncodedUnit) -> None:
        """Record a picture; the peer's sender has received it before."""
        self.late_ms.append((time.monotonic() - unit.due_s) * 1000)

    def late_percent(self) -> float:
        """Return the share of pictures that repeated a mouth or were dropped, %."""
        late, pictures = (now - before for now, before in zip(_late_and_all(self._playout), self._before, strict=True))
        return 100 * late / max(1, pictures)


def _late_and_all(playout: PlayoutBuffer) -> tuple[int, int]:
    counts = playout.counts
    late = counts.repeated + counts.dropped
    return late, late + counts.rendered + counts.idle

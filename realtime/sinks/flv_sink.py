"""The one encode of a session for all RTMP and SRT servers."""

from collections.abc import Callable

from lipstream.realtime.encoding.broadcast import Broadcast
from lipstream.realtime.encoding.encoded_unit import EncodedUnit
from lipstream.realtime.sinks.flv import Tag, TagSplitter
from lipstream.realtime.sinks.muxer import Muxer
from lipstream.realtime.sinks.sink import Sink, begins_at, write_unit
from lipstream.realtime.wire.answers import EncodeStats


class FlvSink(Sink):
    """Encodes to FLV at a constant rate, with or without a connected server, so that a reconnect can join at any time.

    The encode of the calls is not used: its bitrate follows their links, its key frames follow their requests, and it
    lacks skipped pictures. A stream needs a constant bitrate, regular key frames, and every picture.

    Args:
        on_end: Called on the event loop when the encode ends, with the exception that ended it or ``None``.

    Attributes:
        headers: Header tags of a stream; empty at first, complete once there was a key frame.
    """

    def __init__(
        self,
        broadcast: Broadcast,
        session_id: str,
        facts: dict[str, str],
        *,
        on_tag: Callable[[Tag], None],
        on_end: Callable[[Exception | None], None],
    ) -> None:
        super().__init__(broadcast, session_id)
        self.headers: list[Tag] = []
        self._facts, self._on_tag, self._on_end = facts, on_tag, on_end
        self._muxer: Muxer | None = None

    def stats(self) -> EncodeStats:
        """Return the encoded duration, and the numbers of repeated pictures and silent packets."""
        muxer = self._muxer
        return EncodeStats(
            seconds=round(muxer.seconds, 2) if muxer else 0.0,
            repeated_pictures=muxer.repeated if muxer else 0,
            silent_packets=muxer.silent if muxer else 0,
        )

    def ask_key(self) -> None:
        """Make the next picture a key frame, for a server that joins."""
        if self._muxer:  # else the first picture is to come, which is one
            self._muxer.ask_key()

    def _serve(self) -> None:
        splitter = TagSplitter(self._pass_on)
        while (item := self._next()) is not None:
            if not isinstance(item, EncodedUnit):
                continue
            if self._muxer:
                write_unit(self._muxer, item)
            elif beginning := begins_at(item):
                first_frame, size = beginning
                self._muxer = Muxer(splitter, "flv", size=size, first_frame=first_frame, facts=self._facts)
        if self._muxer:
            self._muxer.close()

    def _pass_on(self, tag: Tag) -> None:
        self._loop.call_soon_threadsafe(self._hand_out, tag)

    def _hand_out(self, tag: Tag) -> None:
        if tag.is_header:
            self.headers.append(tag)
        else:
            self._on_tag(tag)

    def _ended(self, error: Exception | None) -> None:
        self._on_end(error)

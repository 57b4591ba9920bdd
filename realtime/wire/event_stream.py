"""Server-sent events, read by the rules of the HTML standard (section 9.2.6, "Interpreting an event stream").

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

_BOM = b"\xef\xbb\xbf"


class EventStream:
    """Extracts the data of events from a body that arrives in pieces, cut anywhere.

    Names, ids, retry times and comments are ignored. The last event counts without the empty line that should end it:
    many servers leave it out.

    Args:
        most: Most bytes of one event.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._line = bytearray()
        self._data: list[str] = []
        self._held = 0  # bytes of the event so far
        self._is_first = True
        self._after_return = False

    def push(self, piece: bytes) -> list[str]:
        """Return the data of the events that a piece completes; lines of one event are joined by line feeds.

        Raises:
            ValueError: If an event is longer than its limit.
        """
        if self._after_return and piece:
            piece = piece.removeprefix(b"\n")  # the rest of a CRLF that was cut
            self._after_return = False
        self._after_return = self._after_return or piece.endswith(b"\r")
        *lines, rest = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        found = []
        for line in lines:
            self._line += line
            if (data := self._end_line()) is not None:
                found.append(data)
        self._line += rest
        if self._held + len(self._line) > self._most:
            raise ValueError("an event is too long")
        return found

    def flush(self) -> list[str]:
        """Return the data of the event that the end of the body completes, if any."""
        found = [data for data in (self._end_line(), self._end_event()) if data is not None]
        self._after_return = False
        return found

    def _end_line(self) -> str | None:
        line, self._line = bytes(self._line), bytearray()
        if self._is_first:
            line, self._is_first = line.removeprefix(_BOM), False
        if not line:
            return self._end_event()
        name, _, value = line.partition(b":")
        if name == b"data":
            self._held += len(line)
            if self._held > self._most:
                raise ValueError("an event is too long")
            self._data.append(value.removeprefix(b" ").decode(errors="replace"))
        return None

    def _end_event(self) -> str | None:
        data, self._data, self._held = self._data, [], 0
        return "\n".join(data) if data else None

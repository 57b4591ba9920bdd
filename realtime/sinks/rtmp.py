"""The client side of RTMP for publishing one stream. Pure: bytes in, bytes out.

After Adobe's *Real Time Messaging Protocol* 1.0 and the behaviour of common servers: the plain handshake, AMF0, one
stream. FFmpeg's implementation holds Python's interpreter lock while it opens an address and checks no certificate.
"""

import os
import re
import struct
from dataclasses import dataclass
from typing import Literal

from lipstream.realtime.errors import LipstreamError
from lipstream.realtime.sinks import amf
from lipstream.realtime.sinks.flv import AUDIO, SCRIPT, Tag

PublisherState = Literal["handshake", "connecting", "creating", "publishing", "published"]

_VERSION = b"\x03"
_HELLO_BYTES = 1536
_CHUNK_BYTES = 65536
_FIRST_CHUNK_BYTES = 128  # until the server says otherwise
_MOST_BYTES = 1 << 20  # of a message from the server
_MOST_STREAMS = 64
_EXTENDED = 0xFFFFFF
_HEADER_BYTES = (11, 7, 3, 0)
_SET_CHUNK_SIZE, _ABORT, _ACKNOWLEDGEMENT, _USER_CONTROL, _WINDOW = 1, 2, 3, 4, 5
_COMMAND, _COMMAND_AMF3, _DATA = 20, 17, 18
_PING, _PONG = 6, 7
_CONTROL_CHUNKS, _COMMAND_CHUNKS, _MEDIA_CHUNKS, _SPEECH_CHUNKS = 2, 3, 6, 4
_CONNECT, _RELEASE, _ANNOUNCE, _CREATE, _PUBLISH = 1.0, 2.0, 3.0, 4.0, 5.0


class RtmpError(LipstreamError):
    """The server refused, or its answer cannot be understood."""

    code = "rtmp"


@dataclass
class _Incoming:
    """The unfinished message on one of the server's chunk streams."""

    size: int = 0
    kind: int = 0
    extended: bool = False
    body: bytearray | None = None


class RtmpPublisher:
    """One connection to a server, from the handshake on.

    ``key`` is the stream name with the address's query, a secret; ``url`` is the address without it.

    Attributes:
        state: ``handshake``, ``connecting``, ``creating``, ``publishing`` or ``published``.
    """

    def __init__(self, *, app: str, key: str, url: str) -> None:
        self.state: PublisherState = "handshake"
        self._app, self._key, self._url = app, key, url
        self._hello = bytes(8) + os.urandom(_HELLO_BYTES - 8)
        self._received = bytearray()
        self._chunk_bytes = _FIRST_CHUNK_BYTES
        self._incoming: dict[int, _Incoming] = {}
        self._stream_id = 0
        self._window = self._counted = self._told = 0

    def begin(self) -> bytes:
        """Return the first bytes to send."""
        return _VERSION + self._hello

    def receive(self, data: bytes) -> bytes:
        """Take in bytes from the server, in chunks of any length; return the bytes to send.

        Raises:
            RtmpError: If the server refuses or breaks the protocol.
        """
        self._received += data
        self._counted += len(data)
        answer = bytearray(self._finish_handshake() if self.state == "handshake" else b"")
        if self.state != "handshake":
            while (message := self._next_message()) is not None:
                answer += self._heard(*message)
        if self._window and self._counted - self._told >= self._window // 2:
            self._told = self._counted
            answer += _control(_ACKNOWLEDGEMENT, (self._counted & 0xFFFFFFFF).to_bytes(4, "big"))
        return bytes(answer)

    def message(self, tag: Tag) -> bytes:
        """Return the bytes of a tag. The state must be ``published``."""
        if tag.kind == SCRIPT:
            body = amf.encode("@setDataFrame") + tag.body
            return _message(_SPEECH_CHUNKS, _DATA, tag.time_ms, self._stream_id, body)
        chunks = _SPEECH_CHUNKS if tag.kind == AUDIO else _MEDIA_CHUNKS
        return _message(chunks, tag.kind, tag.time_ms, self._stream_id, tag.body)

    def farewell(self) -> bytes:
        """Return the commands that end the stream."""
        if self.state != "published":
            return b""
        unpublish = self._command("FCUnpublish", _PUBLISH + 1, None, self._key)
        return unpublish + self._command("deleteStream", _PUBLISH + 2, None, float(self._stream_id))

    def _finish_handshake(self) -> bytes:
        whole = 1 + 2 * _HELLO_BYTES
        if len(self._received) < whole:
            return b""
        if self._received[:1] != _VERSION:
            raise RtmpError("the server does not speak RTMP")
        echo = bytes(self._received[1 : 1 + _HELLO_BYTES])
        del self._received[:whole]
        self.state = "connecting"
        connect = {
            "app": self._app,
            "type": "nonprivate",
            "flashVer": "FMLE/3.0 (compatible; Lipstream)",
            "tcUrl": self._url,
        }
        size = _control(_SET_CHUNK_SIZE, _CHUNK_BYTES.to_bytes(4, "big"))
        return echo + size + self._command("connect", _CONNECT, connect)

    def _heard(self, kind: int, body: bytes) -> bytes:
        """Take in a message; return the answer."""
        match kind:
            case 1:  # the size of the server's chunks
                self._chunk_bytes = max(1, int.from_bytes(body[:4], "big") & 0x7FFFFFFF)
            case 2:  # the server aborts a message
                self._incoming.pop(int.from_bytes(body[:4], "big"), None)
            case 4 if body[:2] == _PING.to_bytes(2, "big"):
                return _control(_USER_CONTROL, _PONG.to_bytes(2, "big") + body[2:6])
            case 5:
                self._window = int.from_bytes(body[:4], "big")
            case 17:  # AMF3, with one byte before the values
                return self._commanded(body[1:])
            case 20:
                return self._commanded(body)
        return b""

    def _commanded(self, body: bytes) -> bytes:
        try:
            values = amf.decode(body)
        except ValueError as error:
            raise RtmpError("the server's answer cannot be read") from error
        name, transaction, rest = *[*values, None, None][:2], values[2:]  # some commands carry a name alone
        told = rest[-1] if rest and isinstance(rest[-1], dict) else {}
        # Servers differ in their answers to releaseStream and FCPublish: an error there has no consequence.
        if name == "_error" and transaction in (_RELEASE, _ANNOUNCE):
            return b""
        if name == "_error" or told.get("level") == "error":
            raise RtmpError(f"the server refuses{_reason(told)}")
        if name == "_result" and transaction == _CONNECT and self.state == "connecting":
            self.state = "creating"
            return (
                self._command("releaseStream", _RELEASE, None, self._key)
                + self._command("FCPublish", _ANNOUNCE, None, self._key)
                + self._command("createStream", _CREATE, None)
            )
        if name == "_result" and transaction == _CREATE and self.state == "creating":
            number = rest[-1] if rest else None
            if not isinstance(number, float) or not 0 <= number < 1 << 31:
                raise RtmpError("the server's answer cannot be read")
            self._stream_id, self.state = int(number), "publishing"
            return self._command("publish", _PUBLISH, None, self._key, "live", stream_id=self._stream_id)
        if name == "onStatus" and told.get("code") == "NetStream.Publish.Start":
            self.state = "published"
        elif name == "onStatus" and str(told.get("code", "")).startswith("NetStream.Unpublish"):
            raise RtmpError("the server ended the stream")
        return b""

    def _command(self, name: str, transaction: float, *values: amf.Value, stream_id: int = 0) -> bytes:
        return _message(_COMMAND_CHUNKS, _COMMAND, 0, stream_id, amf.encode(name, transaction, *values))

    def _next_message(self) -> tuple[int, bytes] | None:
        """Return the next complete message of the server; ``None`` if more bytes are needed."""
        while (chunk := self._read_chunk_header()) is not None:
            incoming, place = chunk
            assert incoming.body is not None
            piece = min(self._chunk_bytes, incoming.size - len(incoming.body))
            if len(self._received) < place + piece:
                return None
            incoming.body += self._received[place : place + piece]
            del self._received[: place + piece]
            if len(incoming.body) == incoming.size:
                body, incoming.body = bytes(incoming.body), None
                return incoming.kind, body
        return None

    def _read_chunk_header(self) -> tuple[_Incoming, int] | None:
        """Return the message of the next chunk and the offset of its payload; ``None`` if more bytes are needed.

        No received byte is consumed, so the header may be read again.
        """
        data = self._received
        if not data:
            return None
        number, place = data[0] & 0x3F, 1
        if number < 2:
            if len(data) < 2 + number:
                return None
            number, place = 64 + int.from_bytes(data[1 : 2 + number], "little"), 2 + number
        size = _HEADER_BYTES[data[0] >> 6]
        header, place = data[place : place + size], place + size
        known = self._incoming.get(number)
        extended = int.from_bytes(header[:3], "big") == _EXTENDED if size else known is not None and known.extended
        place += 4 * extended
        if len(data) < place:
            return None
        if known is None:
            if size < 11 or len(self._incoming) >= _MOST_STREAMS:
                raise RtmpError("chunks that cannot be read")
            known = self._incoming[number] = _Incoming()
        known.extended = extended
        if size >= 7 and known.body is None:
            known.size, known.kind = int.from_bytes(header[3:6], "big"), header[6]
        if known.size > _MOST_BYTES:
            raise RtmpError("the server sent a message that is too long")
        if known.body is None:
            known.body = bytearray()
        return known, place


def _control(kind: int, body: bytes) -> bytes:
    return _message(_CONTROL_CHUNKS, kind, 0, 0, body)


def _message(chunks: int, kind: int, time_ms: int, stream_id: int, body: bytes) -> bytes:
    """Return a message in chunks of our size. Times wrap after 49.7 days, as the protocol specifies."""
    time = time_ms & 0xFFFFFFFF
    extended = struct.pack(">I", time) if time >= _EXTENDED else b""
    head = bytes((chunks,)) + min(time, _EXTENDED).to_bytes(3, "big") + len(body).to_bytes(3, "big")
    head += bytes((kind,)) + stream_id.to_bytes(4, "little")
    more = bytes((0xC0 | chunks,)) + extended
    pieces = [body[start : start + _CHUNK_BYTES] for start in range(0, len(body), _CHUNK_BYTES)] or [b""]
    return head + extended + more.join(pieces)


def _reason(told: dict[str, object]) -> str:
    """Return the server's status code; its description might repeat the stream's key."""
    code = str(told.get("code", ""))
    return f": {code}" if re.fullmatch(r"[A-Za-z.]{1,80}", code) else ""

"""FLV tags: written once, sent to many. Pure functions and types.

After Adobe's *Video File Format Specification* 10.1, annex E. RTMP carries the body of a tag as a message.
"""

from collections.abc import Callable
from dataclasses import dataclass

AUDIO, VIDEO, SCRIPT = 8, 9, 18
FILE_HEADER = b"FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00"
"""Announces sound and picture; the last four bytes are the size of the tag before the first one, 0."""
_TAG_HEADER, _SIZE_AFTER = 11, 4
_H264, _KEY_FRAME, _PICTURE, _AAC = 7, 1, 1, 10


@dataclass(frozen=True, slots=True)
class Tag:
    """A packet of speech, a picture, or a header for a decoder.

    Attributes:
        kind: ``AUDIO``, ``VIDEO`` or ``SCRIPT``.
        time_ms: Decoding time, ms.
    """

    kind: int
    time_ms: int
    body: bytes

    @property
    def is_header(self) -> bool:
        """Whether the tag precedes all others: metadata or the configuration of a decoder."""
        codec = self.body[0] & 0x0F if self.kind == VIDEO else self.body[0] >> 4
        return self.kind == SCRIPT or (codec == (_H264 if self.kind == VIDEO else _AAC) and self.body[1] == 0)

    @property
    def is_key(self) -> bool:
        """Whether the tag is a picture that can be decoded without earlier ones."""
        return self.kind == VIDEO and self.body[0] >> 4 == _KEY_FRAME and self.body[1] == _PICTURE

    def at(self, time_ms: int) -> "Tag":
        """Return a copy of the tag with another time."""
        return Tag(self.kind, time_ms, self.body)

    def to_bytes(self) -> bytes:
        """Return the tag as in an FLV file, followed by its size."""
        time = (self.time_ms & 0xFFFFFF).to_bytes(3, "big") + (self.time_ms >> 24 & 0xFF).to_bytes(1, "big")
        head = bytes((self.kind,)) + len(self.body).to_bytes(3, "big") + time + bytes(3)
        return head + self.body + (_TAG_HEADER + len(self.body)).to_bytes(_SIZE_AFTER, "big")


class TagSplitter:
    """Splits the bytes of an FLV file, in chunks of any length, into tags."""

    def __init__(self, on_tag: Callable[[Tag], None]) -> None:
        self._on_tag = on_tag
        self._waiting = bytearray()
        self._head = len(FILE_HEADER)

    def write(self, data: bytes) -> int:
        """Take in bytes; return their number."""
        self._waiting += data
        if self._head:
            if len(self._waiting) < self._head:
                return len(data)
            del self._waiting[: self._head]
            self._head = 0
        while len(self._waiting) >= _TAG_HEADER:
            size = int.from_bytes(self._waiting[1:4], "big")
            end = _TAG_HEADER + size
            if len(self._waiting) < end + _SIZE_AFTER:
                break
            time_ms = int.from_bytes(self._waiting[4:7], "big") | self._waiting[7] << 24
            tag = Tag(self._waiting[0], time_ms, bytes(self._waiting[_TAG_HEADER:end]))
            del self._waiting[: end + _SIZE_AFTER]
            self._on_tag(tag)
        return len(data)

"""FLV, tag by tag: what is written once can be sent to many. Pure.

After Adobe's *Video File Format Specification* 10.1, annex E. A tag's body is also what RTMP carries as a message.
"""

from collections.abc import Callable
from dataclasses import dataclass

AUDIO, VIDEO, SCRIPT = 8, 9, 18
FILE_HEADER = b"FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00"
"""With sound and picture; after it comes the size of the tag before the first, 0."""
_TAG_HEADER, _SIZE_AFTER = 11, 4
_H264, _KEY_FRAME, _PICTURE, _AAC = 7, 1, 1, 10


@dataclass(frozen=True, slots=True)
class Tag:
    """A piece of speech, a picture, or what a decoder must know before either.

    Attributes:
        kind: ``AUDIO``, ``VIDEO`` or ``SCRIPT``.
        time_ms: Decoding time.
        body: As FLV and RTMP have it.
    """

    kind: int
    time_ms: int
    body: bytes

    @property
    def is_header(self) -> bool:
        """Whether it comes before all others: metadata, or the set-up of a decoder."""
        codec = self.body[0] & 0x0F if self.kind == VIDEO else self.body[0] >> 4
        return self.kind == SCRIPT or (codec == (_H264 if self.kind == VIDEO else _AAC) and self.body[1] == 0)

    @property
    def is_key(self) -> bool:
        """Whether it is a picture that can be decoded alone."""
        return self.kind == VIDEO and self.body[0] >> 4 == _KEY_FRAME and self.body[1] == _PICTURE

    def at(self, time_ms: int) -> "Tag":
        """Return the same at another time."""
        return Tag(self.kind, time_ms, self.body)

    def to_bytes(self) -> bytes:
        """Return it as it stands in a file, with its size after it."""
        time = (self.time_ms & 0xFFFFFF).to_bytes(3, "big") + (self.time_ms >> 24 & 0xFF).to_bytes(1, "big")
        head = bytes((self.kind,)) + len(self.body).to_bytes(3, "big") + time + bytes(3)
        return head + self.body + (_TAG_HEADER + len(self.body)).to_bytes(_SIZE_AFTER, "big")


class TagSplitter:
    """Takes the bytes of an FLV file front to back, in any pieces, and hands out its tags.

    Args:
        on_tag: Told of each tag once it is whole.
    """

    def __init__(self, on_tag: Callable[[Tag], None]) -> None:
        self._on_tag = on_tag
        self._waiting = bytearray()
        self._head = len(FILE_HEADER)

    def write(self, data: bytes) -> int:
        """Take in bytes; return how many."""
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

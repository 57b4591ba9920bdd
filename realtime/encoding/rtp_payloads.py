"""Cuts an encoded picture into RTP payloads: VP8 by RFC 7741, H.264 by RFC 6184 (packetization mode 1).

aiortc can do it too, but its modules would bring ICE, DTLS and DNS into the process that workers are forked from, and
make each start a tenth of a second longer.
"""

import math
import struct
from collections.abc import Iterator

MAX_PAYLOAD = 1300
"""Bytes of a payload at most: with all headers it stays below the 1,500 bytes of an Ethernet frame, in tunnels too."""
PICTURE_IDS = 1 << 15
"""Number of picture ids of VP8; after the last one they begin again at 0."""

_EXTENDED, _STARTS, _HAS_PICTURE_ID, _LONG_ID = 0x80, 0x10, 0x80, 0x8000
_VP8_DESCRIPTOR = struct.Struct("!BBH")

_START_CODE = b"\x00\x00\x01"
_STAP_A, _FU_A = 24, 28
_TYPE, _IMPORTANCE, _FORBIDDEN = 0x1F, 0x60, 0x80
_FIRST, _LAST = 0x80, 0x40
_LENGTH = struct.Struct("!H")
_MOST_TOGETHER = 9


def vp8_payloads(picture: bytes, picture_id: int) -> list[bytes]:
    """Return the payloads of a VP8 picture.

    Args:
        picture_id: Number of the picture, below :data:`PICTURE_IDS`.
    """
    room = MAX_PAYLOAD - _VP8_DESCRIPTOR.size
    return [
        _VP8_DESCRIPTOR.pack(_EXTENDED | (0 if at else _STARTS), _HAS_PICTURE_ID, _LONG_ID | picture_id)
        + picture[at : at + room]
        for at in range(0, len(picture), room)
    ]


def h264_payloads(picture: bytes) -> list[bytes]:
    """Return the payloads of an H.264 picture in Annex B's format: small units share one, large ones are cut."""
    payloads: list[bytes] = []
    together: list[bytes] = []
    for unit in _units(picture):
        if together and (len(together) == _MOST_TOGETHER or _aggregate_size([*together, unit]) > MAX_PAYLOAD):
            payloads.append(_aggregate(together))
            together = []
        if len(unit) > MAX_PAYLOAD:
            payloads += _fragments(unit)
        else:
            together.append(unit)
    return [*payloads, _aggregate(together)] if together else payloads


def _units(picture: bytes) -> Iterator[bytes]:
    """Yield the NAL units between the start codes, which have three or four bytes."""
    start = picture.find(_START_CODE)
    while start >= 0:
        start += len(_START_CODE)
        end = picture.find(_START_CODE, start)
        if end < 0:
            yield picture[start:]
        else:
            yield picture[start : end - 1 if picture[end - 1] == 0 else end]
        start = end


def _aggregate_size(units: list[bytes]) -> int:
    return 1 + sum(_LENGTH.size + len(unit) for unit in units)


def _aggregate(units: list[bytes]) -> bytes:
    """Return one payload for some units: a single one as it is, several with the length before each."""
    if len(units) == 1:
        return units[0]
    flags = max(unit[0] & _IMPORTANCE for unit in units) | max(unit[0] & _FORBIDDEN for unit in units)
    return bytes([_STAP_A | flags]) + b"".join(_LENGTH.pack(len(unit)) + unit for unit in units)


def _fragments(unit: bytes) -> Iterator[bytes]:
    """Yield the payloads of a unit that is larger than one, of about the same size each."""
    size = math.ceil((len(unit) - 1) / math.ceil((len(unit) - 1) / (MAX_PAYLOAD - 2)))
    indicator, kind = unit[0] & (_FORBIDDEN | _IMPORTANCE) | _FU_A, unit[0] & _TYPE
    for at in range(1, len(unit), size):
        ends = (_FIRST if at == 1 else 0) | (_LAST if at + size >= len(unit) else 0)
        yield bytes([indicator, kind | ends]) + unit[at : at + size]

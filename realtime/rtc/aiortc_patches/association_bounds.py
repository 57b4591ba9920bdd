"""Bounds on the cost of one peer's data channels, as well-formed chunks can use up memory and processor time too.

aiortc applies no receive window. On every chunk it sorts all gaps and walks all unfinished messages; it creates a
stream for every number named and expands each range of a selective acknowledgement (SACK). It keeps all of that while
the association lasts. RFC 9260 lets a receiver discard chunks for which it has no room: the sender repeats them.
Chunks above the rate are therefore discarded, and the association of a peer that continues is ended.
"""

import struct
from collections.abc import Iterator
from typing import Any

CHUNKS_PER_S = 200
BURST_CHUNKS = 200
"""Chunks accepted at once after a pause. A browser sends about ten when it connects."""
DISCARDED_CHUNKS = 500
"""Chunks above the rate, without a pause between, after which the association ends."""
MAX_HELD_BYTES = 64 * 1024
"""Limit of unfinished messages; a control message is at most 4 KiB."""
MAX_HELD_CHUNKS = 256
MAX_GAPS = 256
"""Limit of chunks received ahead of a missing one."""
MAX_STREAMS = 8
"""The page uses one stream."""
MAX_ACKNOWLEDGED = 1024
"""Limit of chunks that one SACK may name in its ranges; the server never has that many under way."""
_ACKNOWLEDGED_PER_CHUNK = 32
"""Chunks named in a SACK that count as one chunk against the rate."""

_COMMON_HEADER_BYTES = 12
_HEADER = struct.Struct("!BBH")
_SACK = 3
_SACK_COUNT = struct.Struct("!H")
_SACK_COUNT_AT, _SACK_RANGES_AT = 12, 16
_SACK_RANGE = struct.Struct("!HH")


class AssociationFloodError(Exception):
    """The peer holds or sends more than it may; the message names the limit."""


class AssociationBounds:
    """Counts the chunks of one SCTP association and the memory that they hold.

    Args:
        now_s: Monotonic time, s.
    """

    def __init__(self, association: Any, now_s: float) -> None:
        self._association = association
        self._left, self._at_s = float(BURST_CHUNKS), now_s
        association._advertised_rwnd = MAX_HELD_BYTES  # a peer that follows the protocol sends no more at once

    def admits(self, packet: bytes, now_s: float) -> bool:
        """Count a packet; return whether to handle it (True) or discard it.

        Raises:
            AssociationFloodError: If too many packets have been discarded.
        """
        self._left = min(float(BURST_CHUNKS), self._left + (now_s - self._at_s) * CHUNKS_PER_S)
        self._at_s = now_s
        chunks = list(_chunks(packet))
        acknowledged = sum(_acknowledged(body) for kind, body in chunks if kind == _SACK)
        self._left -= max(1, len(chunks)) + acknowledged / _ACKNOWLEDGED_PER_CHUNK
        if self._left < -DISCARDED_CHUNKS:
            raise AssociationFloodError(f"more than {CHUNKS_PER_S} chunks a second")
        return self._left >= 0 and acknowledged <= MAX_ACKNOWLEDGED

    def check(self) -> None:
        """Check the memory that the association holds after a handled packet.

        Raises:
            AssociationFloodError: If a limit is exceeded.
        """
        streams = self._association._inbound_streams
        held = [chunk for stream in streams.values() for chunk in stream.reassembly]
        for what, count, limit in (
            ("streams", max(len(streams), len(self._association._data_channels)), MAX_STREAMS),
            ("gaps", len(self._association._sack_misordered), MAX_GAPS),
            ("unfinished chunks", len(held), MAX_HELD_CHUNKS),
            ("unfinished bytes", sum(len(chunk.user_data) for chunk in held), MAX_HELD_BYTES),
        ):
            if count > limit:
                raise AssociationFloodError(f"more than {limit} {what}")


def _chunks(packet: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the type and bytes of each readable chunk of a packet (RFC 9260, section 3.2)."""
    at = _COMMON_HEADER_BYTES
    while at + _HEADER.size <= len(packet):
        kind, _, length = _HEADER.unpack_from(packet, at)
        yield kind, packet[at : at + length] if kind == _SACK else b""
        at += max(_HEADER.size, length + -length % 4)


def _acknowledged(sack: bytes) -> int:
    """Return the number of chunks in the ranges of a SACK (RFC 9260, section 3.3.4)."""
    if len(sack) < _SACK_RANGES_AT:
        return 0
    (count,) = _SACK_COUNT.unpack_from(sack, _SACK_COUNT_AT)
    ranges = sack[_SACK_RANGES_AT : _SACK_RANGES_AT + _SACK_RANGE.size * count]
    ranges = ranges[: len(ranges) - len(ranges) % _SACK_RANGE.size]
    return sum(max(0, end - first + 1) for first, end in _SACK_RANGE.iter_unpack(ranges))

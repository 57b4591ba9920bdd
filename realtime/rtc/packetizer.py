"""Writes the RTP packets of one stream (RFC 3550) with little work per packet.

aiortc builds an object for each packet and serialises its header and extensions field by field. That takes most of
the time of a server that sends to many receivers, although only a few bytes differ between packets of a stream.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

MID = "urn:ietf:params:rtp-hdrext:sdes:mid"
SEND_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
LEVEL = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"

HISTORY_PACKETS = 128
"""Packets kept for retransmission: two seconds of pictures."""
MAX_AGE_TICKS = 90_000
"""One second of pictures, 90 kHz. Repairing an older packet would only delay newer pictures."""
_FIRST_BYTE = 0x90
"""Version 2, with a header extension."""
_MARKER = 0x80
_ONE_BYTE, _TWO_BYTE = 0xBEDE, 0x1000
_LAST_ONE_BYTE_ID, _LONGEST_ONE_BYTE = 14, 16
_SEQUENCE_MODULUS, _CLOCK_MODULUS = 1 << 16, 1 << 32
_HEADER = struct.Struct("!BBHLL")


class _Sent(NamedTuple):
    sequence: int
    timestamp: int
    marker: bool
    payload: bytes
    level: int


class Packetizer:
    """The header, sequence numbers and retransmission history of one stream.

    Args:
        payload_type: Payload type of the codec, 0..127.
        ssrc: SSRC of the stream, 32 bits.
        sequence: Sequence number of the first packet, 0..65535.
        origin: RTP timestamp that corresponds to 0.
        extensions: Negotiated ids of the header extensions, 1..14, by URI; all but the three of this module are
            ignored.
        rtx: Payload type, SSRC and first sequence number of retransmissions (RFC 4588); ``None`` if not negotiated.

    Attributes:
        packets: Number of packets written, without retransmissions.
        octets: Bytes of their payloads.
        timestamp: Timestamp of the last packet, 0..2**32 - 1, ticks of the RTP clock.
        sequence: Sequence number of the next packet, 0..65535.
    """

    def __init__(
        self,
        *,
        payload_type: int,
        ssrc: int,
        sequence: int,
        origin: int,
        extensions: Mapping[str, int],
        mid: str,
        rtx: tuple[int, int, int] | None = None,
    ) -> None:
        self.packets = self.octets = self.timestamp = 0
        self._payload_type, self._ssrc = payload_type, ssrc
        self.sequence, self._origin = sequence, origin
        self._rtx = rtx
        self._history: list[_Sent | None] = [None] * HISTORY_PACKETS
        self._key_sequence: int | None = None
        known = {uri: extensions[uri] for uri in (MID, SEND_TIME, LEVEL) if uri in extensions}
        two_byte = any(number > _LAST_ONE_BYTE_ID for number in known.values()) or len(mid) > _LONGEST_ONE_BYTE
        self._extension = _ExtensionTemplate(known, mid.encode(), two_byte=two_byte)

    def write(
        self, payloads: Sequence[bytes], timestamp: int, *, send_time: int, level_dbov: int | None, key: bool = False
    ) -> list[bytes]:
        """Return the packets of one encoded unit.

        Args:
            timestamp: Time of the unit in clock ticks, from 0.
            send_time: Absolute send time, 24 bits, 6.18 fixed-point seconds.
            level_dbov: Loudness of speech, -127..0 dBov; ``None`` for pictures.
            key: Whether a receiver of this unit needs no earlier packet; default false.
        """
        if key:
            self._key_sequence = self.sequence
        at = self.timestamp = (timestamp + self._origin) % _CLOCK_MODULUS
        level = 127 if level_dbov is None else -level_dbov
        extension = self._extension.fill(send_time, level)
        packets = []
        last = len(payloads) - 1
        for place, payload in enumerate(payloads):
            sequence = self.sequence
            header = self._packet(self._payload_type, sequence, at, self._ssrc, place == last)
            packets.append(b"".join((header, extension, payload)))
            self._history[sequence % HISTORY_PACKETS] = _Sent(sequence, at, place == last, payload, level)
            self.sequence = (sequence + 1) % _SEQUENCE_MODULUS
            self.octets += len(payload)
        self.packets += len(payloads)
        return packets

    def worth_repair(self, lost: Iterable[int]) -> list[int] | None:
        """Return those of the lost packets that the receiver still needs.

        Args:
            lost: Sequence numbers of the lost packets, 0..65535.

        Returns:
            Sequence numbers; ``None`` if a needed packet is too old or no longer kept, so that only a key frame helps.
        """
        needed = [sequence for sequence in lost if not self._is_superseded(sequence)]
        for sequence in needed:
            sent = self._history[sequence % HISTORY_PACKETS]
            if sent is None or sent.sequence != sequence:
                return None
            if (self.timestamp - sent.timestamp) % _CLOCK_MODULUS > MAX_AGE_TICKS:
                return None
        return needed

    def _is_superseded(self, sequence: int) -> bool:
        """Return whether a packet was sent before the last key frame."""
        if self._key_sequence is None:
            return False
        return (self._key_sequence - sequence - 1) % _SEQUENCE_MODULUS < _SEQUENCE_MODULUS // 2

    def sent_size(self, sequence: int) -> int | None:
        """Return the size of a packet's payload; ``None`` if it is no longer kept."""
        sent = self._history[sequence % HISTORY_PACKETS]
        return len(sent.payload) if sent is not None and sent.sequence == sequence else None

    @property
    def has_rtx(self) -> bool:
        """Whether retransmissions have a stream of their own. Without it a copy may not follow a packet that came."""
        return self._rtx is not None

    def again(self, sequence: int, send_time: int) -> bytes | None:
        """Return a packet for retransmission; ``None`` if it is no longer kept.

        Args:
            sequence: Its sequence number, 0..65535.
            send_time: Absolute time of the retransmission, 24 bits, 6.18 fixed-point seconds.
        """
        sent = self._history[sequence % HISTORY_PACKETS]
        if sent is None or sent.sequence != sequence:
            return None
        extension = self._extension.fill(send_time, sent.level)
        if self._rtx is None:
            header = self._packet(self._payload_type, sequence, sent.timestamp, self._ssrc, sent.marker)
            return header + extension + sent.payload
        payload_type, ssrc, number = self._rtx
        self._rtx = payload_type, ssrc, (number + 1) % _SEQUENCE_MODULUS
        header = self._packet(payload_type, number, sent.timestamp, ssrc, sent.marker)
        return header + extension + sequence.to_bytes(2, "big") + sent.payload

    @staticmethod
    def _packet(payload_type: int, sequence: int, timestamp: int, ssrc: int, marker: bool) -> bytes:  # noqa: FBT001
        return _HEADER.pack(_FIRST_BYTE, payload_type | (_MARKER if marker else 0), sequence, timestamp, ssrc)


class _ExtensionTemplate:
    """A serialised header extension (RFC 8285), with the offsets of the fields that change."""

    def __init__(self, ids: Mapping[str, int], mid: bytes, *, two_byte: bool) -> None:
        body = bytearray()
        places = {}
        for uri, value in ((MID, mid), (SEND_TIME, bytes(3)), (LEVEL, bytes(1))):
            if uri in ids and value:
                head = (ids[uri], len(value)) if two_byte else (ids[uri] << 4 | len(value) - 1,)
                places[uri] = len(body) + len(head) + 4
                body += bytes(head) + value
        body += bytes(-len(body) % 4)
        self._bytes = struct.pack("!HH", _TWO_BYTE if two_byte else _ONE_BYTE, len(body) // 4) + bytes(body)
        self._time_at, self._level_at = places.get(SEND_TIME), places.get(LEVEL)

    def fill(self, send_time: int, level: int) -> bytes:
        if self._time_at is None and self._level_at is None:
            return self._bytes
        filled = bytearray(self._bytes)
        if self._time_at is not None:
            filled[self._time_at : self._time_at + 3] = send_time.to_bytes(3, "big")
        if self._level_at is not None:
            filled[self._level_at] = level
        return bytes(filled)

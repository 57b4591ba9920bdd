"""Every packet that is written reads as aiortc reads it."""

import struct

from aiortc.rtcrtpparameters import RTCRtpHeaderExtensionParameters, RTCRtpSendParameters
from aiortc.rtp import HeaderExtensionsMap, RtpPacket
from hypothesis import given
from hypothesis import strategies as st

from lipstream.realtime.rtc.packetizer import HISTORY_PACKETS, LEVEL, MID, SEND_TIME, Packetizer

NUMBERS = st.integers(1, 255).filter(lambda number: number != 15)
WORDS = st.integers(0, (1 << 32) - 1)


def reader(ids: dict[str, int]) -> HeaderExtensionsMap:
    known = HeaderExtensionsMap()
    extensions = [RTCRtpHeaderExtensionParameters(id=number, uri=uri) for uri, number in ids.items()]
    known.configure(RTCRtpSendParameters(headerExtensions=extensions))
    return known


@given(
    ids=st.dictionaries(st.sampled_from([MID, SEND_TIME, LEVEL]), NUMBERS).filter(
        lambda ids: len(set(ids.values())) == len(ids)
    ),
    mid=st.text(alphabet="abc019", min_size=1, max_size=20),
    payloads=st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=5),
    timestamp=WORDS,
    origin=WORDS,
    sequence=st.integers(0, 65535),
    send_time=st.integers(0, (1 << 24) - 1),
    later=st.integers(0, (1 << 24) - 1),
    level=st.integers(-127, 0),
)
def test_packets_read_back(
    ids: dict[str, int], mid: str, payloads: list[bytes], timestamp: int, origin: int, sequence: int,
    send_time: int, later: int, level: int,
) -> None:  # fmt: skip
    stream = Packetizer(
        payload_type=101, ssrc=77, sequence=sequence, origin=origin, extensions=ids, mid=mid, rtx=(102, 88, 65535)
    )
    written = stream.write(payloads, timestamp, send_time=send_time, level_dbov=level)
    read = [RtpPacket.parse(packet, reader(ids)) for packet in written]
    assert [packet.payload for packet in read] == payloads
    assert [packet.sequence_number for packet in read] == [(sequence + n) % 65536 for n in range(len(payloads))]
    assert [packet.marker for packet in read] == [0] * (len(payloads) - 1) + [1]
    for packet in read:
        assert (packet.payload_type, packet.ssrc) == (101, 77)
        assert packet.timestamp == stream.timestamp == (timestamp + origin) % (1 << 32)
        assert packet.extensions.mid == (mid if MID in ids else None)
        assert packet.extensions.abs_send_time == (send_time if SEND_TIME in ids else None)
        assert packet.extensions.audio_level == ((False, -level) if LEVEL in ids else None)
    assert (stream.packets, stream.octets) == (len(payloads), sum(map(len, payloads)))
    again = RtpPacket.parse(stream.again(read[0].sequence_number, later) or b"", reader(ids))
    assert (again.payload_type, again.ssrc, again.sequence_number) == (102, 88, 65535)
    assert again.payload == struct.pack("!H", read[0].sequence_number) + payloads[0]
    assert again.extensions.abs_send_time == (later if SEND_TIME in ids else None)
    assert (again.extensions.mid, again.extensions.audio_level) == (
        read[0].extensions.mid, read[0].extensions.audio_level,
    )  # fmt: skip


def test_what_is_too_old_or_was_never_sent_is_not_sent_again() -> None:
    stream = Packetizer(payload_type=100, ssrc=1, sequence=65530, origin=0, extensions={}, mid="0")
    first = stream.write([b"a"], 0, send_time=0, level_dbov=None)[0]
    assert stream.again(65530, 0) == first, "without RTX as it was"
    assert stream.sent_size(65530) == 1
    assert stream.again(65531, 0) is None
    for n in range(HISTORY_PACKETS):
        stream.write([b"b"], n, send_time=0, level_dbov=None)
    assert stream.again(65530, 0) is None
    assert stream.sent_size(65530) is None


def a_stream() -> Packetizer:
    return Packetizer(payload_type=100, ssrc=1, sequence=65534, origin=1 << 31, extensions={}, mid="0")


def write(stream: Packetizer, frame: int, *, packets: int = 2, key: bool = False) -> None:
    stream.write([b"x"] * packets, 3600 * frame, send_time=0, level_dbov=None, key=key)


def test_what_is_new_is_worth_repair() -> None:
    stream = a_stream()
    for frame in range(10):
        write(stream, frame, key=frame == 0)
    assert stream.worth_repair([65534, 0, 3]) == [65534, 0, 3]
    assert stream.worth_repair([]) == []


def test_after_an_outage_only_a_key_frame_helps() -> None:
    stream = a_stream()
    for frame in range(30):
        write(stream, frame, key=frame == 0)
    assert stream.worth_repair([(65534 + 2 * frame) % 65536 for frame in range(1, 30)]) is None, "too old"
    assert stream.worth_repair([30]) == [30]
    for frame in range(30, 50):
        write(stream, frame, packets=HISTORY_PACKETS // 10)
    assert stream.worth_repair([30]) is None, "no longer kept"
    assert stream.worth_repair([1000]) is None, "never sent"


def test_what_a_key_frame_replaces_is_not_asked_for_twice() -> None:
    stream = a_stream()
    for frame in range(30):
        write(stream, frame, key=frame in (0, 29))
    first_of_key = (65534 + 2 * 29) % 65536
    assert stream.worth_repair([65533, 65534, first_of_key - 1]) == []
    assert stream.worth_repair([65534, first_of_key]) == [first_of_key]

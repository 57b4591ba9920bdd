"""Payloads are those of the standards, as aiortc's depacketizers read them, and no larger than a datagram may be."""

import random
from itertools import pairwise

import pytest
from aiortc.codecs.h264 import H264PayloadDescriptor, h264_depayload
from aiortc.codecs.vpx import VpxPayloadDescriptor, vp8_depayload

from lipstream.realtime.encoding.rtp_payloads import MAX_PAYLOAD, PICTURE_IDS, h264_payloads, vp8_payloads

RANDOM = random.Random(27)
SIZES = [1, 2, 700, 1295, 1296, 1297, 1298, 1299, 1300, 1301, 2596, 2597, 2598, 9000, 65_000]


def unit_of(size: int, kind: int, importance: int = 3) -> bytes:
    """Return a NAL unit of some bytes, none of which looks like a start code."""
    return bytes([importance << 5 | kind]) + bytes(RANDOM.choices(range(1, 256), k=size - 1))


def picture_of(units: list[bytes], *, long: bool = True) -> bytes:
    start = b"\0\0\0\1" if long else b"\0\0\1"
    return b"".join(start + unit for unit in units)


@pytest.mark.parametrize("size", SIZES)
def test_a_vp8_picture_comes_whole_out_of_its_payloads(size: int) -> None:
    picture = RANDOM.randbytes(size)
    payloads = vp8_payloads(picture, 17)
    assert b"".join(vp8_depayload(payload) for payload in payloads) == picture
    assert max(map(len, payloads)) <= MAX_PAYLOAD
    described = [VpxPayloadDescriptor.parse(payload)[0] for payload in payloads]
    assert [one.partition_start for one in described] == [1] + [0] * (len(payloads) - 1)
    assert {one.picture_id for one in described} == {17}


def test_the_largest_picture_id_of_vp8_is_carried() -> None:
    assert VpxPayloadDescriptor.parse(vp8_payloads(b"x", PICTURE_IDS - 1)[0])[0].picture_id == PICTURE_IDS - 1


@pytest.mark.parametrize("size", SIZES[1:])
@pytest.mark.parametrize("long", [True, False])
def test_an_h264_unit_comes_whole_out_of_its_payloads(size: int, long: bool) -> None:
    picture = picture_of([unit_of(size, 5)], long=long)
    payloads = h264_payloads(picture)
    assert b"".join(h264_depayload(payload) for payload in payloads) == picture_of([picture.lstrip(b"\0")[1:]])
    assert max(map(len, payloads)) <= MAX_PAYLOAD
    assert all(abs(len(one) - len(other)) < len(payloads) for one, other in pairwise(payloads))
    assert [H264PayloadDescriptor.parse(one)[0].first_fragment for one in payloads] == (
        [True] + [False] * (len(payloads) - 1)
    )


def test_small_h264_units_share_a_payload_up_to_its_size_and_large_ones_have_their_own() -> None:
    units = [unit_of(size, kind) for size, kind in ((20, 7), (8, 8), (5000, 5), (600, 5), (600, 5), (600, 5))]
    payloads = h264_payloads(picture_of(units))
    assert b"".join(h264_depayload(payload) for payload in payloads) == picture_of(units)
    assert [payload[0] & 0x1F for payload in payloads] == [24, 28, 28, 28, 28, 24, 5]
    assert max(map(len, payloads)) <= MAX_PAYLOAD


def test_a_shared_payload_is_as_important_as_the_most_important_of_its_units() -> None:
    (payload,) = h264_payloads(picture_of([unit_of(9, 6, importance=0), unit_of(9, 1, importance=2)]))
    assert payload[0] == 2 << 5 | 24


def test_no_more_than_nine_h264_units_share_a_payload() -> None:
    units = [unit_of(9, 1) for _ in range(19)]
    assert [payload[0] & 0x1F for payload in h264_payloads(picture_of(units))] == [24, 24, 1]


def test_nothing_has_no_payload() -> None:
    assert vp8_payloads(b"", 0) == h264_payloads(b"") == []

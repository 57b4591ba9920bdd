"""Chunks of data channels that are well-formed, and too many. Whoever sends them ends; another call goes on."""

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from aiortc.rtcsctptransport import (
    SCTP_DATA_FIRST_FRAG,
    SCTP_DATA_LAST_FRAG,
    WEBRTC_STRING,
    Chunk,
    DataChunk,
    ForwardTsnChunk,
    HeartbeatChunk,
    SackChunk,
)
from hypothesis import given
from hypothesis import strategies as st

from lipstream.realtime.rtc.aiortc_patches.association_bounds import (
    BURST_CHUNKS,
    CHUNKS_PER_S,
    DISCARDED_CHUNKS,
    MAX_ACKNOWLEDGED,
    MAX_GAPS,
    MAX_HELD_BYTES,
    MAX_STREAMS,
    AssociationBounds,
    AssociationFloodError,
)
from tests.realtime.rtc.loopback import Client, connected, until

WHOLE = SCTP_DATA_FIRST_FRAG | SCTP_DATA_LAST_FRAG
CHUNKS = 3_000
"""Of one attack at most; each ends long before."""

Attack = Callable[[Any, int], Chunk]


def data(tsn: int, *, flags: int = WHOLE, stream: int = 0, size: int = 20) -> DataChunk:
    chunk = DataChunk(flags=flags)
    chunk.tsn, chunk.stream_id, chunk.stream_seq, chunk.protocol = tsn % (1 << 32), stream, 0, WEBRTC_STRING
    chunk.user_data = b"x" * size
    return chunk


def sack(association: Any, *ranges: tuple[int, int]) -> SackChunk:
    chunk = SackChunk()
    chunk.cumulative_tsn, chunk.advertised_rwnd = association._last_received_tsn, 1 << 20
    chunk.gaps = list(ranges)
    return chunk


def forward(association: Any, number: int) -> ForwardTsnChunk:
    chunk = ForwardTsnChunk()
    chunk.cumulative_tsn = (association._local_tsn + number) % (1 << 32)
    chunk.streams = [(stream, number % 60_000) for stream in range(200)]
    return chunk


def heartbeat() -> HeartbeatChunk:
    chunk = HeartbeatChunk()
    chunk.params.append((1, b"\x00" * 8))
    return chunk


SLOWLY, FAST = 4, 30
"""Chunks between two pauses of 25 ms: below the rate that is allowed, and far above it."""
ATTACKS: dict[str, tuple[Attack, int, str]] = {
    "every other chunk": (lambda sctp, n: data(sctp._local_tsn + 2 * n), SLOWLY, "gaps"),
    "a message without an end": (
        lambda sctp, n: data(sctp._local_tsn + n, flags=0 if n else SCTP_DATA_FIRST_FRAG),
        SLOWLY,
        "unfinished chunks",
    ),
    "a long message without an end": (
        lambda sctp, n: data(sctp._local_tsn + n, flags=0 if n else SCTP_DATA_FIRST_FRAG, size=1000),
        SLOWLY,
        "unfinished bytes",
    ),
    "a stream a message": (lambda sctp, n: data(sctp._local_tsn + n, stream=n), SLOWLY, "streams"),
    "streams that are skipped": (forward, SLOWLY, "streams"),
    "whole messages": (lambda sctp, n: data(sctp._local_tsn + n), FAST, "chunks a second"),
    "heartbeats": (lambda sctp, n: heartbeat(), FAST, "chunks a second"),
    "acknowledgements of everything": (lambda sctp, n: sack(sctp, *[(1, 65535)] * 250), SLOWLY, "chunks a second"),
}


@pytest.fixture
async def association() -> AsyncIterator[tuple[Any, Any, list[str]]]:
    """Yield a client's association, open both ways, our peer's call, and why the peer ended."""
    client = Client()
    async with connected(client) as call:
        await until(lambda: client.channel.readyState == "open", "channel")
        client.channel.send('{"type": "nonsense"}')
        await until(lambda: client.messages, "refusal")
        yield client.pc.sctp, call, call.gone


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
async def test_a_flood_ends_its_sender_alone(attack: tuple[Attack, int, str], association: Any) -> None:
    sctp, _, gone = association
    chunk_of, at_once, reason = attack
    bystander = Client()
    async with connected(bystander) as other:
        await until(lambda: other.sound and bystander.frames["video"], "both ways")
        await send_until(lambda number: sctp._send_chunk(chunk_of(sctp, number)), at_once, lambda: bool(gone))
        heard, seen = len(other.sound), len(bystander.frames["video"])
        await until(lambda: len(other.sound) > heard + 5 and len(bystander.frames["video"]) > seen + 5, "both ways")
        assert other.peer.connected
        assert not other.gone
    assert len(gone) == 1
    assert gone[0].startswith("its data channels: more than ")
    assert gone[0].endswith(reason)


async def send_until(send: Callable[[int], Awaitable[None]], at_once: int, ended: Callable[[], bool]) -> None:
    for number in range(CHUNKS):
        await send(number)
        if number % at_once == 0:
            await asyncio.sleep(0.025)
        if ended():
            return
    await until(ended, "the end of the peer")


async def test_a_burst_of_messages_arrives_whole_and_ends_nobody(association: Any) -> None:
    sctp, call, gone = association
    channel = next(iter(sctp._data_channels.values()))
    before = len(call.controls)
    for number in range(2 * BURST_CHUNKS):
        channel.send(f'{{"type": "say", "text": "{number}"}}')
    await until(lambda: len(call.controls) == before + 2 * BURST_CHUNKS, "all messages")
    assert [int(message["text"]) for message in call.controls[before:]] == list(range(2 * BURST_CHUNKS))
    assert not gone


def packet(*chunks: Chunk) -> bytes:
    return bytes(12) + b"".join(bytes(chunk) for chunk in chunks)


def bounds() -> tuple[AssociationBounds, Any]:
    held = SimpleNamespace(_inbound_streams={}, _data_channels={}, _sack_misordered=set(), _advertised_rwnd=1 << 20)
    return AssociationBounds(held, 0.0), held


def test_the_receive_window_is_what_may_be_held() -> None:
    assert bounds()[1]._advertised_rwnd == MAX_HELD_BYTES


def test_the_rate_in_the_long_run() -> None:
    found, _ = bounds()
    admitted = sum(found.admits(packet(heartbeat()), at / (1.5 * CHUNKS_PER_S)) for at in range(BURST_CHUNKS * 4))
    assert admitted <= BURST_CHUNKS + CHUNKS_PER_S * (BURST_CHUNKS * 4 / (1.5 * CHUNKS_PER_S))
    assert admitted > BURST_CHUNKS


def test_chunks_are_counted_not_packets() -> None:
    found, _ = bounds()
    packets = (BURST_CHUNKS + DISCARDED_CHUNKS) // 50
    assert [found.admits(packet(*[heartbeat()] * 50), 0.0) for _ in range(packets)].count(True) == BURST_CHUNKS // 50
    with pytest.raises(AssociationFloodError, match="chunks a second"):
        found.admits(packet(heartbeat()), 0.0)


def test_a_sack_that_names_more_than_was_ever_sent_is_discarded() -> None:
    found, _ = bounds()
    association = SimpleNamespace(_last_received_tsn=1)
    assert found.admits(packet(sack(association, (1, MAX_ACKNOWLEDGED))), 0.0)
    assert not found.admits(packet(sack(association, (1, MAX_ACKNOWLEDGED), (1, 1))), 10.0)


@pytest.mark.parametrize(
    ("field", "content", "what"),
    [
        ("_inbound_streams", {n: SimpleNamespace(reassembly=[]) for n in range(MAX_STREAMS + 1)}, "streams"),
        ("_data_channels", dict.fromkeys(range(MAX_STREAMS + 1)), "streams"),
        ("_sack_misordered", set(range(MAX_GAPS + 1)), "gaps"),
        ("_inbound_streams", {0: SimpleNamespace(reassembly=[data(1, size=MAX_HELD_BYTES + 1)])}, "unfinished bytes"),
    ],
)
def test_what_is_held_has_a_limit(field: str, content: Any, what: str) -> None:
    found, held = bounds()
    found.check()
    setattr(held, field, content)
    with pytest.raises(AssociationFloodError, match=what):
        found.check()


SACKS = st.binary(max_size=200).map(lambda body: bytes(12) + struct.pack("!BBH", 3, 0, 4 + len(body)) + body)


@given(st.lists(st.tuples(st.binary(max_size=1300) | SACKS, st.floats(0, 0.1)), max_size=60))
def test_any_packets_are_counted(packets: list[tuple[bytes, float]]) -> None:
    found, _ = bounds()
    now_s, admitted = 0.0, 0
    for content, after_s in packets:
        now_s += after_s
        try:
            admitted += found.admits(content, now_s)
        except AssociationFloodError:
            break
    assert admitted <= BURST_CHUNKS + CHUNKS_PER_S * now_s

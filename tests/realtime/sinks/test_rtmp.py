"""RTMP and FLV, byte by byte, and against FFmpeg's server."""

import asyncio
import contextlib
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipstream.realtime.errors import BadRequestError
from lipstream.realtime.sinks import amf
from lipstream.realtime.sinks.backoff import FIRST_WAIT_S, LONGEST_WAIT_S, STEADY_S, Backoff
from lipstream.realtime.sinks.flv import AUDIO, FILE_HEADER, SCRIPT, VIDEO, Tag, TagSplitter
from lipstream.realtime.sinks.muxer import Muxer
from lipstream.realtime.sinks.rtmp import RtmpError, RtmpPublisher
from lipstream.realtime.sinks.rtmp_link import RtmpLink
from lipstream.realtime.sinks.stream_address import StreamAddress
from lipstream.realtime.timeline import FRAME_RATE_HZ, PACKET_SOUND
from tests.server_process import free_port

DAY_FRAMES = 24 * 3600 * FRAME_RATE_HZ
PACKETS_PER_FRAME = 2

scalars = st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=20)


@given(st.lists(scalars | st.dictionaries(st.text(min_size=1, max_size=5), scalars, max_size=4), max_size=5))
def test_what_is_written_in_amf_is_read_again(values: list[amf.Value]) -> None:
    assert amf.decode(amf.encode(*values)) == values


@given(st.binary(max_size=200))
def test_any_bytes_are_amf_or_refused(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        amf.decode(data)


@given(st.lists(st.tuples(st.sampled_from([AUDIO, VIDEO, SCRIPT]), st.integers(0, 2**32 - 1), st.binary(min_size=2))),
       st.integers(1, 50))  # fmt: skip
@settings(max_examples=50)
def test_tags_come_out_as_they_went_in_whatever_the_pieces(facts: list[tuple[int, int, bytes]], piece: int) -> None:
    tags = [Tag(*fact) for fact in facts]
    found: list[Tag] = []
    splitter = TagSplitter(found.append)
    data = FILE_HEADER + b"".join(tag.to_bytes() for tag in tags)
    for start in range(0, len(data), piece):
        splitter.write(data[start : start + piece])
    assert found == tags


def picture(shade: int) -> np.ndarray:
    return np.full((96, 64), shade % 200 + 20, np.uint8)


def encoded(frames: int, *, from_frame: int = 0) -> list[Tag]:
    """Return the tags of a muxer that has run for some frames already."""
    tags: list[Tag] = []
    muxer = Muxer(TagSplitter(tags.append), "flv", size=(64, 64), first_frame=0, facts={})
    muxer.frames, muxer._packets = from_frame, from_frame * PACKETS_PER_FRAME
    for frame in range(from_frame, from_frame + frames):
        for packet in range(PACKETS_PER_FRAME):
            muxer.write_speech(frame * PACKETS_PER_FRAME + packet, np.zeros(PACKET_SOUND, np.int16))
        muxer.write_picture(frame, picture(frame))
    muxer.close()
    return tags


def test_after_24_hours_picture_and_sound_are_where_the_clock_is() -> None:
    """Nothing is added up: each time is the unit's place alone, and what never came is filled in."""
    muxer = Muxer(TagSplitter(lambda _: None), "flv", size=(64, 64), first_frame=0, facts={})

    def encode_picture(_: np.ndarray) -> None:
        muxer.frames += 1

    def encode_speech(_: np.ndarray) -> None:
        muxer._packets += 1

    muxer._encode_picture, muxer._encode_speech = encode_picture, encode_speech  # type: ignore[method-assign, assignment]
    silence, still = np.zeros(PACKET_SOUND, np.int16), picture(0)
    rng = np.random.default_rng(1)
    frame = 0
    while frame < DAY_FRAMES:  # most units are lost, now and then for as long as the machine was suspended
        muxer.write_picture(frame, still)
        muxer.write_speech(frame * PACKETS_PER_FRAME + int(rng.integers(2)), silence)
        assert muxer._packets - PACKETS_PER_FRAME * muxer.frames in (-1, 0)
        frame += int(rng.integers(1, 2000))
    muxer.write_picture(DAY_FRAMES - 1, still)
    muxer.write_speech(DAY_FRAMES * PACKETS_PER_FRAME - 1, silence)
    assert (muxer.frames, muxer._packets) == (DAY_FRAMES, DAY_FRAMES * PACKETS_PER_FRAME)
    assert muxer.seconds == 24 * 3600

    fresh, aged = media(encoded(60)), media(encoded(60, from_frame=DAY_FRAMES))
    assert [tag.kind for tag in fresh] == [tag.kind for tag in aged]
    apart_ms = [old.time_ms - young.time_ms for young, old in zip(fresh, aged, strict=True)]
    assert max(apart_ms) - min(apart_ms) <= 1, "sound and picture lie to each other as on the first day"
    assert set(np.diff([tag.time_ms for tag in aged if tag.kind == VIDEO])) == {40}


def media(tags: list[Tag]) -> list[Tag]:
    return [tag for tag in tags if not tag.is_header and tag.body[1] == 1]


def answered(publisher: RtmpPublisher, *messages: bytes) -> bytes:
    return b"".join(publisher.receive(message) for message in messages)


def server_message(kind: int, body: bytes, *, chunk: int = 128, csid: int = 3, time_ms: int = 0) -> bytes:
    """Return a message as servers send them, in chunks of 128 bytes."""
    extended = struct.pack(">I", time_ms) if time_ms >= 0xFFFFFF else b""
    head = min(time_ms, 0xFFFFFF).to_bytes(3, "big") + len(body).to_bytes(3, "big") + bytes((kind,)) + bytes(4)
    first = bytes((csid,)) if csid < 64 else bytes((0, csid - 64))
    more = bytes((0xC0 | csid,)) if csid < 64 else bytes((0xC0, csid - 64))
    pieces = [body[start : start + chunk] for start in range(0, len(body), chunk)]
    return first + head + extended + (more + extended).join(pieces)


def connected() -> RtmpPublisher:
    publisher = RtmpPublisher(app="live", key="secret", url="rtmp://a/live")
    hello = publisher.begin()
    assert len(hello) == 1537
    answer = answered(publisher, b"\x03" + bytes(1536) + hello[1:])
    assert answer[:1536] == bytes(1536)
    assert b"connect" in answer
    return publisher


def result(transaction: float, *values: amf.Value, name: str = "_result") -> bytes:
    return server_message(20, amf.encode(name, transaction, *values))


def status(code: str, level: str = "status") -> bytes:
    told = {"level": level, "code": code, "description": "the key is secret, and long " * 20}
    return server_message(20, amf.encode("onStatus", 0.0, None, told))


def published() -> RtmpPublisher:
    publisher = connected()
    assert b"createStream" in answered(publisher, result(1, None, {"code": "NetConnection.Connect.Success"}))
    assert b"publish" in answered(publisher, result(4, None, 1.0))
    answered(publisher, status("NetStream.Publish.Start"))
    assert publisher.state == "published"
    return publisher


def test_a_stream_comes_about_byte_by_byte() -> None:
    publisher = RtmpPublisher(app="live", key="secret", url="rtmp://a/live")
    hello = publisher.begin()
    told = (
        b"\x03" + bytes(1536) + hello[1:]
        + server_message(5, struct.pack(">I", 5000)) + server_message(4, struct.pack(">HI", 6, 77), csid=70)
        + result(1, None, {"code": "NetConnection.Connect.Success"}) + result(2, None, name="_error")
        + result(4, None, 1.0) + status("NetStream.Publish.Start")
        + server_message(4, struct.pack(">HI", 6, 78), time_ms=0x1234567)
    )  # fmt: skip
    answer = b"".join(publisher.receive(told[n : n + 1]) for n in range(len(told)))
    assert publisher.state == "published"
    for pong in (77, 78):
        assert struct.pack(">HI", 7, pong) in answer
    assert answer.count(bytes((2, 0, 0, 0, 0, 0, 4, 3))) == 1, "acknowledged once 2,500 bytes had come"


def test_media_longer_than_a_chunk_and_older_than_four_hours_is_cut_right() -> None:
    publisher = published()
    body = bytes(range(256)) * 600
    sent = publisher.message(Tag(VIDEO, 0x2345678, body))
    first, rest = sent[:16], sent[16:]
    assert first == bytes((6, 255, 255, 255)) + len(body).to_bytes(3, "big") + b"\x09\x01\0\0\0" + b"\x02\x34\x56\x78"
    assert rest[:65536] == body[:65536]
    assert rest[65536:65541] == b"\xc6\x02\x34\x56\x78"
    assert len(sent) == 16 + len(body) + 2 * 5
    assert b"deleteStream" in publisher.farewell()


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (status("NetStream.Publish.BadName", "error"), "the server refuses: NetStream.Publish.BadName"),
        (status("the key is secret", "error"), "the server refuses"),
        (status("NetStream.Unpublish.Success"), "the server ended the stream"),
        (result(4, None, "seven"), "cannot be read"),
        (server_message(20, b"\x07\x01"), "cannot be read"),
        (bytes((3,)) + bytes(3) + b"\xff\xff\xff" + bytes(5), "too long"),
        (bytes((0xC5,)) + bytes(20), "chunks that cannot be read"),
    ],
)
def test_a_refusal_is_told_without_what_the_server_says_about_the_key(message: bytes, words: str) -> None:
    publisher = connected()
    answered(publisher, result(1, None))
    with pytest.raises(RtmpError, match=words) as refused:
        answered(publisher, message)
    assert "secret" not in refused.value.message


def test_who_speaks_no_rtmp_is_found_out() -> None:
    publisher = RtmpPublisher(app="live", key="secret", url="rtmp://a/live")
    with pytest.raises(RtmpError, match="does not speak RTMP"):
        publisher.receive(b"HTTP/1.1 400 Bad Request" + bytes(4000))


@given(st.binary(max_size=400))
def test_a_hostile_server_breaks_nothing(data: bytes) -> None:
    publisher = connected()
    with contextlib.suppress(RtmpError):
        publisher.receive(data)


class SlowWriter:
    """A writer whose other end reads only when the test lets it."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.reads = asyncio.Event()

    def write(self, data: bytes) -> None:
        self.written.append(data)

    async def drain(self) -> None:
        await self.reads.wait()


async def test_a_server_that_reads_no_pongs_is_not_read_either() -> None:
    reader, writer = asyncio.StreamReader(), SlowWriter()
    link = RtmpLink(connected(), reader, writer)  # type: ignore[arg-type]
    ping = server_message(4, struct.pack(">HI", 6, 77))
    reader.feed_data(ping * 4000)
    listening = asyncio.create_task(link._listen())
    async with asyncio.timeout(60):
        while not writer.written:
            await asyncio.sleep(0)
    for _ in range(100):
        await asyncio.sleep(0)
    assert len(writer.written) == 1
    assert 0 < len(writer.written[0]) <= 2 * 4096
    writer.reads.set()
    async with asyncio.timeout(60):
        while len(writer.written) < 3:
            await asyncio.sleep(0.01)
    listening.cancel()
    await asyncio.wait([listening])


@pytest.mark.needs("ffmpeg")
async def test_ffmpeg_reads_a_stream_that_is_a_day_old(tmp_path: Path) -> None:
    port, path = free_port(), tmp_path / "seen.txt"
    listening = await asyncio.create_subprocess_exec(
        *("ffmpeg", "-v", "error", "-y", "-listen", "1", "-i", f"rtmp://127.0.0.1:{port}/live/key"),
        *("-copyts", "-c", "copy", "-f", "framecrc", str(path)),
        stdin=subprocess.DEVNULL,
    )
    address = StreamAddress.parse(f"rtmp://127.0.0.1:{port}/live/key")
    async with asyncio.timeout(30):
        while True:
            try:
                link = await RtmpLink.open(address, ["127.0.0.1"])
                break
            except OSError:
                await asyncio.sleep(0.1)
        sent = encoded(50, from_frame=DAY_FRAMES)
        for tag in sent:
            await link.send(tag)
        await link.close()
        await listening.wait()
    lines = [line.split(",") for line in path.read_text().splitlines() if line[:1] in "01"]
    times = {index: [int(line[1]) for line in lines if line[0] == index] for index in "01"}
    wanted = [{tag.time_ms for tag in media(sent) if tag.kind == kind} for kind in (AUDIO, VIDEO)]
    assert min(map(min, wanted)) >= 24 * 3600 * 1000 - 50
    for seen in times.values():
        assert len(seen) >= 40
        assert any(set(seen) <= stamps for stamps in wanted)


def test_the_wait_between_tries_grows_to_half_a_minute_and_no_further() -> None:
    back_off = Backoff()
    waits = [back_off.fails(0.0, 0.0) for _ in range(2000)]
    assert waits[0] == FIRST_WAIT_S
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST_WAIT_S
    assert back_off.fails(0.0, 1.0) == 0.75 * LONGEST_WAIT_S
    back_off.works(0.0)
    assert back_off.fails(STEADY_S - 1, 0.0) == LONGEST_WAIT_S
    back_off.works(0.0)
    assert back_off.fails(STEADY_S, 0.0) == FIRST_WAIT_S


def test_an_address_tells_nobody_its_key() -> None:
    address = StreamAddress.parse("rtmps://user:pass@live.example.org:443/app/inner/key?token=1")
    assert str(address) == "rtmps://live.example.org:443"
    assert "key" not in repr(address)
    assert str(StreamAddress.parse("srt://[::1]:9000?passphrase=secretsecret")) == "srt://[::1]:9000"


@pytest.mark.parametrize(
    "url",
    ["", "http:", "ftp://a/b", "rtmp://host/key", "rtmp:///app/key", "rtmp://host:99999/app/key", "rtmp://h/a/k\n1",
     "srt://host", "rtmp://host/app/" + 2000 * "k", "file:///etc/passwd", "rtmp://[::1/app/key", "rtmp://h:x/a/k",
     "srt://host:9?mode=listener", "srt://host:9?transtype=file", "srt://host:9?latency=-1", "srt://host:9?latency="],
)  # fmt: skip
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(BadRequestError):
        StreamAddress.parse(url)

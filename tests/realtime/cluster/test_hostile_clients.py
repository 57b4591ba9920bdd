"""What a client sends an ingress costs its own request alone: no 5xx, nothing in the log, no worker taken for lost."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.realtime.cluster.false_cluster import FalseCluster, false_cluster, until

WORKER = "aaaaaaaa"
SESSION = b"/api/sessions/name" + WORKER.encode()
UPGRADE = (
    b"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


@pytest.fixture
async def cluster(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> AsyncIterator[FalseCluster]:
    async with false_cluster(tmp_path, WORKER) as cluster:
        with caplog.at_level(logging.ERROR):
            yield cluster
            assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
            assert not cluster.lost


def request(target: bytes, head: bytes = b"", body: bytes = b"", method: bytes = b"GET") -> bytes:
    return method + b" " + target + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + head + b"\r\n" + body


def posted(target: bytes, body: bytes) -> bytes:
    return request(target, b"Content-Length: %d\r\n" % len(body), body, b"POST")


async def test_any_head_and_body_is_answered_below_500(cluster: FalseCluster) -> None:
    many = b"".join(b"a%d: b\r\n" % number for number in range(1200))
    for sent in (
        *(request(SESSION, b"A: " + b"x" * length + b"\r\n") for length in (16_000, 16_300, 30_000, 60_000)),
        *(request(SESSION, head) for head in (b"A: \x80\xff\r\n", b"A: \ta\t\r\n", b"A:\r\n", b"A: \x01\r\n", many)),
        *(request(SESSION + b"/" + path) for path in (b"%00", b"%zz%", b"\\..\\x", b"#x", b"[::1]", b"y" * 15_000)),
        *(request(path) for path in (b"%2Fapi/sessions/a", b"/api/sessions%2Fa", b"//a/api/sessions", b"*")),
        *(posted(SESSION + b"/early", b"a" * size) for size in (3, 100_000)),
        *(posted(b"/api/sessions", body) for body in (b"[" * 100_000, b'{"continues":[1]}', b'{"avatar":["\\ud800"]}')),
        request(b"/api/recordings?limit=" + b"9" * 5000),
        request(SESSION, b"Transfer-Encoding: chunked\r\n", b"zz\r\n", b"POST"),
    ):  # fmt: skip
        answer = await cluster.exchange(sent)
        assert answer.startswith((b"HTTP/1.1 2", b"HTTP/1.1 4")), (sent[:80], answer[:80])


async def test_a_target_reaches_the_worker_byte_for_byte(cluster: FalseCluster) -> None:
    reached = cluster.workers[0].reached
    for path in (b"/a/../../cluster/tokens", b"/%2e%2e/x", b"/a//b/.", b"/a?b=c&&d=%41", b"/%7Ea"):
        await cluster.exchange(request(SESSION + path))
        assert reached[-1] == ("GET", SESSION + path)


async def test_a_body_without_its_end_is_no_fault(cluster: FalseCluster) -> None:
    reached = cluster.workers[0].reached
    for target, length in ((SESSION, 200), (b"/api/avatars", 2_000_000)):
        before = len(reached)
        await cluster.exchange(request(target, b"Content-Length: %d\r\n" % length, b"ab", b"POST"), hangs_up=True)
        await until(lambda: len(reached) > before)  # noqa: B023 (awaited at once)
    await cluster.exchange(request(b"/api/sessions", b"Content-Length: 9\r\n", b"ab", b"POST"), hangs_up=True)
    assert (await cluster.exchange(request(SESSION))).startswith(b"HTTP/1.1 200")


async def test_any_head_of_a_websocket_is_answered_too(cluster: FalseCluster) -> None:
    for target, head in (
        (SESSION + b"/audio", b""),
        (b"/api/sessions/x#" + WORKER.encode() + b"/audio", b""),
        (SESSION + b"/audio", b"A: \xff\r\n"),
        (SESSION + b"/audio", b"A: " + b"x" * 9000 + b"\r\n"),
        (SESSION + b"/audio?" + b"x" * 9000, b""),
    ):
        answer = await cluster.exchange(request(target, UPGRADE + head).replace(b"Connection: close\r\n", b""))
        assert answer.startswith(b"HTTP/1.1 4"), answer[:80]


async def test_a_worker_that_breaks_off_one_request_is_not_lost(cluster: FalseCluster) -> None:
    async def broken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.close()

    there = cluster.ingress.members.there(asyncio.get_running_loop().time())
    async with await asyncio.start_server(broken, "127.0.0.1", 0) as server:
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        cluster.ingress.members.hear(address, next(iter(there.values())), asyncio.get_running_loop().time())
        answer = await cluster.exchange(request(SESSION), most=4000)
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"\r\nretry-after: 1\r\n" in answer, "come again"

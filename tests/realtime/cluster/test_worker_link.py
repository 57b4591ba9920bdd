"""What comes of a worker's address: bounded, whoever answers there."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from lipstream.realtime.cluster import worker_link
from lipstream.realtime.cluster.forwarding import Forwarder
from lipstream.realtime.cluster.worker_link import listen
from lipstream.realtime.session.cluster_secret import ClusterSecret
from tests.realtime.cluster.false_cluster import SECRET, announcement, until

HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


@pytest.fixture
async def heard(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[[bytes], Awaitable[str]]]:
    """Return what serves pieces without an end; it returns why the worker is lost."""
    monkeypatch.setattr(worker_link, "RETRY_S", 60.0)
    caplog.set_level(logging.WARNING)
    forwarder, tasks = Forwarder(ClusterSecret(SECRET)), []

    async def serve(piece: bytes) -> str:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(HEAD)
            try:
                while True:
                    writer.write(chunk(piece))
                    await writer.drain()
            except OSError:
                return

        lost: list[str] = []
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            tasks.append(asyncio.create_task(listen(forwarder, url, lambda *_: None, lost.append)))
            await until(lambda: lost)
        await until(lambda: caplog.messages)
        return caplog.messages[-1]

    yield serve
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await forwarder.close()


@pytest.mark.parametrize(
    ("piece", "why"),
    [
        (b"x" * 65_536, "has no end"),
        (json.dumps(announcement("aaaaaaaa")).encode() + b"\n", "too often"),
        (b"{}\n" * 2000, "of another version"),
        (b"\xff\xfe\n" * 2000, "of another version"),
    ],
)
async def test_an_answer_without_end_or_sense_is_left(
    heard: Callable[[bytes], Awaitable[str]], piece: bytes, why: str
) -> None:
    assert why in await heard(piece)

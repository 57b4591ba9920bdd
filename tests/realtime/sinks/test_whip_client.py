"""The HTTP side of WHIP against servers that do as they like: nothing endless is read, nothing foreign is followed."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from lipstream.realtime.sinks.stream_address import StreamAddress, StreamConnectionError
from lipstream.realtime.sinks.whip_client import MOST_REDIRECTS, WhipClient
from lipstream.realtime.wire.authorities import authorities

Reply = Callable[[bytes], bytes]


class Server:
    """Answers each request by a function of its head; counts the bytes that it could send."""

    def __init__(self, reply: Reply, *, endless: bool) -> None:
        self._reply, self._endless = reply, endless
        self.heads: list[bytes] = []
        self.sent = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            writer.write(self._reply(head))
            while self._endless:
                writer.write(b"x" * 16_384)
                await writer.drain()
                self.sent += 16_384
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()


@asynccontextmanager
async def serving(reply: Reply, *, endless: bool = False) -> AsyncIterator[tuple[Server, WhipClient]]:
    server = Server(reply, endless=endless)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    address = StreamAddress.parse(f"http://token@whip.example:{server.port}/whip?room=1")
    try:
        async with WhipClient(address, ["127.0.0.1"], authorities()) as client:
            yield server, client
    finally:
        listening.close()


def answer(status: str, body: bytes = b"", **headers: str) -> bytes:
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *lines])
    return head.encode() + b"\r\n\r\n" + body


async def test_an_answer_comes_from_the_checked_address_and_its_resource_is_deleted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    async with serving(lambda _: answer("201 Created", b"v=0", Location="/r/1")) as (server, client):
        assert await client.publish("an offer") == "v=0"
        await client.leave()
        await client.leave()
    post, delete = (head.decode().lower() for head in server.heads)
    assert post.startswith("post /whip?room=1 ")
    assert f"host: whip.example:{server.port}\r\n" in post
    assert "authorization: bearer token\r\n" in post
    assert "accept-encoding: identity\r\n" in post
    assert delete.startswith("delete /r/1 ")


async def test_an_answer_without_an_end_is_left() -> None:
    head = b"HTTP/1.1 201 Created\r\n\r\n"
    async with serving(lambda _: head, endless=True) as (server, client):
        with pytest.raises(StreamConnectionError, match="sends an answer that is too long"):
            await client.publish("an offer")
    assert server.sent < 64 << 20


async def test_a_compressed_answer_is_not_unpacked() -> None:
    packed = gzip.compress(bytes(1 << 20))
    async with serving(lambda _: answer("201 Created", packed, Content_Encoding="gzip")) as (_, client):
        with pytest.raises(StreamConnectionError, match="compresses its answer"):
            await client.publish("an offer")


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
async def test_no_redirect_leads_elsewhere(status: str) -> None:
    async with serving(lambda _: answer("200 OK")) as (inner, _):
        away = f"http://127.0.0.1:{inner.port}/latest/meta-data"
        async with serving(lambda _: answer(status, Location=away)) as (server, client):
            with pytest.raises(StreamConnectionError, match=r"redirects to another address|refuses with status 30"):
                await client.publish("an offer")
        assert len(server.heads) == 1
        assert inner.heads == []


async def test_a_redirect_within_the_origin_is_followed_some_times() -> None:
    def hop(head: bytes) -> bytes:
        return answer("201 Created", b"v=0") if b" /b " in head else answer("307 Temporary", Location="/b")

    async with serving(hop) as (server, client):
        assert await client.publish("an offer") == "v=0"
    assert [head.split()[1] for head in server.heads] == [b"/whip?room=1", b"/b"]
    places = iter("/a/b" * 10)
    async with serving(lambda _: answer("308 Permanent", Location="/" + next(places))) as (server, client):
        with pytest.raises(StreamConnectionError, match="redirects"):
            await client.publish("an offer")
    assert len(server.heads) <= MOST_REDIRECTS + 1


@pytest.mark.parametrize("location", ["http://[", "//127.0.0.1:1/r", "http://other.example/r", "", "/whip?room=1"])
async def test_a_resource_elsewhere_is_not_deleted(location: str) -> None:
    async with serving(lambda _: answer("201 Created", b"v=0", Location=location)) as (server, client):
        assert await client.publish("an offer") == "v=0"
        await client.leave()
    assert len(server.heads) == 1


async def test_the_next_address_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(lambda _: answer("201 Created", b"v=0")) as (server, _):
        address = StreamAddress.parse(f"http://whip.example:{server.port}/whip")
        async with WhipClient(address, ["127.0.0.9", "127.0.0.1"], authorities()) as client:
            assert await client.publish("an offer") == "v=0"
        async with WhipClient(address, ["127.0.0.9"], authorities()) as client:
            with pytest.raises(StreamConnectionError, match="cannot be reached"):
                await client.publish("an offer")

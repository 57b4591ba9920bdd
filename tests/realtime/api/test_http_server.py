"""The bounds on connections, on real ones: deadlines are shortened, not faked."""

import asyncio
import contextlib
import os
import resource
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from lipstream.realtime.api import connections as bounds
from lipstream.realtime.api import listening
from lipstream.realtime.api.connections import Connections, ConnectionState
from lipstream.realtime.api.http_server import HttpServer, server_config
from lipstream.realtime.api.listening import connection_room
from lipstream.realtime.errors import SettingsError
from lipstream.realtime.settings import Settings
from tests.server_process import free_port
from tests.test_deploy import certificate

__all__ = ["certificate"]

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
LONG_ANSWER = 4 << 20
WAIT_S = 60.0


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the length of the body; ``/long`` with much, ``/ws`` as a WebSocket that stays."""
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass
    elif scope["path"] == "/refused":
        await send({"type": "http.response.start", "status": 401, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})
    else:
        received, more = 0, True
        while more:
            message = await receive()
            received += len(message.get("body", b""))
            more = message.get("more_body", False)
        body = bytes(LONG_ANSWER) if scope["path"] == "/long" else str(received).encode()
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


Serve = Callable[..., contextlib.AbstractAsyncContextManager[HttpServer]]


@contextlib.asynccontextmanager
async def serving(total: int = 50, **options: Any) -> AsyncIterator[HttpServer]:
    settings = Settings(port=free_port(), **options)
    config = server_config(application, settings)
    config.connections = Connections(total, total)
    server = HttpServer(config)
    task = asyncio.create_task(server._serve())
    await until(lambda: server.started)
    try:
        yield server
    finally:
        server.should_exit = True
        await task


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HEAD_S", "BODY_S", "WRITE_S"):
        monkeypatch.setattr(bounds, name, 1.0)


@pytest.fixture
def descriptor_limit() -> Iterator[Callable[[int], None]]:
    """Lower this process's limit; given back in the end."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield lambda soft: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, before[1]))
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def connect(server: HttpServer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", server.config.port)


async def answered(server: HttpServer) -> None:
    """Ask on a new connection."""
    reader, writer = await connect(server)
    writer.write(GET)
    assert await asyncio.wait_for(reader.readline(), WAIT_S) == b"HTTP/1.1 200 OK\r\n"
    writer.close()


async def ended(reader: asyncio.StreamReader) -> bytes:
    """Return what comes until the server closes."""
    with contextlib.suppress(ConnectionError):
        return await asyncio.wait_for(reader.read(), WAIT_S)
    return b""


async def dribble(writer: asyncio.StreamWriter, piece: bytes) -> None:
    """Send a byte every now and then, until the server has enough of it."""
    with contextlib.suppress(ConnectionError):
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.1)


POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"
REFUSED = b"POST /refused HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"", b""),
        (b"GET / HTTP/1.1\r\nX: ", b"x"),
        (GET + b"GET / HTTP/1.1\r\nX: ", b"x"),
        (POST, b""),
        (POST + b"half", b"x"),
        (REFUSED, b"x"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    ],
    ids=["nothing", "half a head", "half a second head", "no body", "half a body", "a refused body", "chunks"],
)
async def test_who_keeps_the_server_waiting_is_disconnected(head: bytes, piece: bytes) -> None:
    async with serving() as server:
        reader, writer = await connect(server)
        writer.write(head)
        async with asyncio.TaskGroup() as group:
            dribbling = group.create_task(dribble(writer, piece))
            await ended(reader)
            dribbling.cancel()
        await until(lambda: len(server.config.connections) == 0)
        assert server.config.connections.take_closed().overdue == 1
        writer.close()
        await answered(server)


async def test_an_upload_that_comes_fast_enough_takes_as_long_as_it_takes() -> None:
    pieces, piece = 30, bytes(bounds.BODY_BYTES_PER_S // 2)
    async with serving() as server:
        reader, writer = await connect(server)
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (pieces * len(piece)))
        for _ in range(pieces):  # five times the rate, for three times the time
            writer.write(piece)
            await asyncio.sleep(0.1)
        assert await asyncio.wait_for(reader.readline(), WAIT_S) == b"HTTP/1.1 200 OK\r\n"
        writer.close()


async def test_a_client_that_does_not_read_is_disconnected() -> None:
    async with serving() as server:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(client, ("127.0.0.1", server.config.port))
            await loop.sock_sendall(client, GET.replace(b"/ ", b"/long "))
            await until(lambda: server.config.connections._all.members[ConnectionState.SENDING])
            await until(lambda: len(server.config.connections) == 0)
        assert server.config.connections.take_closed().overdue == 1


async def test_a_client_that_reads_gets_all() -> None:
    async with serving() as server:
        reader, writer = await connect(server)
        writer.write(GET.replace(b"/ ", b"/long "))
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WAIT_S)
        assert len(await asyncio.wait_for(reader.readexactly(LONG_ANSWER), WAIT_S)) == LONG_ANSWER
        writer.close()


async def test_a_websocket_stays_and_counts() -> None:
    async with serving() as server:
        reader, writer = await connect(server)
        key = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n"
        writer.write(b"GET /ws HTTP/1.1\r\nHost: a\r\n" + key % b"dGhlIHNhbXBsZSBub25jZQ==")
        assert b" 101 " in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WAIT_S)
        silent, _ = await connect(server)
        await ended(silent)
        assert not reader.at_eof()
        assert len(server.config.connections) == 1
        writer.close()
        await until(lambda: len(server.config.connections) == 0)


@pytest.mark.parametrize(
    ("path", "more"),
    [
        (b"/ws", b"A: " + b"x" * 9000 + b"\r\n\r\n"),
        (b"/ws?" + b"x" * 9000, b"\r\n"),
        (b"/ws", b"".join(b"a%d: b\r\n" % number for number in range(200)) + b"\r\n"),
        (b"/ws", b"Content-Length: 5\r\n\r\nabcde"),
        (b"/ws", b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ],
    ids=["long line", "long path", "many lines", "body", "chunks"],
)
async def test_a_head_that_is_no_websockets_is_refused_at_once(path: bytes, more: bytes) -> None:
    async with serving() as server:
        reader, writer = await connect(server)
        upgrade = b"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        key = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        writer.write(b"GET " + path + b" HTTP/1.1\r\nHost: a\r\n" + upgrade + key + more)
        assert (await ended(reader)).startswith(b"HTTP/1.1 400 "), "otherwise it would count for as long as it likes"
        await until(lambda: not len(server.config.connections))
        writer.close()


async def test_a_handshake_that_never_ends_counts_and_is_disconnected(certificate: tuple[Path, Path]) -> None:
    async with serving(tls_cert=certificate[0], tls_key=certificate[1]) as server:
        reader, writer = await connect(server)
        writer.write(b"\x16\x03\x01\x02\x00")
        await until(lambda: len(server.config.connections) == 1)
        await ended(reader)
        await until(lambda: len(server.config.connections) == 0)
        trust = ssl.create_default_context(cafile=certificate[0])
        reader, encrypted = await asyncio.open_connection("localhost", server.config.port, ssl=trust)
        encrypted.write(GET)
        assert await asyncio.wait_for(reader.readline(), WAIT_S) == b"HTTP/1.1 200 OK\r\n"
        for each in (writer, encrypted):
            each.close()


async def test_a_crowd_that_says_nothing_makes_way_for_those_who_ask(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(total=20) as server:
        crowd = [await connect(server) for _ in range(100)]
        await answered(server)
        assert len(server.config.connections) <= 20
        closed = server.config.connections.take_closed()
        assert closed.displaced >= 80
        assert closed.refused == 0
        for _, writer in crowd:
            writer.close()
    assert len(caplog.records) <= 1


async def test_without_descriptors_connections_are_closed_and_the_log_stays_short(
    descriptor_limit: Callable[[int], None], caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(total=500) as server:
        clients = [socket.socket() for _ in range(100)]
        lowest_free = os.dup(0)
        os.close(lowest_free)
        descriptor_limit(lowest_free + 1)
        for client in clients:
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", server.config.port))
        refused = 0

        def all_refused() -> bool:
            nonlocal refused
            refused += server.config.connections.take_closed().refused
            return refused + len(server.config.connections) >= len(clients)

        await until(all_refused)
        assert refused > 0
        for client in clients:
            client.close()
        await answered(server)
    assert [record for record in caplog.records if record.name == "asyncio"] == []


def test_descriptors_are_kept_for_calls(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    limits = [1024, 4096]
    monkeypatch.setattr(resource, "getrlimit", lambda _: tuple(limits))
    monkeypatch.setattr(resource, "setrlimit", lambda _, wanted: limits.__setitem__(slice(None), wanted))
    assert connection_room(4, 50) == listening.MOST_CONNECTIONS
    assert listening.MOST_CONNECTIONS < limits[0] <= 4096
    limits[:] = 1024, 1024
    room = connection_room(4, 50)
    assert listening.FEWEST_CONNECTIONS < room <= 1024 - 4 * 2 * 51
    assert caplog.records == []
    limits[:] = 256, 256
    assert connection_room(4, 50) == listening.FEWEST_CONNECTIONS
    assert "LimitNOFILE" in caplog.text
    limits[:] = [resource.RLIM_INFINITY] * 2
    assert connection_room(4, 50) == listening.MOST_CONNECTIONS


async def test_an_address_in_use_is_said_in_a_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = HttpServer(server_config(application, Settings(port=taken.getsockname()[1])))
        with pytest.raises(SettingsError, match=f"port {taken.getsockname()[1]} of 127.0.0.1 is in use"):
            await server._serve()

"""WebSockets over real connections: floods of frames end them, so does a client that reads nothing; speech goes on."""

import asyncio
import base64
import contextlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from lipstream.realtime.api import websocket_protocol
from lipstream.realtime.api.http_server import HttpServer, server_config
from lipstream.realtime.settings import Settings
from tests.loopback.conftest import until
from tests.server_process import free_port

PING, CONTINUATION, BINARY, TEXT = 0x89, 0x00, 0x82, 0x81


class Application:
    """Counts what it gets, and sends without an end if asked for it."""

    def __init__(self) -> None:
        self.messages = 0
        self.ends: list[int] = []

    async def serve(self, socket: WebSocket) -> None:
        await socket.accept()
        try:
            while True:
                message = await socket.receive()
                if message["type"] == "websocket.disconnect":
                    self.ends.append(message["code"])
                    return
                self.messages += 1
                if message.get("text") == "talk":
                    while True:
                        await socket.send_text("x" * 4096)
        except WebSocketDisconnect as error:
            self.ends.append(error.code)


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[Application, int]]:
    application, port = Application(), free_port()
    app = Starlette(routes=[WebSocketRoute("/", application.serve)])
    server = HttpServer(server_config(app, Settings(), port=port, lifespan="off"))
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    running = asyncio.create_task(server._serve())
    await until(lambda: server.started, "the server")
    try:
        yield application, port
    finally:
        server.should_exit = True
        await running


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Yield the ends of a WebSocket whose frames the test writes itself."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    key = base64.b64encode(os.urandom(16)).decode()
    lines = ["GET / HTTP/1.1", f"Host: 127.0.0.1:{port}", "Upgrade: websocket", "Connection: Upgrade"]
    lines += [f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13"]
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


def frame(first: int, data: bytes = b"") -> bytes:
    """Return a frame of fewer than 126 bytes, masked by zeros."""
    return bytes((first, 0x80 | len(data))) + bytes(4) + data


async def closing_code(reader: asyncio.StreamReader) -> int:
    """Read to the end; return the code of the last frame."""
    received = b""
    async with asyncio.timeout(60):
        while data := await reader.read(65536):
            received = (received + data)[-200:]
    at = received.rindex(b"\x88")
    return int.from_bytes(received[at + 2 : at + 4], "big")


@pytest.mark.parametrize(
    ("flood", "most"),
    [
        (frame(PING), websocket_protocol.CONTROL_BURST),
        (frame(0x8A), websocket_protocol.CONTROL_BURST),
        (frame(CONTINUATION), websocket_protocol.FRAME_BURST),
        (frame(BINARY, b"xx"), websocket_protocol.FRAME_BURST),
        (frame(TEXT, b"{}"), websocket_protocol.FRAME_BURST),
    ],
    ids=["pings", "pongs", "empty continuations", "binary", "text"],
)
async def test_a_flood_of_frames_ends_its_connection(flood: bytes, most: int, caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as (application, port), connected(port) as (reader, writer):
        writer.write(frame(0x02, b"x") if flood[0] == CONTINUATION else b"")
        for _ in range(8 * most // 500 + 8):
            writer.write(flood * 500)
        assert await closing_code(reader) == 1008
        await until(lambda: application.ends, "the application's notice")
        assert application.ends == [1008]
        assert application.messages <= 2 * most
        assert sum("a WebSocket is closed: too many" in line for line in caplog.messages) == 1


async def test_a_flood_of_bytes_ends_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket_protocol, "SLICE_BURST", 100)
    monkeypatch.setattr(websocket_protocol, "SLICES_PER_S", 1.0)
    async with serving() as (application, port), connect(f"ws://127.0.0.1:{port}", compression=None) as socket:
        with contextlib.suppress(ConnectionClosed):
            for _ in range(100):
                await socket.send(bytes(65536))
        await socket.wait_closed()
        assert socket.close_code == 1008
        await until(lambda: application.ends, "the application's notice")
        assert application.messages <= 4


async def test_speech_in_small_pieces_goes_on_and_pings_are_answered() -> None:
    async with serving() as (application, port), connect(f"ws://127.0.0.1:{port}") as socket:
        for place in range(300):
            await socket.send(bytes(960))
            if place % 30 == 0:
                await (await socket.ping())
        await until(lambda: application.messages == 300, "all of them")
        assert application.ends == []


async def test_no_compression_is_agreed_upon() -> None:
    extensions = [ClientPerMessageDeflateFactory()]
    async with serving() as (_, port), connect(f"ws://127.0.0.1:{port}", extensions=extensions) as socket:
        assert "Sec-WebSocket-Extensions" not in socket.response.headers  # type: ignore[union-attr]


async def test_a_client_that_reads_nothing_is_given_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(websocket_protocol, "WRITE_S", 0.2)
    async with serving() as (application, port), connected(port) as (_, writer):
        writer.write(frame(TEXT, b"talk"))
        await until(lambda: "its client has read nothing" in caplog.text, "the deadline")
        await until(lambda: application.ends, "the application's notice")


async def test_an_application_that_sends_meanwhile_leaves_no_trace(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as (application, port), connected(port) as (reader, writer):
        writer.write(frame(TEXT, b"talk"))
        assert await reader.readexactly(100_000)
        writer.write(frame(PING) * 500)
        assert await closing_code(reader) == 1008
        await until(lambda: application.ends, "the application's notice")
    assert [line.getMessage() for line in caplog.records] == ["a WebSocket is closed: too many pings"]

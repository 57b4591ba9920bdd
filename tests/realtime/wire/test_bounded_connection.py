"""WebSockets to other servers: what they send costs no more than it may."""

import asyncio
import base64
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from lipstream.realtime.wire.bounded_connection import (
    CONTROL_BURST,
    MOST_MESSAGE_BYTES,
    SMALL_BURST,
    BoundedConnect,
    parse_message,
)

PING, TEXT, CONTINUED, LAST, CLOSE = 0x89, 0x81, 0x00, 0x80, 0x88
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def frame(head: int, data: bytes) -> bytes:
    size = len(data)
    return bytes([head, size]) + data if size < 126 else bytes([head, 126]) + size.to_bytes(2, "big") + data


class HostileServer:
    """Takes the handshake, sends some bytes, and counts what comes back."""

    def __init__(self, sent: bytes) -> None:
        self._sent, self.received, self.url = sent, 0, ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        key = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
        proof = base64.b64encode(hashlib.sha1(key.split()[1] + GUID).digest())
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + proof + b"\r\n\r\n" + self._sent
        )
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                self.received += len(data)
                if data[0] == CLOSE:
                    break
        writer.close()


@contextlib.asynccontextmanager
async def connected(sent: bytes) -> AsyncIterator[tuple[HostileServer, ClientConnection]]:
    server = HostileServer(sent)
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
        socket = await BoundedConnect(f"ws://127.0.0.1:{listening.sockets[0].getsockname()[1]}/", close_timeout=0.1)
        yield server, socket
        await socket.close()


async def _read_all(socket: ClientConnection) -> int:
    count = 0
    with contextlib.suppress(ConnectionClosed):
        while True:
            await socket.recv()
            count += 1
    return count


async def test_a_flood_of_pings_ends_the_connection() -> None:
    async with connected(frame(PING, b"") * 1_000_000) as (server, socket):
        async with asyncio.timeout(60):
            assert await _read_all(socket) == 0
        assert server.received <= 10 * CONTROL_BURST, "a pong has six bytes"


@pytest.mark.parametrize(
    "piece", [frame(TEXT, b"{}"), frame(TEXT & 0x7F, b"") + frame(CONTINUED, b"") * 9 + frame(LAST, b"x")]
)
async def test_a_flood_of_crumbs_ends_the_connection(piece: bytes) -> None:
    async with connected(piece * 200_000) as (_, socket), asyncio.timeout(60):
        assert await _read_all(socket) <= SMALL_BURST * 1.1 + 50


async def test_a_long_answer_that_comes_at_once_is_taken() -> None:
    """A minute and a half of sound in pieces of 20 ms, its words one by one, and a ping now and then."""
    words = frame(TEXT, json.dumps({"type": "response.output_audio_transcript.delta", "e": "x" * 150}).encode())
    sent = frame(TEXT, b"x" * 1500) * 4500 + words * 2000 + frame(PING, b"") * 10
    async with connected(sent) as (_, socket), asyncio.timeout(60):
        for _ in range(6500):
            await socket.recv()


async def test_a_message_that_is_too_large_ends_the_connection() -> None:
    large = bytes([TEXT, 127]) + (MOST_MESSAGE_BYTES + 1).to_bytes(8, "big")
    async with connected(large + bytes(1000)) as (_, socket), asyncio.timeout(60):
        assert await _read_all(socket) == 0


async def test_no_redirect_is_followed() -> None:
    asked: list[bytes] = []

    async def elsewhere(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        writer.close()

    async with await asyncio.start_server(elsewhere, "127.0.0.1", 0) as other:
        there = f"ws://127.0.0.1:{other.sockets[0].getsockname()[1]}/latest/meta-data"

        async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(f"HTTP/1.1 302 Found\r\nLocation: {there}\r\nContent-Length: 0\r\n\r\n".encode())
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(redirect, "127.0.0.1", 0) as server:
            with pytest.raises(InvalidStatus):
                await BoundedConnect(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    assert not asked


@pytest.mark.parametrize(
    "message", ["[" * 100_000, "[" + "0," * 100_000 + "0]", '{"a":' * 5000, "{" + '"a":{},' * 50_000 + "}", "no JSON"]
)
def test_a_message_that_costs_much_is_refused(message: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_message(message)


def test_a_long_string_is_read() -> None:
    assert parse_message(json.dumps({"delta": "A" * 1_000_000}))["delta"] == "A" * 1_000_000

"""Hostile clients over HTTP: well-formed requests, frames and sessions in floods, and a server that answers endlessly.

Each function attacks a server's URL for some seconds, runs in a process of its own, and returns how often the server
answered in which way: statuses by their numbers, and ``closed`` connections.
"""

import asyncio
import base64
import contextlib
import json
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from urllib.parse import parse_qs, urldefrag, urlsplit

from aiortc import RTCConfiguration, RTCPeerConnection

from benchmarks.served import fetch

PINGS_BYTES_PER_S = 1_000_000
PREVIEWS_PER_S, PEERS_PER_S, SAYS_PER_S = 500, 200, 200
HEALTH_PER_S, GUESSES_PER_S = 1000, 1000
_CONNECTIONS = 16
_TICK_S = 0.02
_PING = bytes((0x89, 0x80)) + bytes(4)
_RECONNECT_S = 0.5
_STREAMS_EVERY_S = 1.0
_PIECE = b"x" * 65536

Told = dict[str, int]


def ping(url: str, seconds: float) -> Told:
    """Send a megabyte of empty pings a second on the audio socket of a session; connect again when it is closed."""
    return asyncio.run(_ping(url, seconds))


def fetch_previews(url: str, seconds: float) -> Told:
    """Ask for ``PREVIEWS_PER_S`` previews a second on a few connections."""
    url, join = _join_of(url)
    avatar = json.loads(fetch(f"{url}/api/avatars", headers=_bearer(join))[2])[0]["id"]
    path = f"/api/avatars/{avatar}/preview"
    return asyncio.run(_requests(url, seconds, PREVIEWS_PER_S, lambda: ("GET", path, b""), join))


def ask_health(url: str, seconds: float) -> Told:
    """Ask for ``HEALTH_PER_S`` health checks a second, without a token."""
    return asyncio.run(_requests(_join_of(url)[0], seconds, HEALTH_PER_S, lambda: ("GET", "/healthz", b"")))


def guess_tokens(url: str, seconds: float) -> Told:
    """Try ``GUESSES_PER_S`` tokens a second."""
    guess = "a guess at a token"
    return asyncio.run(
        _requests(_join_of(url)[0], seconds, GUESSES_PER_S, lambda: ("GET", "/api/sessions", b""), guess)
    )


def offer_peers(url: str, seconds: float) -> Told:
    """Make ``PEERS_PER_S`` offers a second to one session, and connect by none of the answers."""
    with _session(url) as (session, token):
        body = json.dumps({"sdp": asyncio.run(_offer()), "type": "offer"}).encode()
        path = urlsplit(session).path
        return asyncio.run(_requests(url, seconds, PEERS_PER_S, lambda: ("POST", f"{path}/peer", body), token))


def say_often(url: str, seconds: float) -> Told:
    """Have one session say a word ``SAYS_PER_S`` times a second."""
    with _session(url) as (session, token):
        path, body = urlsplit(session).path, json.dumps({"text": "One. Two."}).encode()
        return asyncio.run(_requests(url, seconds, SAYS_PER_S, lambda: ("POST", f"{path}/say", body), token))


def hog_sessions(url: str, seconds: float) -> Told:
    """Begin sessions with one join token, and hold each by a socket that is silent.

    Returns:
        The statuses, and as ``held`` the number of sessions held in the end.
    """
    return asyncio.run(_hog(url, seconds))


def answer_without_end(url: str, seconds: float) -> Told:
    """Be a WHIP server that answers each offer without an end, and have a session streamed there again and again."""
    return asyncio.run(_answer_without_end(url, seconds))


def _join_of(url: str) -> tuple[str, str]:
    """Return a URL without its fragment, and the join token in that; empty without one."""
    url, fragment = urldefrag(url)
    return url, parse_qs(fragment).get("join", [""])[0]


def _bearer(token: str) -> dict[str, str] | None:
    return {"Authorization": f"Bearer {token}"} if token else None


@contextlib.contextmanager
def _session(url: str) -> Iterator[tuple[str, str]]:
    """Begin a session and end it at the end of the block; yield its URL and its token, which is empty without keys."""
    url, join = _join_of(url)
    status, _, answer = fetch(f"{url}/api/sessions", {}, headers=_bearer(join))
    if status != 201:
        raise RuntimeError(f"{status}: {answer.decode()}")
    session = url + json.loads(answer)["urls"]["self"]
    token = json.loads(answer)["token"] if join else ""
    try:
        yield session, token
    finally:
        fetch(session, method="DELETE", headers=_bearer(token))


async def _offer() -> str:
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    for kind in ("audio", "video"):
        connection.addTransceiver(kind, direction="recvonly")
    await connection.setLocalDescription(await connection.createOffer())
    sdp: str = connection.localDescription.sdp
    await connection.close()
    return sdp


async def _requests(
    url: str, seconds: float, per_s: float, request: Callable[[], tuple[str, str, bytes]], token: str = ""
) -> Told:
    """Send requests at a rate on :data:`_CONNECTIONS` connections; an answer that is late delays its connection."""
    told: Counter[str] = Counter()
    end_s = time.monotonic() + seconds
    await asyncio.gather(
        *(_request_again(url, end_s, per_s / _CONNECTIONS, request, token, told) for _ in range(_CONNECTIONS))
    )
    return dict(told)


async def _request_again(
    url: str, end_s: float, per_s: float, request: Callable[[], tuple[str, str, bytes]], token: str, told: Counter[str]
) -> None:
    where = urlsplit(url)
    allowed = f"Authorization: Bearer {token}\r\n" if token else ""
    due_s = time.monotonic()
    while time.monotonic() < end_s:
        try:
            reader, writer = await asyncio.open_connection(where.hostname, where.port)
            while time.monotonic() < end_s:
                method, path, body = request()
                head = f"{method} {path} HTTP/1.1\r\nHost: {where.netloc}\r\nContent-Type: application/json\r\n"
                writer.write(f"{head}{allowed}Content-Length: {len(body)}\r\n\r\n".encode() + body)
                told[await _status(reader)] += 1
                due_s = max(due_s + 1 / per_s, time.monotonic() - 1)
                await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            writer.close()
        except (OSError, asyncio.IncompleteReadError):
            told["closed"] += 1
            await asyncio.sleep(_RECONNECT_S)


async def _status(reader: asyncio.StreamReader) -> str:
    """Read an answer; return its status."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
    await reader.readexactly(int(length or 0))
    return head.split()[1].decode()


@contextlib.asynccontextmanager
async def _socket(url: str, token: str = "") -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Open a session's audio socket.

    Raises:
        OSError: If the server refuses.
    """
    where = urlsplit(url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    key = base64.b64encode(os.urandom(16)).decode()
    head = f"GET {where.path}/audio HTTP/1.1\r\nHost: {where.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    allowed = f"Authorization: Bearer {token}\r\n" if token else ""
    writer.write(f"{head}{allowed}Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
    try:
        if b" 101 " not in (await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")[0] + b" ":
            raise ConnectionRefusedError
        yield reader, writer
    finally:
        writer.transport.abort()


async def _ping(url: str, seconds: float) -> Told:
    told: Counter[str] = Counter()
    end_s = time.monotonic() + seconds
    session = ""
    while time.monotonic() < end_s:
        try:
            if not session or (await asyncio.to_thread(fetch, session))[0] != 200:
                status, _, answer = await asyncio.to_thread(fetch, f"{url}/api/sessions", {})
                told[str(status)] += 1
                session = url + json.loads(answer)["urls"]["self"] if status == 201 else ""
            if session:
                async with _socket(session) as (reader, writer):
                    reading = asyncio.create_task(_read_all(reader))
                    while time.monotonic() < end_s and not reading.done():
                        writer.write(_PING * int(PINGS_BYTES_PER_S * _TICK_S / len(_PING)))
                        await writer.drain()
                        await asyncio.sleep(_TICK_S)
                    told["closed"] += reading.done()
                    reading.cancel()
        except (OSError, asyncio.IncompleteReadError):
            told["closed"] += 1
        await asyncio.sleep(_RECONNECT_S)
    if session:
        await asyncio.to_thread(fetch, session, None, "DELETE")
    return dict(told)


async def _read_all(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(OSError):
        while await reader.read(65536):
            pass


async def _hog(url: str, seconds: float) -> Told:
    url, join = _join_of(url)
    told: Counter[str] = Counter()
    end_s = time.monotonic() + seconds
    async with contextlib.AsyncExitStack() as stack:
        held: list[asyncio.StreamReader] = []
        while time.monotonic() < end_s:
            status, _, answer = await asyncio.to_thread(fetch, f"{url}/api/sessions", {}, headers=_bearer(join))
            told[str(status)] += 1
            if status == 201:
                made = json.loads(answer)
                session = url + made["urls"]["self"]
                with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                    reader, _ = await stack.enter_async_context(_socket(session, made["token"] if join else ""))
                    held.append(reader)
            await asyncio.sleep(_TICK_S * 5)
        told["held"] = sum(not reader.at_eof() for reader in held)
    return dict(told)


async def _answer_without_end(url: str, seconds: float) -> Told:
    told: Counter[str] = Counter()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            told["offers"] += 1
            writer.write(b"HTTP/1.1 201 Created\r\nContent-Type: application/sdp\r\n\r\n")
            while True:
                writer.write(_PIECE)
                await writer.drain()
        told["closed"] += 1
        writer.transport.abort()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    target = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/whip"
    end_s = time.monotonic() + seconds
    with _session(url) as (session, _):
        streams = f"{session}/streams"
        while time.monotonic() < end_s:
            status, _, made = await asyncio.to_thread(fetch, streams, {"url": target})
            told[str(status)] += 1
            await asyncio.sleep(_STREAMS_EVERY_S)
            if status == 201:
                await asyncio.to_thread(fetch, f"{streams}/{json.loads(made)['id']}", None, "DELETE")
    server.close()
    return dict(told)


WITH_KEYS = (fetch_previews, offer_peers, say_often, ask_health, guess_tokens, hog_sessions)
"""Attacks on a server with API keys: without them, a server of one machine does not limit that machine's requests."""
HTTP_ATTACKS = (ping, *WITH_KEYS, answer_without_end)

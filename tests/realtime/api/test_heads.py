"""Heads of requests: whatever they hold, the answer is below 500 and nothing is logged."""

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.types import Message, Receive, Scope, Send

from lipstream.realtime.api.http_server import HttpServer, server_config
from lipstream.realtime.api.request_filter import RequestFilter
from lipstream.realtime.api.request_guard import RequestGuard
from lipstream.realtime.api.request_limits import OF_ADDRESS, Cost, Identity
from lipstream.realtime.settings import Settings
from tests.server_process import free_port

WAIT_S = 60.0
PIECES = st.sampled_from(
    ["http://", "https://", "ftp://", "//", "[", "]", "::1", "127.0.0.1", "localhost", ":", ":80", ":99999", "@", "x",
     "?", "#", "/", "\\", "%", "%00", "null", "é", "\x80", " ", ",", ".", "*", "0x7f.1", "2130706433",
     "[::ffff:1.2.3.4]"]
)  # fmt: skip
VALUES = st.lists(PIECES | st.text(max_size=5), max_size=6).map("".join)
NAMES = st.sampled_from(
    ["host", "origin", "content-length", "transfer-encoding", "authorization", "access-control-request-method",
     "if-none-match", "x-forwarded-for", "content-type", "sec-websocket-protocol", "cookie"]
)  # fmt: skip


async def application(_: Scope, __: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def answer_to(headers: list[tuple[str, str]], *, scheme: str = "http", **settings: Any) -> tuple[int, dict[str, str]]:
    """Return status and headers of the answer to a request that reaches the filter."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {
        "type": "http", "method": "GET", "path": "/", "scheme": scheme, "client": ("192.0.2.1", 1), "query_string": b"",
        "headers": [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers],
    }  # fmt: skip
    filtered = RequestFilter(application, Settings(**settings))
    asyncio.run(filtered(scope, receive, send))
    found = {name.decode().lower(): value.decode("latin-1") for name, value in sent[0]["headers"]}
    return sent[0]["status"], found


@given(st.lists(st.tuples(NAMES, VALUES), max_size=6), st.booleans(), st.booleans())
@example([("host", "localhost"), ("origin", "http://[")], False, False)
@example([("host", "localhost"), ("origin", "http://[::1")], True, True)
@example([("host", "[::1")], False, False)
@example([("host", "localhost"), ("content-length", "²")], False, False)
@example([("host", "localhost"), ("content-length", "9" * 4400)], False, False)
def test_any_head_is_answered_below_500(headers: list[tuple[str, str]], secure: bool, others: bool) -> None:
    allowed = {"allowed_origins": ("https://app.example",)} if others else {}
    status, found = answer_to(headers, scheme="https" if secure else "http", **allowed)
    assert status in (200, 400, 403, 413)
    assert "default-src 'none'" in found["content-security-policy"]


@pytest.mark.parametrize(
    ("host", "origin", "scheme", "status"),
    [
        ("localhost", "http://localhost", "http", 200),
        ("localhost", "https://localhost", "http", 200),  # behind a proxy that does not say how its client came
        ("localhost", "https://localhost", "https", 200),
        ("localhost", "http://localhost", "https", 403),
        ("localhost", "ftp://localhost", "http", 403),
        ("localhost", "//localhost", "http", 403),
        ("localhost", "http://localhost/", "http", 403),
        ("localhost", "http://user@localhost", "http", 403),
        ("evil@127.0.0.1", None, "http", 403),
        ("127.0.0.1:8080", None, "http", 200),
        ("127.0.0.1:", None, "http", 200),
        ("127.0.0.1:80:80", None, "http", 403),
        ("127.0.0.1/x", None, "http", 403),
        ("[::1]:8080", None, "http", 200),
        ("[::1]x", None, "http", 403),
        ("[localhost]", None, "http", 403),
        ("LOCALHOST", "HTTP://localhost", "http", 200),
    ],
)
def test_host_and_origin_are_what_browsers_send(host: str, origin: str | None, scheme: str, status: int) -> None:
    headers = [("host", host), *([("origin", origin)] if origin else [])]
    assert answer_to(headers, scheme=scheme)[0] == status


def test_https_is_kept_to_and_other_sites_are_kept_apart() -> None:
    plain, secure = answer_to([("host", "localhost")])[1], answer_to([("host", "localhost")], scheme="https")[1]
    assert "strict-transport-security" not in plain
    assert secure["strict-transport-security"] == "max-age=31536000"
    for found in (plain, secure):
        assert found["cross-origin-opener-policy"] == found["cross-origin-resource-policy"] == "same-origin"


@contextlib.asynccontextmanager
async def serving(*, guard: RequestGuard | None = None) -> AsyncIterator[HttpServer]:
    """Serve the filter over real sockets."""
    settings = Settings(port=free_port())
    server = HttpServer(server_config(RequestFilter(application, settings, guard), settings, lifespan="off"))
    task = asyncio.create_task(server._serve())
    async with asyncio.timeout(WAIT_S):
        while not server.started:
            await asyncio.sleep(0.01)
    try:
        yield server
    finally:
        server.should_exit = True
        await task


async def exchange(server: HttpServer, request: bytes) -> bytes:
    """Send bytes and the end; return all that comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.config.port)
    with contextlib.suppress(ConnectionError):
        writer.write(request)
        writer.write_eof()
        async with asyncio.timeout(WAIT_S):
            return await reader.read()
    writer.close()
    return b""


async def test_a_body_whose_length_is_said_twice_is_refused_and_ends_the_connection() -> None:
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with serving() as server:
        answer = await exchange(server, head + b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400")
    assert answer.count(b"HTTP/1.1") == 1


async def test_mutated_heads_end_in_an_answer_and_leave_the_log_empty(caplog: pytest.LogCaptureFixture) -> None:
    whole = (
        b"POST /api/sessions HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://127.0.0.1\r\nContent-Length: 2\r\n"
        b"Authorization: Bearer x\r\nContent-Type: application/json\r\n\r\n{}"
    )
    random_ = random.Random(21)
    fragments = [
        b"\r\n",
        b"\0",
        b"[",
        b"]",
        b"://",
        b"@",
        b":",
        b"\xff",
        b" ",
        b"Host: evil\r\n",
        b"Origin: http://[\r\n",
    ]
    statuses = set()
    with caplog.at_level(logging.WARNING):
        async with serving() as server:
            for _ in range(150):
                request = bytearray(whole)
                for _ in range(random_.randint(1, 4)):
                    at = random_.randrange(len(request))
                    request[at : at + random_.randint(0, 3)] = random_.choice(fragments)
                answer = await exchange(server, bytes(request))
                statuses.add(answer[9:12])
    assert statuses <= {b"", b"200", b"400", b"403", b"404", b"413", b"431"}
    assert {b"200", b"400", b"403"} <= statuses
    assert not [record for record in caplog.records if record.exc_info]


async def test_pipelined_requests_are_bounded() -> None:
    """A connection that sends a thousand requests without waiting gets its burst, then one answer after the other."""
    guard = RequestGuard(lambda _: Identity("open"), delay_s=WAIT_S)
    burst = int(OF_ADDRESS[Cost.LIGHT].burst)
    async with serving(guard=guard) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.config.port)
        begun_s = asyncio.get_running_loop().time()
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 5000)
        received = b""
        async with asyncio.timeout(WAIT_S):
            while not guard._waiting:
                received += await reader.read(1 << 16)
        seconds = asyncio.get_running_loop().time() - begun_s
        answered = received.count(b"HTTP/1.1 200")
        assert answered >= burst / 2  # some are on their way
        assert answered <= burst + OF_ADDRESS[Cost.LIGHT].per_second * seconds + 1
        assert guard._waiting.total() == 1
        writer.close()

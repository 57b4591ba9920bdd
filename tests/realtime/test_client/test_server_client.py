"""What a client of a server's routes makes of its answers, and of none."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from lipstream.realtime.test_client.server_client import RefusedError, ServerClient, UnreachableError
from tests.server_process import free_port


@asynccontextmanager
async def answering(answer: bytes | None) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Serve one answer to every request, or none for ``None``; yield the address and the requests that came."""
    requests: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.read(4096))
        if answer is None:
            await reader.read()
        else:
            writer.write(answer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}", requests
    finally:
        server.close()


def http(status: str, body: bytes = b"") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body


async def test_an_answer_is_its_json_and_an_empty_one_none() -> None:
    async with answering(http("200 OK", b'{"a": 1}')) as (url, requests):
        assert await ServerClient(url, token="secret").ask("/x", method="POST", body={}) == {"a": 1}
    assert requests[0].startswith(b"POST /x HTTP/1.1")
    assert b"authorization: bearer secret" in requests[0].lower()
    assert b"content-type: application/json" in requests[0].lower()
    async with answering(http("204 No Content")) as (url, requests):
        assert await ServerClient(url).ask("/x", method="DELETE") is None
    assert b"authorization" not in requests[0].lower()


@pytest.mark.parametrize(
    ("body", "message", "reason"),
    [
        ({"error": {"code": "unavailable", "message": "the server is full", "reason": "full"}}, "is full", "full"),
        ({"reason": "warming"}, "status 503", "warming"),
        (["?"], "status 503", ""),
        ({"error": "?"}, "status 503", ""),
    ],
)
async def test_a_refusal_has_status_message_and_reason(body: object, message: str, reason: str) -> None:
    async with answering(http("503 Service Unavailable", json.dumps(body).encode())) as (url, _):
        with pytest.raises(RefusedError, match=message) as refused:
            await ServerClient(url).ask("/x")
    assert (refused.value.answer_status, refused.value.reason) == (503, reason)


async def test_no_answer_is_one_sentence() -> None:
    for host in ("127.0.0.1", "localhost"):
        with pytest.raises(UnreachableError, match=r"^Connection refused$"):
            await ServerClient(f"http://{host}:{free_port()}").ask("/x")
    async with answering(None) as (url, _):
        with pytest.raises(UnreachableError, match=r"^no answer within 0.2 s$"):
            await ServerClient(url, timeout_s=0.2).ask("/x")
    async with answering(b"") as (url, _):
        with pytest.raises(UnreachableError, match=r"without sending a response$"):
            await ServerClient(url).ask("/x")
    async with answering(http("200 OK", b"<html>")) as (url, _):
        with pytest.raises(UnreachableError, match="not JSON"):
            await ServerClient(url).ask("/x")
    async with answering(b"HTTP/1.1 400 Bad Request\r\n\r\n") as (url, _):
        with pytest.raises(UnreachableError, match="SSL"):
            await ServerClient(url.replace("http:", "https:")).ask("/x")


@pytest.mark.parametrize("url", ["ftp://there", "http://", "http://[::1", "http://there:99999", "http://there:x"])
def test_what_is_no_address_is_said(url: str) -> None:
    with pytest.raises(UnreachableError, match="is no http or https address"):
        ServerClient(url)

"""Forwards one request to one worker, and what comes back."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Any
from urllib.parse import urlsplit

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets import ConnectionClosed, InvalidHandshake, InvalidStatus, Subprotocol
from websockets.asyncio.client import ClientConnection, connect

from lipstream.realtime.api.http_server import WEBSOCKET_FRAME_BYTES
from lipstream.realtime.session.cluster_secret import ClusterSecret
from lipstream.realtime.wire.answers import RecordingListAnswer
from lipstream.realtime.wire.authorities import authorities
from lipstream.realtime.wire.cluster_messages import CLIENT_HEADER, SECRET_HEADER

CONNECT_S = 1.0
"""Time for a worker to take a connection; it is in the same network."""
_ANSWER_S = 60.0
"""Time for an answer to begin; an avatar is waited for."""
_KEPT_S = 2.0
"""Time for which an unused connection is kept: less than a worker keeps it, so that no request meets a closing one."""
_ONE_HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"}
    | {b"host", b"origin", b"expect", b"x-forwarded-for", b"x-forwarded-proto", b"forwarded"}
    | {SECRET_HEADER.encode(), CLIENT_HEADER.encode()}
)
"""Headers of a request that end here: those of a connection (RFC 9110, section 7.6.1), and those that were checked."""
_NOT_BACK = frozenset({"connection", "keep-alive", "transfer-encoding", "date", "server"})
_OF_HANDSHAKE = (b"sec-websocket-", b"host")
_GONE = 1001


class UnreachableError(Exception):
    """A worker did not answer; whether it took the request is not known.

    Attributes:
        is_gone: Whether nothing listens at its address. All else may be the fault of one request, and must not take
            the worker from others.
    """

    def __init__(self, *, is_gone: bool) -> None:
        super().__init__()
        self.is_gone = is_gone


class Forwarder:
    """Speaks to workers.

    Args:
        secret: Secret of the cluster, from which what proves an ingress is derived.
    """

    def __init__(self, secret: ClusterSecret) -> None:
        self._secret = secret
        timeout = httpx.Timeout(_ANSWER_S, connect=CONNECT_S)
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=256, keepalive_expiry=_KEPT_S)
        self.client = httpx.AsyncClient(timeout=timeout, limits=limits, verify=authorities(), trust_env=False)
        self._awaited: dict[str, set[asyncio.Task[httpx.Response]]] = {}

    async def close(self) -> None:
        """Close the connections."""
        await self.client.aclose()

    def own_headers(self) -> dict[str, str]:
        """Return the headers of a request of the ingress's own. The host is one that every server answers to."""
        return {SECRET_HEADER: self._secret.for_itself, "host": "localhost"}

    async def send(
        self, request: Request, url: str, *, body: bytes | None = None, query: str | None = None
    ) -> httpx.Response:
        """Send a client's request to a worker; return the answer, whose body is not read yet.

        Args:
            url: Address of the worker.
            body: Body of the request; ``None`` passes on what the client sends.
            query: Query of the request; ``None`` passes on that of the client.

        Raises:
            UnreachableError: If no answer comes.
        """
        headers = self._headers(request)
        has_body = "content-length" in request.headers or "transfer-encoding" in request.headers
        target = _target(request) if query is None else f"{request.scope['path']}?{query}".encode()
        content = body if body is not None else request.stream() if has_body else None
        if body is not None:
            headers = [(name, value) for name, value in headers if name != b"content-length"]
        timeout = (
            httpx.Timeout(None, connect=CONNECT_S) if request.url.path.endswith("/events") else httpx.USE_CLIENT_DEFAULT
        )
        sent = self.client.build_request(
            request.method, url, headers=headers, content=content, timeout=timeout, extensions={"target": target}
        )
        answer = asyncio.create_task(self.client.send(sent, stream=True))
        awaited = self._awaited.setdefault(url, set())
        awaited.add(answer)
        try:
            await asyncio.wait([answer])
            return answer.result()
        except httpx.TransportError as error:
            raise _unreachable(error) from error
        except asyncio.CancelledError:
            if not answer.cancelled():
                answer.cancel()
                raise
            raise UnreachableError(is_gone=True) from None
        finally:
            awaited.discard(answer)

    def give_up(self, url: str) -> None:
        """Await no answer any more of a worker that is silent: nothing ends its connections."""
        for answer in self._awaited.pop(url, ()):
            answer.cancel()

    async def ask(self, request: Request, url: str, *, query: str | None = None) -> httpx.Response:
        """Send a client's request without a body to a worker; return the whole answer.

        Raises:
            UnreachableError: If no answer comes.
        """
        answer = await self.send(request, url, body=b"", query=query)
        try:
            await answer.aread()
        except httpx.TransportError as error:
            raise _unreachable(error) from error
        finally:
            await answer.aclose()
        return answer

    async def order(self, method: str, url: str, **more: object) -> httpx.Response:
        """Send a request of the ingress's own; return the whole answer.

        Raises:
            UnreachableError: If no answer comes.
        """
        try:
            return await self.client.request(method, url, headers=self.own_headers(), **more)  # type: ignore[arg-type]
        except httpx.TransportError as error:
            raise _unreachable(error) from error

    async def pipe(self, socket: WebSocket, url: str) -> None:
        """Join a client's WebSocket with one to a worker until either ends.

        Raises:
            UnreachableError: If the worker cannot be reached.
        """
        parts = urlsplit(url)
        secure = parts.scheme == "https"
        path = _target(socket).decode("latin-1").replace("#", "%23")
        target = f"{'wss' if secure else 'ws'}://localhost{path}"
        headers = [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in self._headers(socket)
            if not name.startswith(_OF_HANDSHAKE)
        ]
        offered = [Subprotocol(name) for name in socket.scope.get("subprotocols", [])]
        place: dict[str, Any] = {"host": parts.hostname, "port": parts.port or (443 if secure else 80)}
        if secure:
            place["server_hostname"] = parts.hostname
        try:
            worker = await connect(
                target, **place, additional_headers=headers, subprotocols=offered or None, compression=None,
                max_size=WEBSOCKET_FRAME_BYTES, open_timeout=_ANSWER_S, proxy=None,
            )  # fmt: skip
        except InvalidStatus as refusal:
            answer = refusal.response
            kept = {name: value for name, value in answer.headers.raw_items() if name.lower() not in _NOT_BACK}
            kept.pop("content-length", None)
            await socket.send_denial_response(Response(bytes(answer.body or b""), answer.status_code, kept))
            return
        except (OSError, InvalidHandshake, TimeoutError) as error:
            raise UnreachableError(is_gone=isinstance(error, ConnectionRefusedError)) from error
        try:
            await socket.accept(worker.subprotocol)
            await _join(socket, worker)
        finally:
            await worker.close()

    def _headers(self, request: Request | WebSocket) -> list[tuple[bytes, bytes]]:
        client = request.client.host if request.client else ""
        own = ((SECRET_HEADER, self._secret.for_client), (CLIENT_HEADER, client), ("host", "localhost"))
        kept = [(name, value) for name, value in request.headers.raw if name not in _ONE_HOP]
        return [*kept, *((name.encode(), value.encode()) for name, value in own)]


def answer_with(answer: httpx.Response) -> StreamingResponse:
    """Return an answer of a worker as the ingress's own; its body is passed on as it comes."""

    async def body() -> AsyncIterator[bytes]:
        try:
            with contextlib.suppress(httpx.TransportError):  # the client sees a body that is too short
                async for piece in answer.aiter_raw():
                    yield piece
        finally:
            await answer.aclose()

    back = StreamingResponse(body(), answer.status_code)
    back.raw_headers = _back(answer.headers.raw)
    return back


def whole_answer(answer: httpx.Response) -> Response:
    """Return an answer of a worker that was read whole as the ingress's own."""
    back = Response(answer.content, answer.status_code)
    coded = {b"content-encoding", b"content-length"}
    back.raw_headers += [(name, value) for name, value in _back(answer.headers.raw) if name.lower() not in coded]
    return back


def merged_list(answers: Iterable[httpx.Response]) -> JSONResponse:
    """Return the lists of several workers as one, by their items' ids; the first answer of an id counts."""
    items: dict[str, object] = {}
    for answer in answers:
        for item in answer.json():
            items.setdefault(item["id"], item)
    return JSONResponse([items[name] for name in sorted(items)], headers={"Cache-Control": "private, no-cache"})


def merged_recordings(answers: Iterable[httpx.Response], *, limit: int, offset: int) -> JSONResponse:
    """Return the recordings of several workers as one list, the latest first, without the first ``offset``.

    Args:
        answers: Responses of workers that were each asked for their first ``offset + limit``.
    """
    lists: list[RecordingListAnswer] = [answer.json() for answer in answers]
    every = sorted(
        (one for listed in lists for one in listed["recordings"]), key=lambda one: one["changed"], reverse=True
    )
    return JSONResponse(
        RecordingListAnswer(
            count=sum(listed["count"] for listed in lists),
            bytes=sum(listed["bytes"] for listed in lists),
            recordings=every[offset : offset + limit],
        )
    )


def _back(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [(name.lower(), value) for name, value in headers if name.decode("latin-1").lower() not in _NOT_BACK]


def _unreachable(error: httpx.TransportError) -> UnreachableError:
    return UnreachableError(is_gone=isinstance(error, httpx.ConnectError | httpx.ConnectTimeout))


def _target(request: Request | WebSocket) -> bytes:
    """Return path and query, byte for byte as the client sent them."""
    path: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    query: bytes = request.scope["query_string"]
    return path + b"?" + query if query else path


async def _join(socket: WebSocket, worker: ClientConnection) -> None:
    """Pass messages both ways until one end closes; then close the other with the same code."""
    tasks = [asyncio.create_task(_to_worker(socket, worker)), asyncio.create_task(_to_client(socket, worker))]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    code = worker.close_code
    known = code is not None and code not in (1005, 1006)
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # the client has hung up already
        await socket.close(code if known and code is not None else _GONE, worker.close_reason or "")


async def _to_worker(socket: WebSocket, worker: ClientConnection) -> None:
    with contextlib.suppress(ConnectionClosed):
        while (message := await socket.receive())["type"] == "websocket.receive":
            data = message.get("bytes")
            await worker.send(data if data is not None else message["text"])


async def _to_client(socket: WebSocket, worker: ClientConnection) -> None:
    with contextlib.suppress(ConnectionClosed, WebSocketDisconnect, RuntimeError):
        async for message in worker:
            await (socket.send_bytes(message) if isinstance(message, bytes) else socket.send_text(message))

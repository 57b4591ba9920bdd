"""Filters every request by ``Host``, ``Origin`` and size, and adds the security headers to every answer.

A page of another site must not reach a server on this machine. Browsers send ``Origin`` with such requests. A foreign
name that resolves to this machine (DNS rebinding) shows in ``Host``. IP addresses as ``Host`` are always accepted,
since they cannot be rebound.
"""

import ipaddress
import json
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lipstream.realtime.errors import BadRequestError, ForbiddenError, LipstreamError, TooLargeError
from lipstream.realtime.settings import Settings
from lipstream.realtime.wire.answers import ErrorAnswer, ErrorBody

MAX_BODY_BYTES = 128 * 1024
_UPLOADS = ("POST", "/api/avatars")

_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _CONTENT_SECURITY_POLICY,
    "Permissions-Policy": "microphone=(self), camera=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class RequestFilter:
    """ASGI middleware in front of every route."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._upload_bytes = (settings.upload_mb << 20) + MAX_BODY_BYTES
        self._origins = frozenset(origin.lower() for origin in settings.allowed_origins)
        self._names = {"localhost", settings.host.lower(), *(name.lower() for name in settings.allowed_hosts)}
        self._checked: ASGIApp = self._bounded
        if self._origins:  # around the bounds, so that the page of an allowed site can read a refusal of its body
            self._checked = CORSMiddleware(
                self._bounded,
                allow_origins=self._origins,
                allow_methods=("DELETE", "GET", "HEAD", "PATCH", "POST"),
                allow_headers=("Authorization", "Content-Type", "If-Match"),
                expose_headers=("ETag", "Link", "Location", "Retry-After", "WWW-Authenticate"),
            )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request to the application, or answer it with 400, 403 or 413."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            self._check(Headers(scope=scope))
        except ForbiddenError as error:
            await _refuse(scope, error, send_with_headers)
        else:
            await self._checked(scope, receive, send_with_headers)

    async def _bounded(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request to the application if its body is within the limit."""
        uploads = (scope.get("method"), scope["path"]) == _UPLOADS
        body = _Body(receive, self._upload_bytes if uploads else MAX_BODY_BYTES)

        async def send_within_bounds(message: Message) -> None:
            if not body.is_over:  # otherwise the refusal replaces the answer of the route
                await send(message)

        try:
            body.check_length(Headers(scope=scope).get("content-length", "0"))
            await self._app(scope, body.receive, send_within_bounds)
            if body.is_over:
                raise body.too_large()
        except (BadRequestError, TooLargeError) as error:
            await _refuse(scope, error, send)

    def _check(self, headers: Headers) -> None:
        host = headers.get("host", "")
        name = _host_name(host)
        if not name or (name not in self._names and not _is_address(name)):
            raise ForbiddenError(f"this server does not answer to the host {host!r}")
        origin = headers.get("origin")
        if origin is not None and _authority(origin) != host.lower() and origin.lower() not in self._origins:
            raise ForbiddenError(f"requests from the origin {origin!r} are not taken")


def _host_name(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _authority(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class _Body:
    """Counts the received bytes of a body, since the announced length may be missing or wrong."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive, self._limit = receive, limit
        self.received = 0

    def check_length(self, announced: str) -> None:
        if not announced.isdecimal():
            raise BadRequestError("Content-Length is not a number")
        if int(announced) > self._limit:
            raise self.too_large()

    def too_large(self) -> TooLargeError:
        return TooLargeError(f"the body is over {self._limit:,} bytes")

    async def receive(self) -> Message:
        message = await self._receive()
        self.received += len(message.get("body", b""))
        if self.is_over:
            raise self.too_large()
        return message

    @property
    def is_over(self) -> bool:
        return self.received > self._limit


async def _refuse(scope: Scope, error: LipstreamError, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": error.message})
        return
    body = json.dumps(ErrorAnswer(error=ErrorBody(code=error.code, message=error.message))).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

"""Filters every request by rate, ``Host``, ``Origin`` and size, and adds the security headers to every answer.

A page of another site must not reach a server on this machine. Browsers send ``Origin`` with such requests. A foreign
name that resolves to this machine (DNS rebinding) shows in ``Host``. IP addresses as ``Host`` are always accepted,
since they cannot be rebound.
"""

import json
import re
from ipaddress import ip_address

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lipstream.realtime.api.request_guard import RequestGuard
from lipstream.realtime.errors import BadRequestError, ForbiddenError, LipstreamError, RateLimitError, TooLargeError
from lipstream.realtime.settings import Settings
from lipstream.realtime.wire.answers import ErrorAnswer, ErrorBody

MAX_BODY_BYTES = 128 * 1024
_LENGTH_DIGITS = 15
_UPLOADS = re.compile(r"POST /api/avatars(/[^/]+/motions)?")

_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors "
)
_HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_ONLY_HTTPS = {"Strict-Transport-Security": "max-age=31536000"}
"""A browser that has once come by https asks by nothing else for a year."""
_HOST = re.compile(r"(?:\[([0-9a-f:.]{2,45})\]|([^\s/?#@\[\]\\:]{1,253}))(?::[0-9]{0,5})?", re.IGNORECASE)
_ORIGIN = re.compile(r"(https?)://([^/?#@\\]+)", re.IGNORECASE)


class RequestFilter:
    """ASGI middleware in front of every route.

    Args:
        guard: The limits on the rate of requests; ``None`` for none.
    """

    def __init__(self, app: ASGIApp, settings: Settings, guard: RequestGuard | None = None) -> None:
        self._app, self._guard = app, guard
        self._upload_bytes = (settings.upload_mb << 20) + MAX_BODY_BYTES
        self._origins = frozenset(origin.lower() for origin in settings.allowed_origins)
        policy = _CONTENT_SECURITY_POLICY + (" ".join(settings.frame_ancestors) or "'none'")
        self._headers = {**_HEADERS, "Content-Security-Policy": policy}
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
        """Pass a request to the application, or answer it with 400, 403, 413 or 429."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in (self._headers | _ONLY_HTTPS if is_secure else self._headers).items():
                    headers.setdefault(name, value)
            await send(message)

        is_secure = scope["scheme"] in ("https", "wss")
        try:
            self._check(Headers(scope=scope), is_secure=is_secure)
        except ForbiddenError as error:
            await _refuse(scope, await self._too_many(scope) or error, send_with_headers)
            return
        if scope.get("method") == "OPTIONS" and (refusal := await self._too_many(scope)):  # CORS answers some of them
            await _refuse(scope, refusal, send_with_headers)
        else:
            await self._checked(scope, receive, send_with_headers)

    async def _too_many(self, scope: Scope) -> RateLimitError | None:
        return await self._guard.refusal(scope) if self._guard else None

    async def _bounded(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request to the application if the caller may send one and its body is within the limit."""
        if scope.get("method") != "OPTIONS" and (refusal := await self._too_many(scope)):
            await _refuse(scope, refusal, send)
            return
        uploads = _UPLOADS.fullmatch(f"{scope.get('method')} {scope['path']}")
        body = _Body(receive, self._upload_bytes if uploads else MAX_BODY_BYTES)

        async def send_within_bounds(message: Message) -> None:
            if not body.is_over:  # otherwise the refusal replaces the answer of the route
                await send(message)

        headers = Headers(scope=scope)
        try:
            body.check_length(headers)
            await self._app(scope, body.receive, send_within_bounds)
            if body.is_over:
                raise body.too_large()
        except (BadRequestError, TooLargeError) as error:
            await _refuse(scope, error, send)

    def _check(self, headers: Headers, *, is_secure: bool) -> None:
        host = headers.get("host", "")
        name = _host_name(host)
        if not name or (name not in self._names and not _is_address(name)):
            raise ForbiddenError(f"this server does not answer to the host {host!r}")
        origin = headers.get("origin")
        if origin is not None and not self._is_allowed(origin, host, is_secure=is_secure):
            raise ForbiddenError(f"requests from the origin {origin!r} are not taken")

    def _is_allowed(self, origin: str, host: str, *, is_secure: bool) -> bool:
        """Return whether an origin is the server's own or an allowed one.

        A page that came by http is another origin than the server's https. The reverse is taken for the same, since a
        reverse proxy may not tell that its client came by https.
        """
        if origin.lower() in self._origins:
            return True
        own = _ORIGIN.fullmatch(origin)
        return own is not None and own[2].lower() == host.lower() and not (is_secure and own[1].lower() == "http")


def _host_name(host: str) -> str:
    """Return the name or address of a ``Host`` header; empty if it is none (RFC 9110, section 7.2: no user)."""
    match = _HOST.fullmatch(host)
    return (match[1] or match[2]).lower() if match else ""


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


class _Body:
    """Counts the received bytes of a body, since the announced length may be missing or wrong."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive, self._limit = receive, limit
        self.received = 0

    def check_length(self, headers: Headers) -> None:
        announced = headers.get("content-length", "0")
        if "content-length" in headers and "transfer-encoding" in headers:
            raise BadRequestError("a request has either Content-Length or Transfer-Encoding")
        if not (announced.isascii() and announced.isdecimal() and len(announced) <= _LENGTH_DIGITS):
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
    if isinstance(error, RateLimitError):
        headers.append((b"retry-after", str(error.retry_after_s).encode()))
        if error.at_once:
            headers.append((b"connection", b"close"))
    if isinstance(error, BadRequestError):
        headers.append((b"connection", b"close"))  # where the next request begins is in doubt
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

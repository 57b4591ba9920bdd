"""What a route asks of its caller: FastAPI dependencies, one of which every route of ours but the open ones has.

Without a secret file nothing is asked for; ``realtime.api.request_filter`` still keeps other sites out.
"""

import hmac
import math
import time
from typing import Annotated

from fastapi import Depends, Request, WebSocket
from starlette.requests import HTTPConnection

from lipstream.realtime.api.connections import network_of
from lipstream.realtime.api.tokens import Role, Tokens
from lipstream.realtime.errors import ForbiddenError, NotFoundError, RateLimitError, UnauthorizedError
from lipstream.realtime.rate_limit import RateLimit
from lipstream.realtime.server.sessions import Sessions
from lipstream.realtime.session.session import Session

BURST, PER_SECOND = 10, 1.0
"""New sessions and tokens that one address, or one /64 of IPv6, may ask for, and refused tokens that it may try."""


class Authorization:
    """The server's access rules.

    Args:
        tokens: Its keys.
        limited: Whether callers are limited in how often they ask: not on a machine that nobody else can reach.
    """

    def __init__(self, tokens: Tokens, *, limited: bool) -> None:
        self.tokens = tokens
        self._limited = limited
        self._asked, self._refused = RateLimit(BURST, PER_SECOND), RateLimit(BURST, PER_SECOND)

    def caller(self, request: HTTPConnection) -> Role:
        """Return who asks."""
        return self.tokens.role_of(bearer(request), time.time()) if self.tokens.required else Role.OPERATOR

    def count(self, request: HTTPConnection, caller: Role) -> None:
        """Count a request that costs something.

        Raises:
            RateLimitError: If its caller asks too often.
        """
        if self._limited:
            self._take(self._asked, bearer(request) if caller is Role.OPERATOR else _address(request))

    def refuse(self, request: HTTPConnection, message: str) -> UnauthorizedError:
        """Return the refusal of a token, counted against those who try many.

        Raises:
            RateLimitError: If this one has.
        """
        if self._limited and bearer(request):
            self._take(self._refused, _address(request))
        return UnauthorizedError(message)

    def _take(self, limit: RateLimit, caller: str) -> None:
        if wait_s := limit.take(caller, time.monotonic()):
            raise RateLimitError("too many requests", retry_after_s=math.ceil(wait_s))


def bearer(request: HTTPConnection) -> str:
    """Return the token of ``Authorization: Bearer``, ``""`` if there is none.

    A browser cannot set that header on a WebSocket: it offers the subprotocol ``bearer.TOKEN``.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    offered: list[str] = request.scope.get("subprotocols", [])
    return next((name.removeprefix("bearer.") for name in offered if name.startswith("bearer.")), "")


def _address(request: HTTPConnection) -> str:
    return network_of(request.client.host) if request.client else ""


async def operator(request: Request) -> None:
    """Admit an API key.

    Raises:
        UnauthorizedError: If the caller shows none.
        ForbiddenError: If it shows a join token.
        RateLimitError: If it asks too often.
    """
    authorization: Authorization = request.app.state.authorization
    match authorization.caller(request):
        case Role.NOBODY:
            raise authorization.refuse(request, "this needs an API key")
        case Role.GUEST:
            raise ForbiddenError("this needs an API key: a join token does not open it")


async def guest(request: Request) -> None:
    """Admit an API key or a join token.

    Raises:
        UnauthorizedError: If the caller shows neither.
        RateLimitError: If it asks too often.
    """
    authorization: Authorization = request.app.state.authorization
    if authorization.caller(request) is Role.NOBODY:
        raise authorization.refuse(request, "this needs a join token that has not expired")


async def new_guest(request: Request) -> None:
    """Admit as `guest` does, and count: what is asked for costs something.

    Raises:
        UnauthorizedError: If the caller shows neither key nor token.
        RateLimitError: If it asks too often.
    """
    await guest(request)
    authorization: Authorization = request.app.state.authorization
    authorization.count(request, authorization.caller(request))


async def owner(session_id: str, request: Request) -> Session:
    """Admit an API key or the session's own token; return the session.

    Raises:
        UnauthorizedError: If the caller shows neither; also if there is no such session.
        ForbiddenError: If it shows a join token.
        NotFoundError: If there is no such session, to those who may know.
        RateLimitError: If the caller asks too often.
    """
    return _admit(session_id, request)


async def socket_owner(session_id: str, socket: WebSocket) -> Session:
    """Admit as `owner` does, for a WebSocket.

    Raises:
        LipstreamError: As there.
    """
    return _admit(session_id, socket)


async def viewer(session_id: str, request: Request) -> Session:
    """Admit as `owner` does, and the session's viewer token too.

    Raises:
        LipstreamError: As there.
    """
    return _admit(session_id, request, viewers=True)


async def new_viewer(session_id: str, request: Request) -> None:
    """Admit as `viewer` does, and count: what is asked for costs something.

    Raises:
        LipstreamError: As there.
    """
    await viewer(session_id, request)
    authorization: Authorization = request.app.state.authorization
    authorization.count(request, authorization.caller(request))


def _admit(session_id: str, request: HTTPConnection, *, viewers: bool = False) -> Session:
    authorization: Authorization = request.app.state.authorization
    sessions: Sessions = request.app.state.sessions
    caller = authorization.caller(request)
    if caller is Role.OPERATOR:
        return sessions.get(session_id)
    try:
        session = sessions.get(session_id)
    except NotFoundError:
        session = None
    if session:
        good = [session.token, session.viewer_token] if viewers else [session.token]
        if any(hmac.compare_digest(bearer(request).encode(), token.encode()) for token in good):
            return session
    if caller is Role.GUEST:
        raise ForbiddenError("this needs the session's own token")
    raise authorization.refuse(request, "this needs the session's token")


async def all_sessions(request: Request) -> Sessions:
    """Return the server's sessions."""
    sessions: Sessions = request.app.state.sessions
    return sessions


REFUSALS = (UnauthorizedError, ForbiddenError, RateLimitError)
"""Errors of all routes that ask for a token."""

AllSessions = Annotated[Sessions, Depends(all_sessions)]
OneSession = Annotated[Session, Depends(owner)]
WatchedSession = Annotated[Session, Depends(viewer)]

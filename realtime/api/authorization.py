"""Authorization of callers: FastAPI dependencies, one of which every route has, except the open ones.

Without a secret file every caller is admitted; ``realtime.api.request_filter`` still refuses the pages of other sites.
"""

import hmac
import math
import time
from pathlib import Path
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
"""Limits for one address, or one /64 of IPv6: on new sessions, viewers and tokens, and on refused tokens."""


class Authorization:
    """The server's access rules."""

    def __init__(self, tokens: Tokens, *, limited: bool) -> None:
        self.tokens = tokens
        self._limited = limited
        self._asked, self._refused = RateLimit(BURST, PER_SECOND), RateLimit(BURST, PER_SECOND)

    def reload(self, secret_file: Path) -> None:
        """Use the keys that a secret file holds now, instead of those before.

        Raises:
            SettingsError: If the file cannot be used; the keys stay.
        """
        self.tokens = Tokens.read(secret_file)

    def caller(self, request: HTTPConnection) -> Role:
        """Return the role of the caller."""
        return self.tokens.role_of(bearer(request), time.time()) if self.tokens.required else Role.OPERATOR

    def count(self, request: HTTPConnection, caller: Role) -> None:
        """Count a costly request. An operator is counted by key, other callers by address.

        Raises:
            RateLimitError: If the caller sends such requests too often.
        """
        if self._limited:
            self._take(self._asked, bearer(request) if caller is Role.OPERATOR else _address(request))

    def refuse(self, request: HTTPConnection, message: str) -> UnauthorizedError:
        """Return the refusal of a request; count it if the request has a token.

        Raises:
            RateLimitError: If too many tokens from this address were refused.
        """
        if self._limited and bearer(request):
            self._take(self._refused, _address(request))
        return UnauthorizedError(message)

    def _take(self, limit: RateLimit, caller: str) -> None:
        if wait_s := limit.take(caller, time.monotonic()):
            raise RateLimitError("too many requests", retry_after_s=math.ceil(wait_s))


def bearer(request: HTTPConnection) -> str:
    """Return the token of ``Authorization: Bearer``; ``""`` without one.

    A browser cannot set this header on a WebSocket; it offers the subprotocol ``bearer.TOKEN`` instead.
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
        UnauthorizedError: If the caller has no valid token.
        ForbiddenError: If the caller has a join token.
        RateLimitError: If too many tokens from the caller's address were refused.
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
        UnauthorizedError: If the caller has neither.
        RateLimitError: If too many tokens from the caller's address were refused.
    """
    authorization: Authorization = request.app.state.authorization
    if authorization.caller(request) is Role.NOBODY:
        raise authorization.refuse(request, "this needs a join token that has not expired")


async def new_guest(request: Request) -> None:
    """Admit an API key or a join token, and count the request because it is costly.

    Raises:
        UnauthorizedError: If the caller has neither.
        RateLimitError: If the caller sends such requests too often.
    """
    await guest(request)
    authorization: Authorization = request.app.state.authorization
    authorization.count(request, authorization.caller(request))


async def owner(session_id: str, request: Request) -> Session:
    """Admit an API key or the session's own token; return the session.

    Raises:
        UnauthorizedError: If the caller has neither, also if there is no such session.
        ForbiddenError: If the caller has a join token.
        NotFoundError: If there is no such session and the caller has an API key.
        RateLimitError: If too many tokens from the caller's address were refused.
    """
    return _admit(session_id, request)


async def socket_owner(session_id: str, socket: WebSocket) -> Session:
    """Admit an API key or the session's own token on a WebSocket; return the session.

    Raises:
        LipstreamError: For the reasons that `owner` gives.
    """
    return _admit(session_id, socket)


async def viewer(session_id: str, request: Request) -> Session:
    """Admit an API key, the session's own token or its viewer token; return the session.

    Raises:
        LipstreamError: For the reasons that `owner` gives.
    """
    return _admit(session_id, request, viewers=True)


async def new_viewer(session_id: str, request: Request) -> None:
    """Admit the callers that `viewer` admits, and count the request because it is costly.

    Raises:
        RateLimitError: If the caller sends such requests too often.
        LipstreamError: For the reasons that `owner` gives.
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

"""Authorization of callers: FastAPI dependencies, one of which every route has, except the open ones.

Without a secret file every caller is admitted; ``realtime.api.request_filter`` still refuses the pages of other sites.
"""

import hmac
import math
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request, WebSocket
from starlette.requests import HTTPConnection
from starlette.types import Scope as AsgiScope

from lipstream.realtime.api.connections import is_loopback, network_of
from lipstream.realtime.api.keys import Scope
from lipstream.realtime.api.request_limits import Identity
from lipstream.realtime.api.token_register import TokenRegister
from lipstream.realtime.api.tokens import ANYBODY, NOBODY, Caller, Role, Tokens
from lipstream.realtime.errors import ForbiddenError, NotFoundError, RateLimitError, UnauthorizedError
from lipstream.realtime.rate_limit import RateLimit
from lipstream.realtime.server.audit import REFUSED, audit
from lipstream.realtime.server.sessions import Sessions
from lipstream.realtime.session.grant import Grant
from lipstream.realtime.session.session import Session
from lipstream.realtime.settings import Settings

BURST, PER_SECOND = 10, 1.0
"""Limits for one address, or one /64 of IPv6: on new sessions, viewers and tokens, and on refused tokens."""
_CALLER = "lipstream.caller"
"""Key of the caller in the scope of a request."""
_GUARDED = ("/api/", "/metrics", "/openapi.json")
_SESSION_ROUTES = ("sessions", "whip")


class Authorization:
    """The server's access rules.

    Args:
        register: Join tokens that were signed, revoked or used up.

    Attributes:
        limited: Whether the rate of requests from this machine is limited too: with keys, or on another address.

    Raises:
        SettingsError: If the secret file cannot be used.
    """

    def __init__(self, settings: Settings, register: TokenRegister, sessions: Sessions) -> None:
        self._settings, self._sessions = settings, sessions
        self.register = register
        self.tokens = Tokens.read(settings.secret_file)
        self.limited = self.tokens.required or not settings.on_loopback
        self._asked, self._refused = RateLimit(BURST, PER_SECOND), RateLimit(BURST, PER_SECOND)

    def reload(self, secret_file: Path) -> None:
        """Use the keys that a secret file holds now. Sessions go on; join tokens of a key that is gone are invalid.

        Raises:
            SettingsError: If the file cannot be used; the keys stay.
        """
        self.tokens = Tokens.read(secret_file)

    def caller(self, request: HTTPConnection) -> Caller:
        """Return who sends a request."""
        return self._caller(request.scope, bearer(request))

    def _caller(self, scope: AsgiScope, token: str) -> Caller:
        if (known := scope.get(_CALLER)) is None:
            known = self._holder(token) if self.tokens.required else ANYBODY
            scope[_CALLER] = known
        assert isinstance(known, Caller)
        return known

    def _holder(self, token: str) -> Caller:
        if not token:
            return NOBODY
        caller = self.tokens.caller_of(token, time.time())
        if caller.invitation and self.register.is_revoked(caller.invitation.id):
            return NOBODY
        return caller

    def identify(self, scope: AsgiScope) -> Identity | None:
        """Return who sends a request, for the limits on the rate of requests; ``None`` if none apply."""
        path: str = scope["path"]
        if not self._limits(HTTPConnection(scope)):
            return None
        if not self.tokens.required or scope.get("method") == "OPTIONS" or not path.startswith(_GUARDED):
            return Identity("open")
        request = HTTPConnection(scope)
        caller = self.caller(request)
        if caller.invitation:
            return Identity("join", caller.invitation.id)
        if caller.key:
            return Identity("key", caller.key)
        parts = path.split("/")
        if len(parts) > 3 and parts[2] in _SESSION_ROUTES:
            session = self._session(parts[3])
            if session and _holds(bearer(request), session.token, session.viewer_token):
                return Identity("session", session.id)
        return Identity("stranger")

    def _session(self, session_id: str) -> Session | None:
        try:
            return self._sessions.get(session_id)
        except NotFoundError:
            return None

    def count(self, request: HTTPConnection, caller: Caller) -> None:
        """Count a costly request. An API key is counted by its name, other callers by address.

        Raises:
            RateLimitError: If the caller sends such requests too often.
        """
        if self._limits(request):
            self._take(self._asked, caller.key or address_of(request))

    def refuse(self, request: HTTPConnection, message: str) -> UnauthorizedError:
        """Return the refusal of a request; count it if the request has a token.

        Raises:
            RateLimitError: If too many tokens from this address were refused.
        """
        if bearer(request):
            route = getattr(request.scope.get("route"), "path", "")  # as declared: a real path holds a session's id
            audit.note(REFUSED, address=_ip_of(request), path=route)
            if self._limits(request):
                self._take(self._refused, address_of(request))
        return UnauthorizedError(message)

    def _limits(self, request: HTTPConnection) -> bool:
        """Return whether the caller's rate is limited: also if it comes through a proxy to a server without keys."""
        return self.limited or not is_loopback(address_of(request))

    def grant(self, request: HTTPConnection) -> Grant:
        """Return what the caller may do in a session that it begins."""
        caller, settings = self.caller(request), self._settings
        longest_s, idle_s = 60 * settings.max_session_minutes, 60 * settings.idle_minutes
        invitation = caller.invitation
        if invitation is None:
            return Grant(key=caller.key, address=_ip_of(request), longest_s=longest_s, idle_s=idle_s)
        own_s = 60 * (invitation.max_minutes or 0)
        return Grant(
            token_id=invitation.id,
            address=_ip_of(request),
            expires_s=invitation.expires_s,
            max_sessions=invitation.max_sessions or 0,
            longest_s=min(own_s, longest_s) if own_s and longest_s else own_s or longest_s,
            idle_s=idle_s,
            avatars=invitation.avatars,
            motions=invitation.motions,
        )

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


def address_of(request: HTTPConnection) -> str:
    """Return the network that counts as one client; empty if the address is unknown."""
    return network_of(_ip_of(request))


def note_audit(request: HTTPConnection, action: str, *, session: str = "", **facts: str | float | None) -> None:
    """Write a line of the audit log about a request: who sent it, and from where."""
    authorization: Authorization = request.app.state.authorization
    caller = authorization.caller(request)
    token = caller.invitation.id if caller.invitation else ""
    audit.note(action, session=session, key=caller.key, token=token, address=_ip_of(request), **facts)


def _ip_of(request: HTTPConnection) -> str:
    return request.client.host if request.client else ""


def holder_of(scope: Scope) -> Callable[[Request], Awaitable[None]]:
    """Return the dependency that admits API keys with a scope.

    It raises :class:`UnauthorizedError` if the caller has no valid token, :class:`ForbiddenError` if it has a join
    token or a key without the scope, and :class:`RateLimitError` if too many tokens from its address were refused.
    """

    async def admit(request: Request) -> None:
        authorization: Authorization = request.app.state.authorization
        caller = authorization.caller(request)
        if caller.may(scope):
            return
        match caller.role:
            case Role.NOBODY:
                raise authorization.refuse(request, "this needs an API key")
            case Role.GUEST:
                raise ForbiddenError("this needs an API key: a join token does not open it")
        raise ForbiddenError(f"this needs an API key with the scope {scope}, or admin")

    return admit


operator = holder_of(Scope.ADMIN)


async def guest(request: Request) -> None:
    """Admit any API key or a join token.

    Raises:
        UnauthorizedError: If the caller has neither.
        RateLimitError: If too many tokens from the caller's address were refused.
    """
    authorization: Authorization = request.app.state.authorization
    if authorization.caller(request).role is Role.NOBODY:
        raise authorization.refuse(request, "this needs a join token that has not expired")


async def new_guest(request: Request) -> None:
    """Admit a join token or an API key that may publish, and count the request because it is costly.

    Raises:
        UnauthorizedError: If the caller has neither.
        ForbiddenError: If the caller has an API key without the scope.
        RateLimitError: If the caller sends such requests too often.
    """
    await guest(request)
    authorization: Authorization = request.app.state.authorization
    caller = authorization.caller(request)
    if caller.role is Role.KEY and not caller.may(Scope.PUBLISH):
        raise ForbiddenError(f"this needs an API key with the scope {Scope.PUBLISH}, or admin")
    authorization.count(request, caller)


async def owner(session_id: str, request: Request) -> Session:
    """Admit an API key or the session's own token; return the session.

    Raises:
        UnauthorizedError: If the caller has neither, also if there is no such session.
        ForbiddenError: If the caller has a join token, or a key for something else.
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
    if caller.role is Role.OPERATOR or (viewers and caller.may(Scope.WATCH)):
        return sessions.get(session_id)
    try:
        session = sessions.get(session_id)
    except NotFoundError:
        session = None
    if session:
        good = [session.token, session.viewer_token] if viewers else [session.token]
        if _holds(bearer(request), *good) or (caller.may(Scope.PUBLISH) and session.grant.key == caller.key):
            return session
    if caller.role is Role.GUEST:
        raise ForbiddenError("this needs the session's own token")
    if caller.role is Role.KEY:
        raise ForbiddenError("this needs the session's own token, or a key that opens it")
    raise authorization.refuse(request, "this needs the session's token")


def _holds(token: str, *good: str) -> bool:
    return any([hmac.compare_digest(token.encode(), one.encode()) for one in good])  # noqa: C419 (all are compared)


async def all_sessions(request: Request) -> Sessions:
    """Return the server's sessions."""
    sessions: Sessions = request.app.state.sessions
    return sessions


REFUSALS = (UnauthorizedError, ForbiddenError, RateLimitError)
"""Errors of all routes that ask for a token."""

AllSessions = Annotated[Sessions, Depends(all_sessions)]
OneSession = Annotated[Session, Depends(owner)]
WatchedSession = Annotated[Session, Depends(viewer)]

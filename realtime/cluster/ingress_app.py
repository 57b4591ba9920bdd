"""The HTTP side of an ingress: the pages, and every route of a server, answered by the worker that it concerns.

Who may do what is the workers' to decide: they have the same keys. The ingress reads tokens only to limit rates, and to
ask all workers for nobody in vain.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
from fastapi import FastAPI
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import WebSocketRoute
from starlette.types import Scope
from starlette.websockets import WebSocket

from lipstream.realtime.api.authorization import bearer
from lipstream.realtime.api.connections import is_loopback
from lipstream.realtime.api.error_responses import answer_errors
from lipstream.realtime.api.pages import add_pages
from lipstream.realtime.api.recording_routes import MOST_LISTED
from lipstream.realtime.api.request_filter import RequestFilter
from lipstream.realtime.api.request_guard import RequestGuard
from lipstream.realtime.api.request_limits import Identity
from lipstream.realtime.api.tokens import Role
from lipstream.realtime.cluster.forwarding import (
    UnreachableError,
    answer_with,
    merged_list,
    merged_recordings,
    whole_answer,
)
from lipstream.realtime.cluster.ingress import Ingress
from lipstream.realtime.cluster.membership import Route
from lipstream.realtime.cluster.merged_metrics import MergedMetrics, WorkerMetrics
from lipstream.realtime.cluster.new_sessions import NewSessions
from lipstream.realtime.cluster.placement import refusal_of
from lipstream.realtime.errors import BadRequestError, ConflictError, LipstreamError, NotFoundError, UnavailableError
from lipstream.realtime.session.session_names import split_id
from lipstream.realtime.wire.answers import ErrorAnswer, ErrorBody, HealthAnswer, NotReadyAnswer

_WAITED_FOR = ("whep", "audio")
"""What viewers and programs ask of a session; they wait for its owner to begin it again."""
_MOVING_S = 1
_PAGE = {"limit": "100", "offset": "0"}
"""Parameters of the list of recordings, and what they are by default."""


def create_ingress_app(ingress: Ingress) -> FastAPI:
    """Return the application of an ingress, which listens to the workers while the application runs."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with ingress.running():
            yield

    app = FastAPI(title="Lipstream", lifespan=lifespan, redirect_slashes=False, openapi_url=None)
    answer_errors(app)
    routes, new_sessions = _Routes(ingress), NewSessions(ingress)
    app.add_middleware(RequestFilter, settings=ingress.settings, guard=RequestGuard(routes.identify))
    for path, methods, route in (
        ("/healthz", ["GET"], routes.health),
        ("/readyz", ["GET"], routes.ready),
        ("/metrics", ["GET"], routes.metrics),
        ("/api/sessions", ["POST"], new_sessions.place),
        ("/api/whip", ["POST"], new_sessions.place),
        ("/api/rooms", ["POST"], new_sessions.place),
        ("/api/sessions", ["GET"], routes.merge),
        ("/api/avatars", ["GET"], routes.merge),
        ("/api/tokens", ["GET"], routes.merge),
        ("/api/recordings", ["GET"], routes.recordings),
        ("/api/tokens/{token_id}", ["DELETE"], routes.everywhere),
        ("/api/avatars/{avatar_id}", ["DELETE"], routes.remove_avatar),
        ("/api/avatars/{avatar_id}", ["GET"], routes.search),
        ("/api/avatars/{avatar_id}/{rest}", ["GET"], routes.search),
        ("/api/recordings/{name}", ["GET", "HEAD", "DELETE"], routes.search),
    ):
        app.add_route(path, route, methods=methods)
    every = ["GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS"]
    for path in ("/api/sessions/{session_id}", "/api/sessions/{session_id}/{rest:path}", "/api/whip/{session_id}"):
        app.add_route(path, routes.of_session, methods=every)
    app.router.routes.append(WebSocketRoute("/api/sessions/{session_id}/audio", routes.audio))
    add_pages(app, ingress.settings)
    for path in ("/api/{rest:path}", "/openapi.json"):
        app.add_route(path, routes.anyone, methods=every)
    return app


@dataclass(frozen=True, slots=True)
class _Routes:
    """The routes of one ingress."""

    ingress: Ingress

    # What the ingress answers itself

    async def health(self, _: Request) -> Response:
        """Answer while the process serves."""
        return JSONResponse(HealthAnswer(status="ok"))

    async def ready(self, _: Request) -> Response:
        """Answer 200 only when a session could be placed now."""
        if refusal := refusal_of(self.ingress.members.states(time.monotonic())):
            return JSONResponse(NotReadyAnswer(reason=refusal.reason), 503)
        return JSONResponse(HealthAnswer(status="ok"))

    async def metrics(self, request: Request) -> Response:
        """Return the metrics of all workers, each sample with its node and worker, and the cluster's own."""
        now_s = time.monotonic()
        nodes = {url: told["node"] for url, told in self.ingress.members.there(now_s).items()}
        answers = await self._ask_all(request) if nodes else []
        if not nodes and self.ingress.caller(request).role is Role.NOBODY:
            raise UnavailableError("no worker answers", reason="warming", retry_after_s=_MOVING_S)
        if (refused := next((a for _, a in answers if a.status_code in (401, 403)), None)) is not None:
            return whole_answer(refused)
        texts = [WorkerMetrics(nodes.get(url, ""), url, a.text) for url, a in answers if a.is_success]
        merged = MergedMetrics(texts, self.ingress.members.states(now_s))
        return Response(generate_latest(merged), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    # Sessions there are

    async def of_session(self, request: Request) -> Response:
        """Forward what concerns a session to its worker, or say where it is now."""
        session_id = request.path_params["session_id"]
        route = self.ingress.members.route(session_id, time.monotonic())
        if route.kind == "there":
            try:
                answer = await self.ingress.forwarder.send(request, route.url)
            except UnreachableError as error:
                route = self._route_after(error, route, session_id)
            else:
                if request.method == "DELETE" and answer.is_success and "rest" not in request.path_params:
                    self.ingress.members.note_ended(session_id)
                return answer_with(answer)
        waits = request.path_params.get("rest", "").partition("/")[0] in _WAITED_FOR
        return self._elsewhere(request, session_id, route, waits=waits)

    async def audio(self, socket: WebSocket) -> None:
        """Join a program with its session's worker."""
        session_id = socket.path_params["session_id"]
        route = self.ingress.members.route(session_id, time.monotonic())
        if route.kind == "there":
            try:
                await self.ingress.forwarder.pipe(socket, route.url)
            except UnreachableError as error:
                route = self._route_after(error, route, session_id)
            else:
                return
        try:
            answer = self._elsewhere(socket, session_id, route, waits=True)
        except LipstreamError as error:
            answer = _error(error)
        await socket.send_denial_response(answer)

    def _elsewhere(self, request: HTTPConnection, session_id: str, route: Route, *, waits: bool) -> Response:
        """Say where a session is that is not on its worker.

        Raises:
            UnavailableError: If its worker is there but did not answer, or its owner may still begin it again and the
                caller is one who waits for that.
            NotFoundError: If there is no such session any more.
        """
        if route.kind == "there":
            message = "the session's worker did not answer this request"
            raise UnavailableError(message, reason="moving", retry_after_s=_MOVING_S)
        if route.kind == "moved":
            path = request.scope["path"].replace(session_id, route.session_id, 1)
            query = request.scope["query_string"].decode("latin-1")
            return RedirectResponse(f"{path}?{query}" if query else path, 307)
        if route.kind == "lost" and waits:
            message = "the session's worker is lost: its owner may begin it again"
            raise UnavailableError(message, reason="moving", retry_after_s=_MOVING_S)
        raise NotFoundError("there is no such session")

    def _route_after(self, error: UnreachableError, route: Route, session_id: str) -> Route:
        """Return where a session is after its worker did not answer."""
        self.ingress.note(error, route.url)
        return self.ingress.members.route(session_id, time.monotonic())

    # What all workers have

    async def merge(self, request: Request) -> Response:
        """Return the lists of all workers as one."""
        answers = [answer for _, answer in await self._ask_all(request)]
        if (refused := next((answer for answer in answers if not answer.is_success), None)) is not None:
            return whole_answer(refused)
        return merged_list(answers)

    async def recordings(self, request: Request) -> Response:
        """Return the recordings of all workers as one list; a page of it ends with the first thousand."""
        try:
            limit, offset = (int(request.query_params.get(name, default)) for name, default in _PAGE.items())
        except ValueError:
            return await self.anyone(request)  # a worker says what is wrong with it
        if limit < 1 or offset < 0 or limit + offset > MOST_LISTED:
            raise BadRequestError(f"a cluster lists the latest {MOST_LISTED} recordings: limit and offset reach so far")
        answers = [answer for _, answer in await self._ask_all(request, query=f"limit={limit + offset}&offset=0")]
        if (refused := next((answer for answer in answers if not answer.is_success), None)) is not None:
            return whole_answer(refused)
        return merged_recordings(answers, limit=limit, offset=offset)

    async def everywhere(self, request: Request) -> Response:
        """Take a join token back on all workers."""
        answers = [answer for _, answer in await self._ask_all(request)]
        if (refused := next((answer for answer in answers if not answer.is_success), None)) is not None:
            return whole_answer(refused)
        return JSONResponse({"sessions": sum(answer.json()["sessions"] for answer in answers)})

    async def remove_avatar(self, request: Request) -> Response:
        """Remove an avatar from all workers, unless a session shows it."""
        avatar_id = request.path_params["avatar_id"]
        shown = any(avatar_id in told["shown"] for told in self.ingress.members.there(time.monotonic()).values())
        if shown and self.ingress.caller(request).role is not Role.NOBODY:
            raise ConflictError(f"the avatar {avatar_id!r} is being shown")
        answers = [answer for _, answer in await self._ask_all(request)]
        done = next((answer for answer in answers if answer.is_success), None)
        return whole_answer(answers[0] if done is None else done)

    async def search(self, request: Request) -> Response:
        """Forward a request to the first worker that knows what it asks for."""
        unknown: Response | None = None
        for url in self._urls():
            try:
                answer = await self.ingress.forwarder.send(request, url)
            except UnreachableError:
                continue
            if answer.status_code != 404:
                return answer_with(answer)
            await answer.aread()
            unknown = whole_answer(answer)
        if unknown is not None:
            return unknown
        raise UnavailableError("no worker answers", reason="warming", retry_after_s=_MOVING_S)

    async def anyone(self, request: Request) -> Response:
        """Forward a request to the worker with the most room."""
        for url in self._urls():
            try:
                return answer_with(await self.ingress.forwarder.send(request, url))
            except UnreachableError as error:
                self.ingress.note(error, url)
                if request.method not in ("GET", "HEAD"):
                    break  # its body has been read, and may have had an effect
        raise UnavailableError("no worker answers", reason="warming", retry_after_s=_MOVING_S)

    async def _ask_all(self, request: Request, *, query: str | None = None) -> list[tuple[str, httpx.Response]]:
        """Return the answers of all workers; only one is asked for a caller whom none would let in.

        Raises:
            UnavailableError: If none answers.
        """
        urls = self._urls()
        if self.ingress.caller(request).role is Role.NOBODY:
            urls = urls[:1]
        asked = await asyncio.gather(
            *(self.ingress.forwarder.ask(request, url, query=query) for url in urls), return_exceptions=True
        )
        answers: list[tuple[str, httpx.Response]] = []
        for url, answer in zip(urls, asked, strict=True):
            if isinstance(answer, httpx.Response):
                answers.append((url, answer))
            elif not isinstance(answer, UnreachableError):
                raise answer
        if not answers:
            raise UnavailableError("no worker answers", reason="warming", retry_after_s=_MOVING_S)
        return answers

    def _urls(self) -> list[str]:
        fresh = self.ingress.members.there(time.monotonic())
        return sorted(fresh, key=lambda url: (fresh[url]["reason"] is not None, -fresh[url]["free"], url))

    # Who asks

    def identify(self, scope: Scope) -> Identity | None:
        """Return who sends a request, for the limits on the rate of requests; ``None`` if none apply."""
        ingress, request = self.ingress, HTTPConnection(scope)
        address = request.client.host if request.client else ""
        if not ingress.tokens.required and ingress.settings.on_loopback and is_loopback(address):
            return None
        path: str = scope["path"]
        if (
            not ingress.tokens.required
            or scope.get("method") == "OPTIONS"
            or not path.startswith(("/api/", "/metrics"))
        ):
            return Identity("open")
        caller = self.ingress.caller(request)
        if caller.invitation:
            return Identity("join", caller.invitation.id)
        if caller.key:
            return Identity("key", caller.key)
        parts = path.split("/")
        if len(parts) > 3 and parts[2] in ("sessions", "whip"):
            name = split_id(parts[3])[1]
            if ingress.secret.opens(
                bearer(request), ingress.secret.owner_token(name), ingress.secret.viewer_token(name)
            ):
                return Identity("session", name)
        return Identity("stranger")


def _error(error: LipstreamError) -> Response:
    body = ErrorBody(code=error.code, message=error.message)
    headers = {}
    if isinstance(error, UnavailableError):
        body["reason"] = error.reason
        headers["Retry-After"] = str(error.retry_after_s)
    return JSONResponse(ErrorAnswer(error=body), error.status, headers)

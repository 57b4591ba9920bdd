"""The HTTP side: routes, their rules on hosts and origins, and the one place where an error becomes an answer."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from realtime import audio_socket, avatar_routes, sdp_routes, sink_routes
from realtime.access import JOIN_TOKEN_S, KIOSK_TOKEN_S, Access
from realtime.avatar_builds import AvatarBuilds, UploadLimits
from realtime.channel import Channel
from realtime.errors import (
    LipstreamError,
    RateLimitError,
    StorageFullError,
    UnauthorizedError,
    UnavailableError,
    is_no_room,
)
from realtime.exporter import Exporter
from realtime.gate import Gate
from realtime.guards import Guard, OneSession, guest, new_guest, operator, owner
from realtime.metrics import prometheus_text
from realtime.sessions import Sessions

WEB = Path(__file__).parent.parent / "web"


class Offer(BaseModel):
    """A WebRTC offer with all its candidates."""

    sdp: str
    type: Literal["offer"]


class AvatarChoice(BaseModel):
    """The avatar that a session shows."""

    avatar: str = Field(max_length=64)


class Text(BaseModel):
    """What a session speaks."""

    text: str


class NewToken(BaseModel):
    """What a token is for."""

    kiosk: bool = False


class NewSession(BaseModel):
    """What a session begins with."""

    avatar: str | None = Field(default=None, max_length=64)
    offer: Offer | None = None
    conversation: bool = False
    local_audio: bool = False


def create_app(sessions: Sessions) -> FastAPI:
    """Return the application over some sessions, which end with it.

    It answers before they have started: the page can then say that the server is warming up.

    Raises:
        SettingsError: If the secret file cannot be used, or an address to stream to.
    """
    settings = sessions.settings
    access = Access.read(settings.secret_file)
    channel = Channel(sessions)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        running = [
            asyncio.create_task(app.state.exporter.run(), name="traffic"),
            asyncio.create_task(channel.run(), name="channel"),
        ]
        try:
            yield
        finally:
            for task in running:
                task.cancel()
            await asyncio.wait(running)
            await app.state.builds.close()
            await sessions.close()

    app = FastAPI(
        title="Lipstream", lifespan=lifespan, redirect_slashes=False, openapi_url=None, docs_url=None, redoc_url=None
    )
    app.state.sessions = sessions
    app.state.builds = AvatarBuilds(
        sessions.store,
        weights=sessions.worker_settings.weights,
        device=settings.device,
        limits=UploadLimits(settings.upload_mb << 20, settings.upload_seconds, settings.upload_pixels),
        on_built=sessions.add_avatar,
    )
    app.state.exporter = Exporter(sessions, app.state.builds)
    app.state.guard = Guard(access, limited=access.required or not settings.on_loopback)
    app.add_middleware(Gate, settings=settings)
    app.add_exception_handler(LipstreamError, _expected_error)
    app.add_exception_handler(RequestValidationError, _unreadable)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(OSError, _no_room)
    app.add_exception_handler(Exception, _unexpected_error)
    guarded = (_for_operators, avatar_routes.readers, avatar_routes.makers, _for_guests, _for_owners)
    over_sdp = (sdp_routes.viewing, sdp_routes.publishing, sdp_routes.options)
    for router in (_open, *guarded, sink_routes.sinks, audio_socket.sockets, *over_sdp):
        app.include_router(router)
    for path, name in {"/": "index.html", "/kiosk": "kiosk.html", "/stage": "stage.html"}.items():
        app.add_api_route(path, partial(_page, name), include_in_schema=False)
    app.mount("/static", _Pages(directory=WEB))
    return app


class _Pages(StaticFiles):
    """Files that a browser asks about again each time, so that modules of two versions never mix."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "no-cache"
        return response


def _sessions(request: Request) -> Sessions:
    sessions: Sessions = request.app.state.sessions
    return sessions


AllSessions = Annotated[Sessions, Depends(_sessions)]

_open = APIRouter()
_for_operators = APIRouter(dependencies=[Depends(operator)])
_for_guests = APIRouter(prefix="/api", dependencies=[Depends(guest)])
_for_owners = APIRouter(prefix="/api/sessions/{session_id}", dependencies=[Depends(owner)])


async def _page(name: str) -> FileResponse:
    return FileResponse(WEB / name, headers={"Cache-Control": "no-cache"})


@_open.get("/healthz")
async def healthz() -> dict[str, str]:
    """Answer while the process serves."""
    return {"status": "ok"}


@_open.get("/readyz")
async def readyz(sessions: AllSessions) -> JSONResponse:
    """Answer 200 only when a session could be taken now."""
    reason = sessions.unready_reason()
    return JSONResponse({"status": "ok"} if not reason else {"reason": reason}, 503 if reason else 200)


@_for_operators.get("/metrics")
async def metrics(request: Request) -> PlainTextResponse:
    """Return the server's figures for Prometheus."""
    exporter: Exporter = request.app.state.exporter
    return PlainTextResponse(prometheus_text(exporter.families()), media_type="text/plain; version=0.0.4")


@_for_operators.get("/openapi.json", include_in_schema=False)
async def schema(request: Request) -> dict[str, Any]:
    """Return the API's description."""
    app: FastAPI = request.app
    return app.openapi()


@_for_operators.post("/api/tokens", status_code=201)
async def create_token(request: Request, body: NewToken | None = None) -> dict[str, Any]:
    """Sign a join token, for a link ``/#join=TOKEN``, or a long-lived one for ``/kiosk#join=TOKEN``."""
    guard: Guard = request.app.state.guard
    kiosk = body is not None and body.kiosk
    token = guard.access.join_token(time.time(), kiosk=kiosk)
    return {"token": token, "expires_in": KIOSK_TOKEN_S if kiosk else JOIN_TOKEN_S}


@_for_operators.get("/api/sessions")
async def list_sessions(sessions: AllSessions) -> list[dict[str, Any]]:
    """Return the sessions there are, with what opens them to viewers."""
    return [
        {
            "id": session.id,
            "avatar": session.avatar_id,
            "state": session.state,
            "viewers": session.viewers.count,
            "viewer_token": session.viewer_token,
            "urls": {"self": f"/api/sessions/{session.id}", "whep": f"/api/sessions/{session.id}/whep"},
        }
        for session in sessions.all()
    ]


@_for_guests.post("/sessions", status_code=201, dependencies=[Depends(new_guest)])
async def create_session(
    body: NewSession, request: Request, response: Response, sessions: AllSessions
) -> dict[str, Any]:
    """Begin a session, and answer its offer if it carries one."""
    if body.local_audio:
        operator(request)  # it hears the room that the server stands in
    session, answer = await sessions.create(
        body.avatar,
        body.offer.sdp if body.offer else None,
        listens=body.conversation,
        local_audio=body.local_audio,
    )
    path = f"/api/sessions/{session.id}"
    response.headers["Location"] = path
    created: dict[str, Any] = {
        "id": session.id,
        "token": session.token,
        "viewer_token": session.viewer_token,
        "look_ahead_ms": session.look_ahead_ms,
        **sessions.connectivity(session),
        "urls": {"self": path, "peer": f"{path}/peer", "audio": f"{path}/audio", "whep": f"{path}/whep"},
    }
    if body.local_audio:
        created["local_audio"] = sorted(sessions.local_audio.wanted)
    if answer is not None:
        created["answer"] = {"sdp": answer, "type": "answer"}
    return created


@_for_owners.post("/peer")
async def connect_peer(offer: Offer, session: OneSession) -> dict[str, Any]:
    """Answer the speaking peer's offer; it takes the place of the one before."""
    return {"answer": {"sdp": await session.answer(offer.sdp), "type": "answer"}}


@_for_owners.get("/connectivity")
async def connectivity(session: OneSession, sessions: AllSessions) -> dict[str, Any]:
    """Return STUN and TURN servers with fresh credentials, for a client that connects again."""
    return sessions.connectivity(session)


@_for_owners.get("")
async def session_figures(session: OneSession) -> dict[str, Any]:
    """Return a session's live figures."""
    return session.figures()


@_for_owners.post("/interrupt")
async def interrupt(session: OneSession) -> dict[str, int]:
    """Stop speaking now."""
    return {"sample": session.interrupt()}


@_for_owners.post("/say")
async def say(body: Text, session: OneSession) -> dict[str, int]:
    """Speak a text, behind what is being spoken of others; nothing of it is heard before the sample."""
    return {"sample": await session.say(body.text)}


@_for_owners.patch("", status_code=204)
async def switch_avatar(session_id: str, choice: AvatarChoice, sessions: AllSessions) -> None:
    """Show another avatar without a break."""
    await sessions.switch(session_id, choice.avatar)


@_for_owners.delete("", status_code=204)
async def delete_session(session_id: str, sessions: AllSessions) -> None:
    """End a session."""
    await sessions.delete(session_id)


def _error(status: int, code: str, message: str, **more: Any) -> JSONResponse:
    return JSONResponse({"error": {"code": code, "message": message, **more}}, status)


async def _expected_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, LipstreamError)
    more = {"reason": error.reason} if isinstance(error, UnavailableError) else {}
    answer = _error(error.status, error.code, error.message, **more)
    if isinstance(error, UnavailableError | RateLimitError):
        answer.headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, UnauthorizedError):
        answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


async def _unreadable(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part != "body")
    return _error(400, "bad_request", f"{where}: {first['msg']}" if where else str(first["msg"]))


async def _no_room(request: Request, error: Exception) -> JSONResponse:
    if not is_no_room(error):
        raise error
    return await _expected_error(request, StorageFullError("the server's disk is full"))


async def _unexpected_error(_: Request, __: Exception) -> JSONResponse:
    return _error(500, "internal", "the server failed; its log says why")


async def _http_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    codes = {404: "not_found", 405: "method_not_allowed"}
    return _error(error.status_code, codes.get(error.status_code, "bad_request"), str(error.detail))

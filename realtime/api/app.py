"""The HTTP side: the application, its pages, and what a server says of itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from lipstream.realtime.api import (
    audio_socket,
    avatar_routes,
    cluster_routes,
    recording_routes,
    room_routes,
    session_routes,
    sink_routes,
    whip_whep_routes,
)
from lipstream.realtime.api.authorization import REFUSALS, AllSessions, Authorization, holder_of, operator
from lipstream.realtime.api.error_responses import answer_errors, error_answers
from lipstream.realtime.api.ingress_trust import IngressTrust
from lipstream.realtime.api.keys import Scope
from lipstream.realtime.api.metrics_exporter import MetricsExporter
from lipstream.realtime.api.openapi import openapi_of
from lipstream.realtime.api.pages import add_pages
from lipstream.realtime.api.request_filter import RequestFilter
from lipstream.realtime.api.request_guard import RequestGuard
from lipstream.realtime.api.token_claims import TokenClaims
from lipstream.realtime.api.token_register import TokenRegister
from lipstream.realtime.api.token_routes import token_routes
from lipstream.realtime.rooms.rooms import Rooms
from lipstream.realtime.server.avatar_builds import AvatarBuilds, UploadLimits
from lipstream.realtime.server.avatar_catalog import AvatarCatalog
from lipstream.realtime.server.avatar_ledger import AvatarLedger
from lipstream.realtime.server.recordings import Recordings
from lipstream.realtime.server.sessions import Sessions
from lipstream.realtime.server.standing_session import StandingSession
from lipstream.realtime.server.warm_up import rehearse_request
from lipstream.realtime.wire.answers import HealthAnswer, NotReadyAnswer

_PREVIEWS_AFTER_S = 3.0
"""Until then the start needs the cores; a preview that is asked for sooner is decoded at once."""


def create_app(sessions: Sessions) -> FastAPI:
    """Return the application over some sessions, which end with it.

    It answers before they have started: the page can then say that the server is warming up.

    Raises:
        SettingsError: If the secret file or the list of revoked tokens cannot be used, or an address to stream to.
    """
    settings = sessions.settings
    authorization = Authorization(settings, TokenRegister(sessions.store.root), sessions)
    channel = StandingSession(sessions)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        running = [
            asyncio.create_task(app.state.exporter.run(), name="traffic"),
            asyncio.create_task(channel.run(), name="channel"),
            asyncio.create_task(prepare_previews(), name="previews"),
            asyncio.create_task(app.state.recordings.run(), name="recordings"),
        ]
        if sessions.names.secret:
            running.append(asyncio.create_task(app.state.ledger.run(), name="ledger"))
        await rehearse_request(app)
        try:
            yield
        finally:
            for task in running:
                task.cancel()
            await asyncio.wait(running)
            await app.state.rooms.close()
            await app.state.builds.close()
            app.state.catalog.close()
            await sessions.close()

    async def prepare_previews() -> None:
        await asyncio.sleep(_PREVIEWS_AFTER_S)
        await app.state.catalog.prepare()

    async def add_built(avatar_id: str) -> None:
        try:
            await sessions.avatars.replace(avatar_id, sessions.shows)
        finally:
            app.state.catalog.forget()

    app = FastAPI(
        title="Lipstream", lifespan=lifespan, redirect_slashes=False, openapi_url=None, docs_url=None, redoc_url=None
    )
    app.state.sessions = sessions
    app.state.builds = AvatarBuilds(
        sessions.store,
        weights=sessions.worker_settings.weights,
        device=settings.device,
        limits=UploadLimits(settings.upload_mb << 20, settings.upload_seconds, settings.upload_pixels),
        on_built=add_built,
        pads=sessions.worker_settings.pads,
        model=sessions.worker_settings.model,
    )
    app.state.recordings = Recordings(sessions)
    app.state.rooms = Rooms(sessions)
    app.state.exporter = MetricsExporter(sessions, app.state.builds)
    app.state.catalog = AvatarCatalog(sessions.store)
    app.state.authorization = authorization
    app.add_middleware(RequestFilter, settings=settings, guard=RequestGuard(authorization.identify))
    answer_errors(app)
    guarded = (
        *(_for_operators, _for_metrics, token_routes),
        *(session_routes.watchers, session_routes.guests, session_routes.owners, session_routes.viewers),
        *(avatar_routes.readers, avatar_routes.makers),
        *(sink_routes.recordings, sink_routes.streams, recording_routes.stored_recordings),
        room_routes.rooms,
    )
    over_sdp = (whip_whep_routes.viewing, whip_whep_routes.publishing, whip_whep_routes.options)
    if sessions.names.secret:
        app.state.ledger, app.state.claims = AvatarLedger(sessions.store), TokenClaims()
        app.add_middleware(IngressTrust, secret=sessions.names.secret)  # before all others
        app.include_router(cluster_routes.ingresses)
    for router in (_open, *guarded, audio_socket.sockets, *over_sdp):
        app.include_router(router)
    add_pages(app, settings)
    return app


_open = APIRouter(tags=["everybody"])
_for_operators = APIRouter(dependencies=[Depends(operator)], tags=["operators"], responses=error_answers(*REFUSALS))
_for_metrics = APIRouter(
    dependencies=[Depends(holder_of(Scope.METRICS))],
    tags=["operators", Scope.METRICS],
    responses=error_answers(*REFUSALS),
)
_UNREADY: dict[int | str, dict[str, Any]] = {
    503: {"model": NotReadyAnswer, "description": "No session could be taken now."}
}


@_open.get("/healthz")
async def healthz() -> HealthAnswer:
    """Answer while the process serves."""
    return HealthAnswer(status="ok")


@_open.get("/readyz", response_model=HealthAnswer, responses=_UNREADY)
async def readyz(sessions: AllSessions) -> JSONResponse:
    """Answer 200 only when a session could be taken now."""
    if reason := sessions.unready_reason():
        return JSONResponse(NotReadyAnswer(reason=reason), 503)
    return JSONResponse(HealthAnswer(status="ok"))


@_for_metrics.get("/metrics", response_class=PlainTextResponse)
async def metrics(request: Request) -> Response:
    """Return the server's figures for Prometheus."""
    exporter: MetricsExporter = request.app.state.exporter
    return Response(generate_latest(exporter), media_type=CONTENT_TYPE_PLAIN_0_0_4)


@_for_operators.get("/openapi.json", include_in_schema=False)
async def schema(request: Request) -> dict[str, Any]:
    """Return the API's description."""
    return openapi_of(request.app)

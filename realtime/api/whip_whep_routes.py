"""WHEP and WHIP: watch a session, or speak in one, with any client that knows them.

After draft-ietf-wish-whep-03 and RFC 9725. ICE may trickle in (PATCH, with the session's ETag); a restart of ICE is
refused with 422, as both allow. Every answer carries all candidates of the server.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from lipstream.realtime.api.authorization import (
    REFUSALS,
    AllSessions,
    Authorization,
    OneSession,
    WatchedSession,
    holder_of,
    new_viewer,
    note_audit,
    viewer,
)
from lipstream.realtime.api.error_responses import error_answers
from lipstream.realtime.api.keys import Scope
from lipstream.realtime.errors import (
    BadRequestError,
    NotFoundError,
    OfferError,
    PreconditionFailedError,
    PreconditionRequiredError,
    TooLargeError,
    UnavailableError,
    UnsupportedTypeError,
)
from lipstream.realtime.rtc.peer import Peer
from lipstream.realtime.wire.session_answers import IceServer

SDP, FRAGMENT = "application/sdp", "application/trickle-ice-sdpfrag"


class _Sdp(Response):
    media_type = SDP


def _text(media_type: str) -> dict[str, Any]:
    """Return what a route's ``openapi_extra=`` says of a body that is text."""
    return {"requestBody": {"required": True, "content": {media_type: {"schema": {"type": "string"}}}}}


_OFFER = _text(SDP)
_CREATED: dict[int | str, dict[str, Any]] = {
    201: {
        "description": "The SDP answer, with all candidates of the server.",
        "headers": {
            "Location": {"description": "Path that ends this.", "schema": {"type": "string"}},
            "ETag": {"description": "Names the ICE session.", "schema": {"type": "string"}},
            "Link": {"description": "A STUN or TURN server.", "schema": {"type": "string"}},
        },
    },
    **error_answers(
        *(BadRequestError, NotFoundError, TooLargeError, UnsupportedTypeError, OfferError, UnavailableError)
    ),
}
_TRICKLE = error_answers(
    *(BadRequestError, NotFoundError, PreconditionFailedError, TooLargeError, UnsupportedTypeError, OfferError),
    PreconditionRequiredError,
)
_THERE = error_answers(NotFoundError)

viewing = APIRouter(
    prefix="/api/sessions/{session_id}/whep",
    dependencies=[Depends(viewer)],
    tags=["viewers"],
    responses=error_answers(*REFUSALS, NotFoundError),
)
publishing = APIRouter(
    prefix="/api/whip",
    dependencies=[Depends(holder_of(Scope.PUBLISH))],
    tags=["operators", Scope.PUBLISH],
    responses=error_answers(*REFUSALS),
)
options = APIRouter(prefix="/api", include_in_schema=False)

AvatarId = Annotated[str | None, Query(max_length=64)]
IfMatch = Annotated[str | None, Header()]


def _kind(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _body(request: Request, kind: str) -> str:
    if _kind(request) != kind:
        raise UnsupportedTypeError(f"the body must be {kind}")
    try:
        return (await request.body()).decode()
    except UnicodeDecodeError as error:
        raise BadRequestError("the body is not UTF-8") from error


async def offer(request: Request) -> str:
    """Return the SDP offer that a request carries.

    Raises:
        UnsupportedTypeError: If its body is of another type.
        BadRequestError: If it is no text.
    """
    return await _body(request, SDP)


async def fragment(request: Request) -> str:
    """Return the SDP fragment that a request carries.

    Raises:
        UnsupportedTypeError: If its body is of another type.
        BadRequestError: If it is no text.
    """
    return await _body(request, FRAGMENT)


Offered = Annotated[str, Depends(offer)]
Fragment = Annotated[str, Depends(fragment)]


def _created(answer: str, location: str, peer: Peer, ice_servers: list[IceServer]) -> Response:
    response = _Sdp(answer, 201, {"Location": location, "ETag": _tag(peer)})
    for link in ice_links(ice_servers):
        response.headers.append("Link", link)
    return response


def ice_links(servers: list[IceServer]) -> list[str]:
    """Return the ``Link`` headers that name STUN and TURN servers (RFC 9725, section 4.6)."""
    links = []
    for server in servers:
        urls = server["urls"]
        for url in [urls] if isinstance(urls, str) else urls:
            link = f'<{url}>; rel="ice-server"'
            if "username" in server:
                user, password = _quoted(server["username"]), _quoted(server.get("credential", ""))
                link += f'; username="{user}"; credential="{password}"; credential-type="password"'
            links.append(link)
    return links


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _tag(peer: Peer) -> str:
    return f'"{peer.ice_tag}"'


async def _trickle(peer: Peer, body: str, if_match: str | None) -> Response:
    if if_match is None:
        raise PreconditionRequiredError("say which ICE session this is for: If-Match with the ETag of the answer")
    tags = [tag.strip() for tag in if_match.split(",")]
    if "*" not in tags and '"*"' not in tags and _tag(peer) not in tags:
        raise PreconditionFailedError("this is for another ICE session")
    await peer.trickle(body)
    return Response(status_code=204)


# WHEP


@viewing.post(
    "",
    dependencies=[Depends(new_viewer)],
    status_code=201,
    response_class=_Sdp,
    responses=_CREATED,
    openapi_extra=_OFFER,
)
async def watch(session: WatchedSession, offered: Offered, request: Request, sessions: AllSessions) -> Response:
    """Watch a session: an SDP offer in, an SDP answer and the viewer's own URL out."""
    if sessions.draining:
        raise UnavailableError("the server is about to stop", reason="draining")
    viewer_id, answer = await session.viewers.watch(offered)
    note_audit(request, "viewer_joined", session=session.id, viewer=viewer_id[:6])
    path = f"/api/sessions/{session.id}/whep/{viewer_id}"
    return _created(answer, path, session.viewers.get(viewer_id), sessions.factory.connectivity(session)["ice_servers"])


@viewing.head("", response_class=Response)
async def watching_what() -> Response:
    """Say what can be posted here."""
    return Response(status_code=200, headers={"Accept-Post": SDP}, media_type=SDP)


@viewing.get("", status_code=204)
async def watching_here() -> None:
    """Say that one can watch here."""


@viewing.get("/{viewer_id}", status_code=204)
async def viewer_there(session: WatchedSession, viewer_id: str) -> None:
    """Say that a viewer is there."""
    session.viewers.get(viewer_id)


@viewing.patch("/{viewer_id}", status_code=204, responses=_TRICKLE, openapi_extra=_text(FRAGMENT))
async def trickle_viewer(session: WatchedSession, viewer_id: str, body: Fragment, if_match: IfMatch = None) -> Response:
    """Take in a viewer's further candidates."""
    return await _trickle(session.viewers.get(viewer_id), body, if_match)


@viewing.delete("/{viewer_id}", status_code=200, response_class=Response)
async def stop_watching(session: WatchedSession, viewer_id: str) -> Response:
    """Let a viewer go."""
    await session.viewers.leave(viewer_id)
    return Response(status_code=200)


# WHIP


@publishing.post("", status_code=201, response_class=_Sdp, responses=_CREATED, openapi_extra=_OFFER)
async def publish(offered: Offered, request: Request, sessions: AllSessions, avatar: AvatarId = None) -> Response:
    """Begin a session that says what a WHIP client sends."""
    authorization: Authorization = request.app.state.authorization
    session, answer = await sessions.publish(avatar, offered, grant=authorization.grant(request))
    note_audit(request, "session_began", session=session.id, avatar=session.avatar_id, by="whip")
    servers = sessions.factory.connectivity(session)["ice_servers"]
    return _created(answer, f"/api/whip/{session.id}", session.speaker, servers)


@publishing.get("", status_code=204)
async def publishing_here() -> None:
    """Say that one can publish here."""


@publishing.get("/{session_id}", status_code=204, responses=_THERE)
async def publisher_there(session: OneSession) -> None:
    """Say that a publisher is there."""
    assert session.speaker


@publishing.patch("/{session_id}", status_code=204, responses=_TRICKLE, openapi_extra=_text(FRAGMENT))
async def trickle_publisher(session: OneSession, body: Fragment, if_match: IfMatch = None) -> Response:
    """Take in a publisher's further candidates."""
    return await _trickle(session.speaker, body, if_match)


@publishing.delete("/{session_id}", status_code=200, response_class=Response, responses=_THERE)
async def stop_publishing(session: OneSession, sessions: AllSessions) -> Response:
    """End a publisher's session."""
    await sessions.delete(session.id)
    return Response(status_code=200)


# OPTIONS are asked without a token: by browsers before they send one.


@options.options("/sessions/{session_id}/whep")
@options.options("/whip")
async def endpoint_options() -> Response:
    """Say what an endpoint takes."""
    return Response(status_code=200, headers={"Accept-Post": SDP, "Allow": "OPTIONS, GET, POST"})


@options.options("/sessions/{session_id}/whep/{viewer_id}")
@options.options("/whip/{session_id}")
async def resource_options() -> Response:
    """Say what a session's or viewer's own URL takes."""
    return Response(status_code=200, headers={"Accept-Patch": FRAGMENT, "Allow": "OPTIONS, GET, PATCH, DELETE"})

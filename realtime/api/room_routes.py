"""``POST /api/rooms``: a face joins a room of LiveKit and speaks there for an agent."""

from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from lipstream.realtime.api.authorization import REFUSALS, Authorization, holder_of, note_audit
from lipstream.realtime.api.error_responses import error_answers
from lipstream.realtime.api.keys import Scope
from lipstream.realtime.api.session_routes import Articulation
from lipstream.realtime.errors import BadRequestError, ConflictError, NotFoundError, UnavailableError
from lipstream.realtime.rooms.participant import RoomPlace
from lipstream.realtime.rooms.rooms import Rooms
from lipstream.realtime.sinks.stream_address import LONGEST_ADDRESS
from lipstream.realtime.wire.session_answers import RoomAnswer, RoomUrls

rooms = APIRouter(
    prefix="/api/rooms",
    dependencies=[Depends(holder_of(Scope.PUBLISH)), Depends(holder_of(Scope.STREAM))],
    tags=["operators", Scope.PUBLISH, Scope.STREAM],
    responses=error_answers(*REFUSALS),
)
_CREATED: dict[int | str, dict[str, Any]] = {
    201: {"headers": {"Location": {"description": "Path of the session.", "schema": {"type": "string"}}}}
}


class NewRoom(BaseModel):
    """The room that a face joins.

    Attributes:
        url: Address of LiveKit's server, ``wss://``; ``ws://`` on hosts of the option ``push_to``.
        token: Access token of the face's own participant: it must allow to join, and to publish tracks and data.
        agent: Identity of the participant that it speaks for, which sends the sound.
        avatar: Id of the avatar, at most 64 characters; ``null`` for the server's choice.
        articulation: How far the mouth goes, 0.5 to 1.5 of what was heard; ``null`` for the server's choice.
    """

    url: str = Field(max_length=LONGEST_ADDRESS)
    token: str = Field(max_length=8192, repr=False)
    agent: str = Field(min_length=1, max_length=256)
    avatar: str | None = Field(default=None, max_length=64)
    articulation: Articulation | None = None


@rooms.post(
    "",
    status_code=201,
    responses={**_CREATED, **error_answers(BadRequestError, ConflictError, NotFoundError, UnavailableError)},
)
async def join_room(body: NewRoom, request: Request, response: Response) -> RoomAnswer:
    """Begin a session that takes part in a room of LiveKit until its agent is gone."""
    authorization: Authorization = request.app.state.authorization
    server_rooms: Rooms = request.app.state.rooms
    session = await server_rooms.join(
        body.avatar,
        RoomPlace(body.url, body.token, body.agent),
        articulation=body.articulation,
        grant=authorization.grant(request),
    )
    note_audit(request, "session_began", session=session.id, avatar=session.avatar_id, by="livekit")
    path = f"/api/sessions/{session.id}"
    response.headers["Location"] = path
    return RoomAnswer(id=session.id, token=session.token, urls=RoomUrls(self=path), motions=list(session.motions.names))

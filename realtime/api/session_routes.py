"""The routes of sessions: begin, connect, say, interrupt, figures, end."""

import asyncio
import time
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from lipstream.realtime.api.authorization import (
    REFUSALS,
    AllSessions,
    Authorization,
    OneSession,
    WatchedSession,
    guest,
    holder_of,
    new_guest,
    note_audit,
    operator,
    owner,
)
from lipstream.realtime.api.error_responses import error_answers
from lipstream.realtime.api.keys import Scope
from lipstream.realtime.errors import (
    BadRequestError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    OfferError,
    TooLargeError,
    UnauthorizedError,
    UnavailableError,
)
from lipstream.realtime.lipsync.articulation import LEAST_ARTICULATION, MOST_ARTICULATION
from lipstream.realtime.session.script import HIGHEST_PRIORITY, MOST_LINES
from lipstream.realtime.session.session import Session
from lipstream.realtime.session.text_queue import LONGEST_TEXT
from lipstream.realtime.wire.answers import SessionListItem
from lipstream.realtime.wire.session_answers import (
    ConnectivityAnswer,
    NoticesAnswer,
    PeerAnswer,
    SampleAnswer,
    ScriptAnswer,
    SdpAnswer,
    SessionAnswer,
    SessionStats,
    SessionUrls,
    ViewerUrls,
)

_OFFERS = error_answers(BadRequestError, NotFoundError, TooLargeError, OfferError, UnavailableError)
_LOCATION = {"headers": {"Location": {"description": "Path of the session.", "schema": {"type": "string"}}}}

watchers = APIRouter(
    prefix="/api/sessions",
    dependencies=[Depends(holder_of(Scope.WATCH))],
    tags=["operators", Scope.WATCH],
    responses=error_answers(*REFUSALS),
)
guests = APIRouter(
    prefix="/api/sessions", dependencies=[Depends(guest)], tags=["guests"], responses=error_answers(*REFUSALS)
)
owners = APIRouter(
    prefix="/api/sessions/{session_id}",
    dependencies=[Depends(owner)],
    tags=["owners"],
    responses=error_answers(*REFUSALS, NotFoundError),
)

viewers = APIRouter(
    prefix="/api/sessions/{session_id}", tags=["viewers"], responses=error_answers(*REFUSALS, NotFoundError)
)


class Offer(BaseModel):
    """A WebRTC offer.

    Attributes:
        sdp: SDP with all candidates of the client, since none can follow.
    """

    sdp: str
    type: Literal["offer"]


Articulation = Annotated[float, Field(ge=LEAST_ARTICULATION, le=MOST_ARTICULATION, allow_inf_nan=False)]


Liveliness = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class SessionChange(BaseModel):
    """What is to change in a session, one field at least; if one cannot be changed, none is.

    Attributes:
        avatar: Id of the avatar to show, at most 64 characters; an unknown one is answered with status 404; ``null``
            keeps the one there is.
        articulation: How far the mouth goes, 0.5 to 1.5 of what was heard; weights without an articulation are answered
            with status 409; ``null`` keeps the one there is.
        liveliness: How much of the stress in speech the head of a photograph with motions shows, 0 to 1; ``null`` keeps
            what there is.
    """

    avatar: str | None = Field(default=None, max_length=64)
    articulation: Articulation | None = None
    liveliness: Liveliness | None = None


class Text(BaseModel):
    """A text to speak.

    Attributes:
        text: Plain text of any number of sentences, at most 5,000 characters.
    """

    text: str


class ScriptLines(BaseModel):
    """Lines to read aloud.

    Attributes:
        lines: Texts of at most 5,000 characters; with those that wait 2,000 lines or 200,000 characters at most.
        priority: 0 to 9; lines of a higher one are read first. A chat with 1 is read between the lines of a script.
        repeat: Whether they are read again and again; default false.
    """

    lines: list[Annotated[str, Field(max_length=LONGEST_TEXT)]] = Field(min_length=1, max_length=MOST_LINES)
    priority: int = Field(default=0, ge=0, le=HIGHEST_PRIORITY)
    repeat: bool = False


class Motion(BaseModel):
    """A motion to show.

    Attributes:
        name: One of the avatar's motions, such as ``greet``, at most 31 characters; an unknown one is answered with
            status 404.
    """

    name: str = Field(max_length=64)


class FormerSession(BaseModel):
    """A session that was lost with its worker.

    Attributes:
        id: Id that the lost session had.
        token: Token of its owner.
    """

    id: str = Field(max_length=64)
    token: str = Field(max_length=64)


class NewSession(BaseModel):
    """The beginning of a session.

    Attributes:
        avatar: Id of the avatar, at most 64 characters; ``null`` for the server's choice.
        offer: Offer of the speaking peer; ``null`` if it comes later.
        conversation: Whether the microphone is listened to and answered instead of being spoken; default false.
        local_audio: Whether it uses microphone and loudspeaker of the server's machine; default false; needs an API
            key.
        articulation: How far the mouth goes, 0.5 to 1.5 of what was heard; ``null`` for the server's choice.
        continues: Session of a cluster that was lost with its worker: the new one keeps its name and tokens, and
            viewers and programs are sent to it; ignored if the token is wrong or the session is not lost.
    """

    avatar: str | None = Field(default=None, max_length=64)
    offer: Offer | None = None
    conversation: bool = False
    local_audio: bool = False
    articulation: Articulation | None = None
    continues: FormerSession | None = None


@watchers.get("")
async def list_sessions(sessions: AllSessions) -> list[SessionListItem]:
    """Return the sessions there are, with what opens them to viewers, and who began them."""
    now_s, unix_s = asyncio.get_running_loop().time(), time.time()
    return [
        SessionListItem(
            id=session.id,
            avatar=session.avatar_id,
            state=session.state,
            viewers=session.viewers.count,
            viewer_token=session.viewer_token,
            since=round(unix_s - (now_s - session.began_s)),
            idle_s=round(max(0.0, now_s - session.active_s), 1),
            token=session.grant.token_id,
            key=session.grant.key,
            urls=ViewerUrls(self=f"/api/sessions/{session.id}", whep=f"/api/sessions/{session.id}/whep"),
        )
        for session in sessions.all()
    ]


@guests.post(
    "",
    status_code=201,
    dependencies=[Depends(new_guest)],
    responses={201: _LOCATION, **_OFFERS, **error_answers(ConflictError)},
)
async def create_session(
    body: NewSession, request: Request, response: Response, sessions: AllSessions
) -> SessionAnswer:
    """Begin a session, and answer its offer if it carries one."""
    authorization: Authorization = request.app.state.authorization
    invitation = authorization.caller(request).invitation
    if body.local_audio and not (invitation and invitation.local_audio):
        await operator(request)  # it hears the room that the server stands in
    if invitation and body.conversation and not invitation.conversation:
        raise ForbiddenError("the invitation is not for conversations")
    if invitation and invitation.once and not authorization.register.reserve(invitation):
        raise ForbiddenError("the invitation was for one call, which has begun already")
    try:
        session, answer = await sessions.create(
            body.avatar,
            body.offer.sdp if body.offer else None,
            listens=body.conversation,
            local_audio=body.local_audio,
            articulation=body.articulation,
            grant=authorization.grant(request),
            continues=(body.continues.id, body.continues.token) if body.continues else None,
        )
    except BaseException:
        if invitation and invitation.once:
            authorization.register.give_back(invitation)
        raise
    if invitation and authorization.register.is_revoked(invitation.id):  # while the session began
        session.end_for("revoked")
        raise UnauthorizedError("this needs a join token that was not taken back")
    if invitation and invitation.once:
        await authorization.register.keep(invitation)
    note_audit(
        request, "session_began", session=session.id, avatar=session.avatar_id,
        local_audio="yes" if body.local_audio else "",
    )  # fmt: skip
    path = f"/api/sessions/{session.id}"
    response.headers["Location"] = path
    reach = sessions.factory.connectivity(session)
    created = SessionAnswer(
        id=session.id,
        token=session.token,
        viewer_token=session.viewer_token,
        look_ahead_ms=session.look_ahead_ms,
        articulation=session.mouths.articulation,
        liveliness=session.motions.liveliness,
        ice_servers=reach["ice_servers"],
        ice_transport_policy=reach["ice_transport_policy"],
        urls=SessionUrls(self=path, peer=f"{path}/peer", audio=f"{path}/audio", whep=f"{path}/whep"),
        speaks_text=sessions.factory.synthesizer is not None,
        motions=list(session.motions.names),
    )
    if body.local_audio:
        created["local_audio"] = sorted(sessions.local_audio.wanted)
    if answer is not None:
        created["answer"] = SdpAnswer(sdp=answer, type="answer")
    return created


@owners.post("/peer", responses=_OFFERS)
async def connect_peer(offer: Offer, session: OneSession) -> PeerAnswer:
    """Answer the speaking peer's offer; it takes the place of the one before.

    A later offer on the same connection (same ICE credentials and certificate) changes it: sound or picture turned off
    and on again, a microphone or the channel ``control`` added, a section ended. New sections of sound and picture are
    rejected. If it cannot be answered, the call goes on as it was.
    """
    return PeerAnswer(answer=SdpAnswer(sdp=await session.answer(offer.sdp), type="answer"))


@owners.get("/connectivity")
async def connectivity(session: OneSession, sessions: AllSessions) -> ConnectivityAnswer:
    """Return STUN and TURN servers with fresh credentials, for a client that connects again."""
    return sessions.factory.connectivity(session)


@owners.get("")
async def session_figures(session: OneSession) -> SessionStats:
    """Return a session's live figures."""
    return session.stats()


@viewers.get("/notices")
async def notices(session: WatchedSession) -> NoticesAnswer:
    """Return what a page must tell those who see or hear the session."""
    return NoticesAnswer(recorded=session.sinks.is_recorded, streamed=session.sinks.streams.live > 0)


@owners.post("/interrupt")
async def interrupt(session: OneSession) -> SampleAnswer:
    """Stop speaking now. From the sample on there is silence; what comes from the source later is spoken."""
    return SampleAnswer(sample=session.speech.interrupt())


@owners.post("/say", responses=error_answers(BadRequestError, ConflictError, TooLargeError, UnavailableError))
async def say(body: Text, session: OneSession) -> SampleAnswer:
    """Speak a text after those that wait. Nothing of it is heard before the sample."""
    return SampleAnswer(sample=await session.speech.say(body.text))


@owners.post("/script", status_code=202, responses=error_answers(BadRequestError, ConflictError))
async def read_script(body: ScriptLines, session: OneSession) -> ScriptAnswer:
    """Read lines aloud while no other text waits: a script that repeats, or what people write in a chat."""
    session.speech.text_queue.read(body.lines, priority=body.priority, repeats=body.repeat)
    return _script(session)


@owners.get("/script")
async def script(session: OneSession) -> ScriptAnswer:
    """Return how many lines wait to be read."""
    return _script(session)


@owners.delete("/script", status_code=204)
async def forget_script(session: OneSession) -> None:
    """Forget the lines that wait; the one that is being read is read to its end."""
    session.speech.text_queue.script.clear()


def _script(session: Session) -> ScriptAnswer:
    waiting = session.speech.text_queue.script
    return ScriptAnswer(lines=len(waiting), characters=waiting.characters)


@owners.post("/motion", responses=error_answers(BadRequestError, ConflictError))
async def motion(body: Motion, session: OneSession) -> SampleAnswer:
    """Show a motion of the avatar once, as soon as it is in the right pose. No picture of it is before the sample."""
    return SampleAnswer(sample=session.motions.ask(body.name))


@owners.patch("", status_code=204, responses=error_answers(BadRequestError, ConflictError, UnavailableError))
async def change_session(change: SessionChange, session: OneSession, sessions: AllSessions) -> None:
    """Show another avatar without a break, or let mouth or head go further, or less far."""
    if change.avatar is None and change.articulation is None and change.liveliness is None:
        raise BadRequestError("nothing is to change: name an avatar, an articulation or a liveliness")
    if change.articulation is not None:
        session.mouths.check_articulates()
    if change.avatar is not None:
        await sessions.switch(session.id, change.avatar)
    if change.articulation is not None:
        session.mouths.articulate(change.articulation)
    if change.liveliness is not None:
        session.motions.enliven(change.liveliness)


@owners.delete("", status_code=204)
async def delete_session(session_id: str, request: Request, sessions: AllSessions) -> None:
    """End a session."""
    note_audit(request, "session_deleted", session=session_id)
    await sessions.delete(session_id)

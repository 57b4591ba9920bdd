"""Sessions over HTTP: begun, connected, told what to say, asked how they are, ended."""

from typing import Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from lipstream.realtime.api.authorization import AllSessions, OneSession, guest, new_guest, operator, owner

operators = APIRouter(prefix="/api/sessions", dependencies=[Depends(operator)])
guests = APIRouter(prefix="/api/sessions", dependencies=[Depends(guest)])
owners = APIRouter(prefix="/api/sessions/{session_id}", dependencies=[Depends(owner)])


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


class NewSession(BaseModel):
    """What a session begins with."""

    avatar: str | None = Field(default=None, max_length=64)
    offer: Offer | None = None
    conversation: bool = False
    local_audio: bool = False


@operators.get("")
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


@guests.post("", status_code=201, dependencies=[Depends(new_guest)])
async def create_session(
    body: NewSession, request: Request, response: Response, sessions: AllSessions
) -> dict[str, Any]:
    """Begin a session, and answer its offer if it carries one."""
    if body.local_audio:
        await operator(request)  # it hears the room that the server stands in
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


@owners.post("/peer")
async def connect_peer(offer: Offer, session: OneSession) -> dict[str, Any]:
    """Answer the speaking peer's offer; it takes the place of the one before."""
    return {"answer": {"sdp": await session.answer(offer.sdp), "type": "answer"}}


@owners.get("/connectivity")
async def connectivity(session: OneSession, sessions: AllSessions) -> dict[str, Any]:
    """Return STUN and TURN servers with fresh credentials, for a client that connects again."""
    return sessions.connectivity(session)


@owners.get("")
async def session_figures(session: OneSession) -> dict[str, Any]:
    """Return a session's live figures."""
    return session.stats()


@owners.post("/interrupt")
async def interrupt(session: OneSession) -> dict[str, int]:
    """Stop speaking now."""
    return {"sample": session.speech.interrupt()}


@owners.post("/say")
async def say(body: Text, session: OneSession) -> dict[str, int]:
    """Speak a text, behind what is being spoken of others; nothing of it is heard before the sample."""
    return {"sample": await session.speech.say(body.text)}


@owners.patch("", status_code=204)
async def switch_avatar(session_id: str, choice: AvatarChoice, sessions: AllSessions) -> None:
    """Show another avatar without a break."""
    await sessions.switch(session_id, choice.avatar)


@owners.delete("", status_code=204)
async def delete_session(session_id: str, sessions: AllSessions) -> None:
    """End a session."""
    await sessions.delete(session_id)

"""The routes of a session's sinks: who holds an API key decides what is stored and where it is sent."""

from typing import Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from realtime.guards import operator
from realtime.sessions import Sessions
from realtime.sinks.link import LONGEST_ADDRESS

RECORDINGS = "recordings"
"""Folder of the store."""

sinks = APIRouter(prefix="/api/sessions/{session_id}", dependencies=[Depends(operator)])


class NewStream(BaseModel):
    """Where a session is streamed to: the address holds the key to somebody's channel, so no answer repeats it."""

    url: str = Field(max_length=LONGEST_ADDRESS, repr=False)


@sinks.post("/recording", status_code=201)
async def record(session_id: str, request: Request) -> dict[str, Any]:
    """Begin to record a session."""
    sessions: Sessions = request.app.state.sessions
    facts = await sessions.facts(session_id)
    session = sessions.get(session_id)
    return session.sinks.record(sessions.store.root / RECORDINGS, facts, session.avatar_id).figures()


@sinks.get("/recording")
async def recording(session_id: str, request: Request) -> dict[str, Any]:
    """Return the state of a session's recording, the last one if it has ended."""
    sessions: Sessions = request.app.state.sessions
    return sessions.get(session_id).sinks.recording.figures()


@sinks.delete("/recording")
async def stop_recording(session_id: str, request: Request) -> dict[str, Any]:
    """End a recording; return what it became once its file is whole."""
    sessions: Sessions = request.app.state.sessions
    return (await sessions.get(session_id).sinks.stop_recording()).figures()


@sinks.post("/streams", status_code=201)
async def stream(session_id: str, new: NewStream, request: Request) -> dict[str, Any]:
    """Begin to stream a session to another server."""
    sessions: Sessions = request.app.state.sessions
    facts = await sessions.facts(session_id)
    return sessions.get(session_id).sinks.streams.add(new.url, facts).figures()


@sinks.get("/streams")
async def streams(session_id: str, request: Request) -> list[dict[str, Any]]:
    """Return the state of each of a session's streams."""
    sessions: Sessions = request.app.state.sessions
    return sessions.get(session_id).sinks.streams.figures()


@sinks.delete("/streams/{stream_id}")
async def stop_stream(session_id: str, stream_id: str, request: Request) -> dict[str, Any]:
    """End a stream, once its server was told; return what became of it."""
    sessions: Sessions = request.app.state.sessions
    return (await sessions.get(session_id).sinks.streams.remove(stream_id)).figures()

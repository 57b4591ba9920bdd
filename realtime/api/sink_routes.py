"""The routes of a session's sinks: who holds an API key decides what is stored and where it is sent."""

from typing import Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from lipstream.realtime.api.authorization import AllSessions, operator
from lipstream.realtime.sinks.stream_address import LONGEST_ADDRESS

RECORDINGS = "recordings"
"""Folder of the store."""

sinks = APIRouter(prefix="/api/sessions/{session_id}", dependencies=[Depends(operator)])


class NewStream(BaseModel):
    """Where a session is streamed to: the address holds the key to somebody's channel, so no answer repeats it."""

    url: str = Field(max_length=LONGEST_ADDRESS, repr=False)


@sinks.post("/recording", status_code=201)
async def record(session_id: str, sessions: AllSessions) -> dict[str, Any]:
    """Begin to record a session."""
    facts = await sessions.facts(session_id)
    session = sessions.get(session_id)
    return session.sinks.record(sessions.store.root / RECORDINGS, facts, session.avatar_id).stats()


@sinks.get("/recording")
async def recording(session_id: str, sessions: AllSessions) -> dict[str, Any]:
    """Return the state of a session's recording, the last one if it has ended."""
    return sessions.get(session_id).sinks.recording.stats()


@sinks.delete("/recording")
async def stop_recording(session_id: str, sessions: AllSessions) -> dict[str, Any]:
    """End a recording; return what it became once its file is whole."""
    return (await sessions.get(session_id).sinks.stop_recording()).stats()


@sinks.post("/streams", status_code=201)
async def stream(session_id: str, new: NewStream, sessions: AllSessions) -> dict[str, Any]:
    """Begin to stream a session to another server."""
    facts = await sessions.facts(session_id)
    return sessions.get(session_id).sinks.streams.add(new.url, facts).stats()


@sinks.get("/streams")
async def streams(session_id: str, sessions: AllSessions) -> list[dict[str, Any]]:
    """Return the state of each of a session's streams."""
    return sessions.get(session_id).sinks.streams.stats()


@sinks.delete("/streams/{stream_id}")
async def stop_stream(session_id: str, stream_id: str, sessions: AllSessions) -> dict[str, Any]:
    """End a stream, once its server was told; return what became of it."""
    return (await sessions.get(session_id).sinks.streams.remove(stream_id)).stats()

"""The routes of a session's sinks: who holds an API key decides what is stored and where it is sent."""

import asyncio
import secrets
from typing import Any

from fastapi import APIRouter, Depends, Request

from realtime.guards import operator
from realtime.provenance import provenance
from realtime.sessions import Sessions

RECORDINGS = "recordings"
"""Folder of the store."""

sinks = APIRouter(prefix="/api/sessions/{session_id}", dependencies=[Depends(operator)])


@sinks.post("/recording", status_code=201)
async def record(session_id: str, request: Request) -> dict[str, Any]:
    """Begin to record a session."""
    sessions: Sessions = request.app.state.sessions
    session = sessions.get(session_id)
    face = (await asyncio.to_thread(sessions.store.load, session.avatar_id)).manifest
    facts = provenance(secrets.token_hex(16), avatar=face.name, consent=face.consent)
    sessions.get(session_id)  # or it has ended meanwhile
    return session.sinks.record(sessions.store.root / RECORDINGS, facts, face.id).figures()


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

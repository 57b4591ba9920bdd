"""The routes of a session's sinks: who holds an API key decides what is stored and where it is sent."""

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from lipstream.realtime.api.authorization import REFUSALS, AllSessions, operator
from lipstream.realtime.api.error_responses import error_answers
from lipstream.realtime.errors import BadRequestError, ConflictError, NotFoundError, UnavailableError
from lipstream.realtime.server.recordings import FOLDER
from lipstream.realtime.sinks.stream_address import LONGEST_ADDRESS
from lipstream.realtime.wire.answers import RecordingAnswer, StreamAnswer

sinks = APIRouter(
    prefix="/api/sessions/{session_id}",
    dependencies=[Depends(operator)],
    tags=["operators"],
    responses=error_answers(*REFUSALS, NotFoundError),
)


class NewStream(BaseModel):
    """Where a session is streamed to.

    Attributes:
        url: ``rtmp://``, ``rtmps://``, ``srt://`` or a WHIP endpoint. It holds the channel's key: no answer repeats it.
    """

    url: str = Field(max_length=LONGEST_ADDRESS, repr=False)


@sinks.post("/recording", status_code=201, responses=error_answers(ConflictError, UnavailableError))
async def record(session_id: str, sessions: AllSessions) -> RecordingAnswer:
    """Begin to record a session."""
    facts = await sessions.facts(session_id)
    session = sessions.get(session_id)
    longest_s = 60 * sessions.settings.record_minutes
    return session.sinks.record(sessions.store.root / FOLDER, facts, session.avatar_id, longest_s=longest_s).stats()


@sinks.get("/recording")
async def recording(session_id: str, sessions: AllSessions) -> RecordingAnswer:
    """Return the state of a session's recording, the last one if it has ended."""
    return sessions.get(session_id).sinks.recording.stats()


@sinks.delete("/recording")
async def stop_recording(session_id: str, sessions: AllSessions) -> RecordingAnswer:
    """End a recording; return what it became once its file is whole."""
    return (await sessions.get(session_id).sinks.stop_recording()).stats()


@sinks.post("/streams", status_code=201, responses=error_answers(BadRequestError, ConflictError))
async def stream(session_id: str, new: NewStream, sessions: AllSessions) -> StreamAnswer:
    """Begin to stream a session to another server."""
    facts = await sessions.facts(session_id)
    return sessions.get(session_id).sinks.streams.add(new.url, facts).stats()


@sinks.get("/streams")
async def streams(session_id: str, sessions: AllSessions) -> list[StreamAnswer]:
    """Return the state of each of a session's streams."""
    return sessions.get(session_id).sinks.streams.stats()


@sinks.delete("/streams/{stream_id}")
async def stop_stream(session_id: str, stream_id: str, sessions: AllSessions) -> StreamAnswer:
    """End a stream, once its server was told; return what became of it."""
    return (await sessions.get(session_id).sinks.streams.remove(stream_id)).stats()

"""The routes of a session's sinks: who holds an API key decides what is stored and where it is sent."""

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from lipstream.realtime.api.authorization import REFUSALS, AllSessions, holder_of, note_audit
from lipstream.realtime.api.error_responses import error_answers
from lipstream.realtime.api.keys import Scope
from lipstream.realtime.errors import BadRequestError, ConflictError, NotFoundError, UnavailableError
from lipstream.realtime.server.recordings import FOLDER
from lipstream.realtime.sinks.stream_address import LONGEST_ADDRESS
from lipstream.realtime.wire.answers import RecordingAnswer, StreamAnswer

recordings = APIRouter(
    prefix="/api/sessions/{session_id}/recording",
    dependencies=[Depends(holder_of(Scope.RECORD))],
    tags=["operators", Scope.RECORD],
    responses=error_answers(*REFUSALS, NotFoundError),
)
streams = APIRouter(
    prefix="/api/sessions/{session_id}/streams",
    dependencies=[Depends(holder_of(Scope.STREAM))],
    tags=["operators", Scope.STREAM],
    responses=error_answers(*REFUSALS, NotFoundError),
)


class NewStream(BaseModel):
    """Where a session is streamed to.

    Attributes:
        url: ``rtmp://``, ``rtmps://``, ``srt://`` or a WHIP endpoint. It holds the channel's key: no answer repeats it.
    """

    url: str = Field(max_length=LONGEST_ADDRESS, repr=False)


@recordings.post("", status_code=201, responses=error_answers(ConflictError, UnavailableError))
async def record(session_id: str, request: Request, sessions: AllSessions) -> RecordingAnswer:
    """Begin to record a session."""
    facts = await sessions.facts(session_id)
    session = sessions.get(session_id)
    folder, longest_s = sessions.store.root / FOLDER, 60 * sessions.settings.record_minutes
    begun = session.sinks.record(folder, facts, session.avatar_id, longest_s=longest_s).stats()
    note_audit(request, "recording_started", session=session_id)
    return begun


@recordings.get("")
async def recording(session_id: str, sessions: AllSessions) -> RecordingAnswer:
    """Return the state of a session's recording, the last one if it has ended."""
    return sessions.get(session_id).sinks.recording.stats()


@recordings.delete("")
async def stop_recording(session_id: str, request: Request, sessions: AllSessions) -> RecordingAnswer:
    """End a recording; return what it became once its file is whole."""
    note_audit(request, "recording_ended", session=session_id)
    return (await sessions.get(session_id).sinks.stop_recording()).stats()


@streams.post("", status_code=201, responses=error_answers(BadRequestError, ConflictError))
async def stream(session_id: str, new: NewStream, request: Request, sessions: AllSessions) -> StreamAnswer:
    """Begin to stream a session to another server."""
    facts = await sessions.facts(session_id)
    begun = sessions.get(session_id).sinks.streams.add(new.url, facts).stats()
    note_audit(request, "stream_started", session=session_id, to=begun["to"])
    return begun


@streams.get("")
async def list_streams(session_id: str, sessions: AllSessions) -> list[StreamAnswer]:
    """Return the state of each of a session's streams."""
    return sessions.get(session_id).sinks.streams.stats()


@streams.delete("/{stream_id}")
async def stop_stream(session_id: str, stream_id: str, request: Request, sessions: AllSessions) -> StreamAnswer:
    """End a stream, once its server was told; return what became of it."""
    note_audit(request, "stream_ended", session=session_id, stream=stream_id)
    return (await sessions.get(session_id).sinks.streams.remove(stream_id)).stats()

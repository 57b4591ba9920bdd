"""The routes of stored recordings, for operators."""

import time
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import FileResponse

from lipstream.realtime.api.authorization import REFUSALS, AllSessions, holder_of, note_audit
from lipstream.realtime.api.error_responses import error_answers
from lipstream.realtime.api.keys import Scope
from lipstream.realtime.errors import ConflictError, NotFoundError
from lipstream.realtime.server.recordings import Recordings
from lipstream.realtime.sinks.recording_files import PICTURE_SUFFIX, TRANSCRIPT_SUFFIX
from lipstream.realtime.wire.answers import RecordingListAnswer, StoredRecording

MOST_LISTED = 1000
_MEDIA_TYPES = {PICTURE_SUFFIX: "video/mp4", TRANSCRIPT_SUFFIX: "application/jsonl"}
_CONTENT = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in _MEDIA_TYPES.values()}

stored_recordings = APIRouter(
    prefix="/api/recordings",
    dependencies=[Depends(holder_of(Scope.RECORD))],
    tags=["operators", Scope.RECORD],
    responses=error_answers(*REFUSALS),
)


async def _recordings(request: Request) -> Recordings:
    recordings: Recordings = request.app.state.recordings
    return recordings


StoredRecordings = Annotated[Recordings, Depends(_recordings)]


@stored_recordings.get("")
async def list_recordings(
    recordings: StoredRecordings,
    sessions: AllSessions,
    limit: Annotated[int, Query(ge=1, le=MOST_LISTED)] = 100,
    offset: Annotated[int, Query(ge=0)] = 0,
) -> RecordingListAnswer:
    """List stored recordings, the latest first: at most `limit` of them, 1 to 1000, without the first `offset`."""
    kept, written = await recordings.all(), sessions.being_recorded()
    return RecordingListAnswer(
        count=len(kept),
        bytes=sum(one.bytes for one in kept),
        recordings=[
            StoredRecording(
                name=one.name,
                bytes=one.bytes,
                changed=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(one.changed_s)),
                running=one.name in written,
            )
            for one in kept[offset : offset + limit]
        ],
    )


@stored_recordings.get(
    "/{file}",
    response_class=FileResponse,
    responses={
        **error_answers(NotFoundError, ConflictError),
        200: {"content": _CONTENT, "description": "The file."},
        206: {"content": _CONTENT, "description": "The part of the file that `Range` asks for."},
    },
)
async def fetch_recording(file: str, request: Request, recordings: StoredRecordings) -> FileResponse:
    """Return a file of a recording that has ended: NAME.mp4, or NAME.jsonl for its transcript."""
    path = await recordings.file(file)
    note_audit(request, "recording_fetched", session=path.name, file=_made_at(path.name))
    return FileResponse(
        path,
        media_type=_MEDIA_TYPES[path.suffix],
        filename=path.name,
        headers={"Cache-Control": "private, no-cache"},
    )


@stored_recordings.delete("/{name}", status_code=204, responses=error_answers(NotFoundError, ConflictError))
async def delete_recording(name: str, request: Request, recordings: StoredRecordings) -> None:
    """Delete a recording that has ended, with its transcript."""
    await recordings.remove(name)
    note_audit(request, "recording_deleted", session=name, file=_made_at(name))


def _made_at(name: str) -> str:
    """Return the part of a recording's name after the session's id, which the log does not hold as a whole."""
    return name.rpartition("-")[2]

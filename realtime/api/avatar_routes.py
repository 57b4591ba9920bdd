"""The routes of avatars: who is there, uploads and their progress, the end of one."""

import json
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import StreamingResponse
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect

from lipstream.realtime.api.authorization import REFUSALS, AllSessions, guest, operator
from lipstream.realtime.api.error_responses import error_answers
from lipstream.realtime.errors import (
    BadRequestError,
    ConflictError,
    LipstreamError,
    NotFoundError,
    StorageFullError,
    TooLargeError,
    UnavailableError,
    UnsupportedTypeError,
)
from lipstream.realtime.server.avatar_builds import AvatarBuilds, Build
from lipstream.realtime.wire.answers import AvatarAnswer, AvatarBuildAnswer, AvatarListItem, AvatarUploadAnswer

_MOST_FIELDS = 8
_FIELDS = ("id", "name", "licence", "consent", "face")

readers = APIRouter(
    prefix="/api/avatars", dependencies=[Depends(guest)], tags=["guests"], responses=error_answers(*REFUSALS)
)
makers = APIRouter(
    prefix="/api/avatars", dependencies=[Depends(operator)], tags=["operators"], responses=error_answers(*REFUSALS)
)


class _Jpeg(Response):
    media_type = "image/jpeg"


class _EventStream(StreamingResponse):
    media_type = "text/event-stream"


_UPLOAD = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": {"type": "string", "format": "binary", "description": "A clip or a photograph."},
        "id": {"type": "string", "description": "Names the avatar in routes; made of the name if absent."},
        "name": {"type": "string", "description": "For people; the file's name if absent."},
        "licence": {"type": "string", "description": "Of the file; `unknown` if absent."},
        "consent": {"type": "string", "description": "Whose face it is, and how they agreed."},
        "face": {"type": "integer", "description": "Which face, the largest is 1."},
    },
}


async def _builds(request: Request) -> AvatarBuilds:
    builds: AvatarBuilds = request.app.state.builds
    return builds


Builds = Annotated[AvatarBuilds, Depends(_builds)]


@readers.get("")
def avatars(sessions: AllSessions, builds: Builds) -> list[AvatarListItem]:
    """List the avatars, those too that are being made."""
    listed = {
        build.id: AvatarListItem(id=build.id, name=build.id, state=build.state, own=True)
        for build in builds.all()
        if build.state != "ready"
    }
    for facts in sessions.store.list():
        state, own = sessions.avatars.state(facts.id), sessions.store.is_own(facts.id)
        listed.setdefault(facts.id, AvatarListItem(id=facts.id, name=facts.name, state=state, own=own))
        listed[facts.id]["name"] = facts.name
    return [listed[avatar_id] for avatar_id in sorted(listed)]


@readers.get("/{avatar_id}", responses=error_answers(NotFoundError))
def avatar(avatar_id: str, sessions: AllSessions, builds: Builds) -> AvatarBuildAnswer | AvatarAnswer:
    """Return one avatar's facts, or how far it is."""
    build = builds.state(avatar_id)
    if build and build.state != "ready":
        return _progress(build)
    facts = sessions.store.load(avatar_id).manifest
    report = sessions.store.report(avatar_id)
    state = sessions.avatars.state(avatar_id)
    face = facts.boxes[0]
    return AvatarAnswer(
        id=facts.id,
        name=facts.name,
        state=state,
        progress=float(state == "ready"),
        size=facts.size,
        frames=facts.frames,
        face=(face.x, face.y, face.width, face.height),
        loop=facts.loop,
        licence=facts.licence,
        consent=facts.consent,
        description=facts.description,
        report=json.loads(report) if report else None,
    )


@readers.get("/{avatar_id}/preview", response_class=_Jpeg, responses=error_answers(NotFoundError))
def preview(avatar_id: str, sessions: AllSessions) -> Response:
    """Return a JPEG of the avatar."""
    return _Jpeg(sessions.store.preview(avatar_id))


@readers.get("/{avatar_id}/events", response_class=_EventStream, responses=error_answers(NotFoundError))
def events(avatar_id: str, sessions: AllSessions, builds: Builds) -> StreamingResponse:
    """Tell how far an avatar is, by server-sent events, until it is ready or has failed.

    Each event is named after the state; its data is the JSON that `GET /api/avatars/{avatar_id}` gives for an upload.
    """
    if builds.state(avatar_id) is None:
        sessions.store.load(avatar_id)  # or there is none

    async def tell() -> AsyncIterator[str]:
        if builds.state(avatar_id) is None:
            yield _event(Build(avatar_id, "ready", 1.0))
        async for build in builds.changes(avatar_id):
            yield _event(build)

    return _EventStream(tell(), headers={"Cache-Control": "no-store"})


def _progress(build: Build) -> AvatarBuildAnswer:
    return AvatarBuildAnswer(id=build.id, state=build.state, progress=build.progress, message=build.message)


def _event(build: Build) -> str:
    return f"event: {build.state}\ndata: {json.dumps(_progress(build))}\n\n"


@makers.post(
    "",
    status_code=202,
    openapi_extra={"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _UPLOAD}}}},
    responses=error_answers(
        *(BadRequestError, ConflictError, TooLargeError, UnsupportedTypeError, UnavailableError, StorageFullError)
    ),
)
async def upload(request: Request, response: Response, builds: Builds) -> AvatarUploadAnswer:
    """Make an avatar of a clip or a photograph."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise UnsupportedTypeError("an avatar comes as multipart/form-data, with a file")
    form = await _form(request)
    try:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise BadRequestError("the form has no file")
        if (file.size or 0) > builds.limits.bytes:
            raise TooLargeError(f"the file has {file.size:,} bytes; at most {builds.limits.bytes:,} are taken")
        fields = {name: str(form.get(name, "")).strip()[:120] for name in _FIELDS}
        name = fields["name"] or (file.filename or "").rsplit("/", 1)[-1].rsplit(".", 1)[0][:120]
        if not (fields["face"] or "1").isdecimal():
            raise BadRequestError("face: a number, the largest face is 1")
        avatar_id = await builds.start(
            file.file,
            avatar_id=fields["id"],
            name=name,
            licence=fields["licence"] or "unknown",
            consent=fields["consent"],
            face=int(fields["face"] or 1),
        )
    finally:
        await form.close()
    response.headers["Location"] = f"/api/avatars/{avatar_id}"
    return AvatarUploadAnswer(id=avatar_id)


async def _form(request: Request) -> FormData:
    """Read the form, its file to disk.

    Raises:
        LipstreamError: If it cannot be read, or it is larger than a request may be.
    """
    try:
        return await request.form(max_files=1, max_fields=_MOST_FIELDS)
    except LipstreamError:
        raise
    except (MultiPartException, ClientDisconnect, ValueError, KeyError) as error:
        raise BadRequestError(f"the form cannot be read: {error}") from error


@makers.delete("/{avatar_id}", status_code=204, responses=error_answers(ConflictError, NotFoundError))
async def remove(avatar_id: str, sessions: AllSessions, builds: Builds) -> None:
    """Remove an avatar; one that is being made is not made any further."""
    was_building = await builds.cancel(avatar_id)
    try:
        await sessions.remove_avatar(avatar_id)
    except NotFoundError:
        if not was_building:
            raise

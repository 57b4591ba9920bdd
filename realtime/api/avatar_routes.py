"""The routes of avatars: who is there, uploads and their progress, the end of one."""

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect

from lipstream.avatar_cache.manifest import RESTS, Rest
from lipstream.realtime.api.authorization import REFUSALS, AllSessions, Authorization, guest, holder_of, note_audit
from lipstream.realtime.api.error_responses import error_answers
from lipstream.realtime.api.keys import Scope
from lipstream.realtime.api.plain_text import one_line
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
from lipstream.realtime.server.avatar_catalog import AvatarCatalog
from lipstream.realtime.server.sessions import Sessions
from lipstream.realtime.wire.answers import AvatarAnswer, AvatarBuildAnswer, AvatarListItem, AvatarUploadAnswer

_MOST_FIELDS = 9
_FACE_DIGITS = 4
_FIELDS = ("id", "name", "licence", "consent", "face", "rest")
_MOST_FILES = 2

readers = APIRouter(
    prefix="/api/avatars", dependencies=[Depends(guest)], tags=["guests"], responses=error_answers(*REFUSALS)
)
makers = APIRouter(
    prefix="/api/avatars",
    dependencies=[Depends(holder_of(Scope.UPLOAD))],
    tags=["operators", Scope.UPLOAD],
    responses=error_answers(*REFUSALS),
)
_CACHED = {"Cache-Control": "private, no-cache"}
"""A browser keeps the answer and asks each time whether it is still true; that costs neither a list nor a picture."""
_TAGGED: dict[int | str, dict[str, Any]] = {
    200: {"headers": {"ETag": {"description": "Names the content.", "schema": {"type": "string"}}}},
    304: {"description": "The content that `If-None-Match` names is the current one."},
}


class _Jpeg(Response):
    media_type = "image/jpeg"


class _EventStream(StreamingResponse):
    media_type = "text/event-stream"


_FACE_FIELD = {"type": "integer", "description": "Which face, the largest is 1."}
_UPLOAD = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": {"type": "string", "format": "binary", "description": "A clip or a photograph."},
        "id": {"type": "string", "description": "Names the avatar in routes; made of the name if absent."},
        "name": {"type": "string", "description": "For people; the file's name if absent."},
        "licence": {"type": "string", "description": "Of the file; `unknown` if absent."},
        "consent": {"type": "string", "description": "Whose face it is, and how they agreed."},
        "face": _FACE_FIELD,
        "rest": {
            "type": "string",
            "enum": list(RESTS),
            "description": "Mouth at rest: the file's own, or drawn closed; what suits the file if absent.",
        },
        "eyes_shut": {
            "type": "string",
            "format": "binary",
            "description": "A photograph of the same face with its eyes shut, for the blinks of a photograph.",
        },
    },
}


async def _builds(request: Request) -> AvatarBuilds:
    builds: AvatarBuilds = request.app.state.builds
    return builds


async def _catalog(request: Request) -> AvatarCatalog:
    catalog: AvatarCatalog = request.app.state.catalog
    return catalog


Builds = Annotated[AvatarBuilds, Depends(_builds)]
Catalog = Annotated[AvatarCatalog, Depends(_catalog)]
IfNoneMatch = Annotated[str | None, Header()]


async def _seen(avatar_id: str, request: Request) -> str:
    if not _may_see(request, avatar_id):
        raise NotFoundError(f"there is no avatar {avatar_id!r}")
    return avatar_id


def _may_see(request: Request, avatar_id: str) -> bool:
    """Return whether a caller may know of an avatar: an invitation to some of them shows no other face."""
    invitation = _authorization(request).caller(request).invitation
    return invitation is None or invitation.avatars is None or avatar_id in invitation.avatars


SeenAvatar = Annotated[str, Depends(_seen)]


@readers.get("", response_model=list[AvatarListItem], responses=_TAGGED)
async def avatars(
    request: Request, sessions: AllSessions, builds: Builds, catalog: Catalog, if_none_match: IfNoneMatch = None
) -> Response:
    """List the avatars, those too that are being made."""
    listed = {
        build.id: AvatarListItem(id=build.id, name=build.id, state=build.state, own=True)
        for build in builds.all()
        if build.state != "ready"
    }
    for avatar_id, avatar in (await catalog.all()).items():
        name, state = avatar.manifest.name, sessions.avatars.state(avatar_id)
        if avatar_id not in listed or listed[avatar_id]["state"] != "building":  # what failed left the avatar as it was
            listed[avatar_id] = AvatarListItem(id=avatar_id, name=name, state=state, own=avatar.own)
        listed[avatar_id]["name"] = name
        if forms := [form for form in avatar.forms if _may_see(request, form)]:
            listed[avatar_id]["forms"] = forms
    listed = {avatar_id: item for avatar_id, item in listed.items() if _may_see(request, avatar_id)}
    answer = JSONResponse([listed[avatar_id] for avatar_id in sorted(listed)], headers=_CACHED)
    return _tagged(answer, hashlib.sha256(answer.body).hexdigest()[:32], if_none_match)


@readers.get("/{avatar_id}", responses=error_answers(NotFoundError))
async def avatar(
    avatar_id: SeenAvatar, request: Request, sessions: AllSessions, builds: Builds, catalog: Catalog
) -> AvatarBuildAnswer | AvatarAnswer:
    """Return one avatar's facts, or how far it is. Whose face it is and how they agreed is for API keys alone."""
    build = builds.state(avatar_id)
    is_known = avatar_id in await catalog.all()
    if build and (build.state == "building" or (build.state == "failed" and not is_known)):
        return _progress(build)
    known = await catalog.get(avatar_id)
    facts, state = known.manifest, sessions.avatars.state(avatar_id)
    face = facts.boxes[0]
    answer = AvatarAnswer(
        id=facts.id,
        name=facts.name,
        state=state,
        progress=sessions.avatars.progress(avatar_id),
        size=facts.size,
        frames=facts.loop_frames,
        motions=list(facts.motions),
        face=(face.x, face.y, face.width, face.height),
        loop=facts.loop,
        licence=facts.licence,
        description=facts.description,
        report=known.report,
    )
    if _authorization(request).caller(request).may(Scope.UPLOAD):
        answer["consent"] = facts.consent
    return answer


@readers.get(
    "/{avatar_id}/preview", response_class=_Jpeg, responses=_TAGGED | error_answers(NotFoundError, UnavailableError)
)
async def preview(avatar_id: SeenAvatar, catalog: Catalog, if_none_match: IfNoneMatch = None) -> Response:
    """Return a JPEG of the avatar."""
    made = await catalog.preview(avatar_id)
    return _tagged(_Jpeg(made.jpeg, headers=_CACHED), made.tag, if_none_match)


def _authorization(request: Request) -> Authorization:
    authorization: Authorization = request.app.state.authorization
    return authorization


def _tagged(answer: Response, tag: str, if_none_match: str | None) -> Response:
    """Return an answer with its ETag, or 304 if the client has the content (RFC 9110, section 13.1.2)."""
    tags = [one.strip().removeprefix("W/") for one in (if_none_match or "").split(",")]
    if f'"{tag}"' in tags or "*" in tags:
        answer = Response(status_code=304, headers=_CACHED)
    answer.headers["ETag"] = f'"{tag}"'
    return answer


@readers.get("/{avatar_id}/events", response_class=_EventStream, responses=error_answers(NotFoundError))
def events(avatar_id: SeenAvatar, sessions: AllSessions, builds: Builds) -> StreamingResponse:
    """Tell how far an avatar is, by server-sent events, until it is ready or has failed.

    Each event is named after the state; its data is the JSON that `GET /api/avatars/{avatar_id}` gives for an upload.
    """
    if builds.state(avatar_id) is None:
        sessions.store.load(avatar_id)  # or there is none

    async def tell() -> AsyncIterator[str]:
        if builds.state(avatar_id) is None:
            loaded = sessions.avatars
            async for _ in loaded.changes(avatar_id):
                share, why = loaded.progress(avatar_id), loaded.failure(avatar_id)
                yield _event(Build(avatar_id, loaded.state(avatar_id), round(share, 3), why))
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
        file, eyes_shut = form.get("file"), form.get("eyes_shut")
        if not isinstance(file, UploadFile):
            raise BadRequestError("the form has no file")
        if len(form.getlist("file")) + len(form.getlist("eyes_shut")) > 1 + ("eyes_shut" in form):
            raise BadRequestError("the form has a file twice")
        if not isinstance(eyes_shut, UploadFile):
            eyes_shut = None
        size = (file.size or 0) + (eyes_shut.size or 0 if eyes_shut else 0)
        if size > builds.limits.bytes:
            raise TooLargeError(f"the file has {size:,} bytes; at most {builds.limits.bytes:,} are taken")
        fields = {name: one_line(str(form.get(name, ""))) for name in _FIELDS}
        name = fields["name"] or one_line((file.filename or "").rsplit("/", 1)[-1].rsplit(".", 1)[0])
        if fields["rest"] not in ("", *RESTS):
            raise BadRequestError(f"rest: {' or '.join(RESTS)}")
        avatar_id = await builds.start(
            file.file,
            avatar_id=fields["id"],
            name=name,
            licence=fields["licence"] or "unknown",
            consent=fields["consent"],
            face=_face(fields["face"]),
            rest=cast("Rest", fields["rest"]) or None,
            eyes_shut=eyes_shut.file if eyes_shut else None,
        )
    finally:
        await form.close()
    note_audit(request, "avatar_uploaded", avatar=avatar_id)
    response.headers["Location"] = f"/api/avatars/{avatar_id}"
    return AvatarUploadAnswer(id=avatar_id)


_MOTION_UPLOAD = {
    "type": "object",
    "required": ["file", "name"],
    "properties": {
        "file": {
            "type": "string",
            "format": "binary",
            "description": "A clip of the same person, or the photograph that the avatar was made of.",
        },
        "name": {"type": "string", "description": "Name of the clip, such as `speaking` or `greet` (docs/MOTIONS.md)."},
        "face": _FACE_FIELD,
    },
}


@makers.post(
    "/{avatar_id}/motions",
    status_code=202,
    openapi_extra={"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _MOTION_UPLOAD}}}},
    responses=error_answers(
        *(BadRequestError, ConflictError, NotFoundError, TooLargeError, UnsupportedTypeError),
        *(UnavailableError, StorageFullError),
    ),
)
async def add_motion(avatar_id: str, request: Request, sessions: AllSessions, builds: Builds) -> AvatarUploadAnswer:
    """Add a clip to an avatar, or replace it. If it cannot be added, the avatar stays as it was."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise UnsupportedTypeError("a motion comes as multipart/form-data, with a file")
    _check_hidden(avatar_id, sessions)
    form = await _form(request)
    try:
        file, motion = form.get("file"), one_line(str(form.get("name", "")))
        if not isinstance(file, UploadFile) or len(form.getlist("file")) > 1:
            raise BadRequestError("the form needs one file")
        if (file.size or 0) > builds.limits.bytes:
            raise TooLargeError(f"the file has {file.size:,} bytes; at most {builds.limits.bytes:,} are taken")
        await builds.change_motion(avatar_id, motion, file.file, face=_face(str(form.get("face", ""))))
    finally:
        await form.close()
    note_audit(request, "motion_uploaded", avatar=avatar_id, motion=motion)
    return AvatarUploadAnswer(id=avatar_id)


@makers.delete(
    "/{avatar_id}/motions/{motion}",
    status_code=202,
    responses=error_answers(BadRequestError, ConflictError, NotFoundError, UnavailableError),
)
async def remove_motion(
    avatar_id: str, motion: str, request: Request, sessions: AllSessions, builds: Builds
) -> AvatarUploadAnswer:
    """Take a clip away from an avatar."""
    _check_hidden(avatar_id, sessions)
    await builds.change_motion(avatar_id, motion, None)
    note_audit(request, "motion_removed", avatar=avatar_id, motion=motion)
    return AvatarUploadAnswer(id=avatar_id)


def _check_hidden(avatar_id: str, sessions: Sessions) -> None:
    """Check that no session shows an avatar that is to be changed."""
    if sessions.shows(avatar_id):
        raise ConflictError(f"the avatar {avatar_id!r} is being shown")


def _face(text: str) -> int:
    if not (text or "1").isdecimal() or len(text) > _FACE_DIGITS:
        raise BadRequestError("face: a number, the largest face is 1")
    return int(text or 1)


async def _form(request: Request) -> FormData:
    """Read the form, its file to disk.

    Raises:
        LipstreamError: If it cannot be read, or it is larger than a request may be.
    """
    try:
        return await request.form(max_files=_MOST_FILES, max_fields=_MOST_FIELDS)
    except LipstreamError:
        raise
    except (MultiPartException, ClientDisconnect, ValueError, KeyError) as error:
        raise BadRequestError(f"the form cannot be read: {error}") from error


@makers.delete("/{avatar_id}", status_code=204, responses=error_answers(ConflictError, NotFoundError))
async def remove(avatar_id: str, request: Request, sessions: AllSessions, builds: Builds, catalog: Catalog) -> None:
    """Remove an avatar; one that is being made is not made any further."""
    note_audit(request, "avatar_removed", avatar=avatar_id)
    was_building = await builds.cancel(avatar_id)
    try:
        await sessions.remove_avatar(avatar_id)
        if ledger := getattr(request.app.state, "ledger", None):
            await asyncio.to_thread(ledger.note_removed, avatar_id, time.time_ns())
    except NotFoundError:
        if not was_building:
            raise
    finally:
        catalog.forget()

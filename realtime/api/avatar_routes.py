"""The routes of avatars: who is there, uploads and their progress, the end of one."""

import dataclasses
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import StreamingResponse
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect

from lipstream.realtime.api.authorization import AllSessions, guest, operator
from lipstream.realtime.errors import (
    BadRequestError,
    LipstreamError,
    NotFoundError,
    TooLargeError,
    UnsupportedTypeError,
)
from lipstream.realtime.server.avatar_builds import AvatarBuilds, Build

_MOST_FIELDS = 8
_FIELDS = ("id", "name", "licence", "consent", "face")

readers = APIRouter(prefix="/api/avatars", dependencies=[Depends(guest)])
makers = APIRouter(prefix="/api/avatars", dependencies=[Depends(operator)])


async def _builds(request: Request) -> AvatarBuilds:
    builds: AvatarBuilds = request.app.state.builds
    return builds


Builds = Annotated[AvatarBuilds, Depends(_builds)]


@readers.get("")
def avatars(sessions: AllSessions, builds: Builds) -> list[dict[str, Any]]:
    """List the avatars, those too that are being made."""
    listed: dict[str, dict[str, Any]] = {
        build.id: {"id": build.id, "name": build.id, "state": build.state, "own": True}
        for build in builds.all()
        if build.state != "ready"
    }
    for facts in sessions.store.list():
        own = sessions.store.is_own(facts.id)
        listed.setdefault(facts.id, {"id": facts.id, "state": sessions.avatars.state(facts.id), "own": own})
        listed[facts.id]["name"] = facts.name
    return [listed[avatar_id] for avatar_id in sorted(listed)]


@readers.get("/{avatar_id}")
def avatar(avatar_id: str, sessions: AllSessions, builds: Builds) -> dict[str, Any]:
    """Return one avatar's facts, or how far it is."""
    build = builds.state(avatar_id)
    if build and build.state != "ready":
        return dataclasses.asdict(build)
    facts = sessions.store.load(avatar_id).manifest
    report = sessions.store.report(avatar_id)
    state = sessions.avatars.state(avatar_id)
    return {
        "id": facts.id,
        "name": facts.name,
        "state": state,
        "progress": float(state == "ready"),
        "size": facts.size,
        "frames": facts.frames,
        "face": dataclasses.astuple(facts.boxes[0]),
        "loop": facts.loop,
        "licence": facts.licence,
        "consent": facts.consent,
        "description": facts.description,
        "report": json.loads(report) if report else None,
    }


@readers.get("/{avatar_id}/preview")
def preview(avatar_id: str, sessions: AllSessions) -> Response:
    """Return a JPEG of the avatar."""
    return Response(sessions.store.preview(avatar_id), media_type="image/jpeg")


@readers.get("/{avatar_id}/events")
def events(avatar_id: str, sessions: AllSessions, builds: Builds) -> StreamingResponse:
    """Tell how far an avatar is, by server-sent events, until it is ready or has failed."""
    if builds.state(avatar_id) is None:
        sessions.store.load(avatar_id)  # or there is none

    async def tell() -> AsyncIterator[str]:
        if builds.state(avatar_id) is None:
            yield _event(Build(avatar_id, "ready", 1.0))
        async for build in builds.changes(avatar_id):
            yield _event(build)

    return StreamingResponse(tell(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


def _event(build: Build) -> str:
    return f"event: {build.state}\ndata: {json.dumps(dataclasses.asdict(build))}\n\n"


@makers.post("", status_code=202, openapi_extra={"requestBody": {"content": {"multipart/form-data": {}}}})
async def upload(request: Request, response: Response, builds: Builds) -> dict[str, str]:
    """Make an avatar of the ``file`` of a form.

    Beside it may stand ``id``, ``name``, ``licence``, ``consent`` (whose face it is, and how they agreed) and ``face``.
    """
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
    return {"id": avatar_id}


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


@makers.delete("/{avatar_id}", status_code=204)
async def remove(avatar_id: str, sessions: AllSessions, builds: Builds) -> None:
    """Remove an avatar; one that is being made is not made any further."""
    was_building = await builds.cancel(avatar_id)
    try:
        await sessions.remove_avatar(avatar_id)
    except NotFoundError:
        if not was_building:
            raise

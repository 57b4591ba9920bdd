"""Builds avatars from uploads, one at a time, each in a process that can be killed safely."""

import asyncio
import contextlib
import dataclasses
import json
import logging
import secrets
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from lipstream.avatar_cache.manifest import Rest, check_id
from lipstream.avatar_cache.media_reader import Limits
from lipstream.avatar_cache.motion_names import check_motion_names
from lipstream.avatar_cache.store import AvatarStore
from lipstream.realtime.errors import (
    AvatarError,
    BadRequestError,
    ConflictError,
    LipstreamError,
    NotFoundError,
    UnavailableError,
)
from lipstream.realtime.lipsync.metadata import Pads
from lipstream.realtime.wire.answers import AvatarState
from lipstream.realtime.workers.programs import kill_program

logger = logging.getLogger(__name__)

MOST_WAITING = 4
MEMORY_BYTES = 5 << 29
"""2.5 GiB of private writable memory, a third of which is resident: a build shares the service's memory with the calls.

A minute of 1920x1080 takes 0.7 GiB; torch, where a card is used, more than 1 of its own."""
CPU_S = 600
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,png_pipe,jpeg_pipe,webp_pipe,gif"
"""FFmpeg demuxers that uploads may use; the command line takes every format that PyAV reads."""
_REMEMBERED = 32
_UPLOAD, _EYES_SHUT = "upload", "eyes-shut"
"""Names of the files of an upload."""
_JOB_FIELDS = {_UPLOAD: "source", _EYES_SHUT: "eyes_shut"}
"""Fields of a job that name them."""


@dataclass(frozen=True, slots=True)
class Build:
    """State of the build of one avatar.

    Attributes:
        state: ``building``, ``ready`` or ``failed``.
        progress: Finished share, 0..1.
        message: Reason of the failure; ``None`` unless failed.
    """

    id: str
    state: AvatarState
    progress: float
    message: str | None = None


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """Limits of an upload.

    Attributes:
        bytes: Largest size of the file, bytes; default 200 MiB.
        seconds: Longest duration of a clip, s; default 60.
        pixels: Width times height of the largest picture, px; default 1920 x 1080.
    """

    bytes: int = 200 << 20
    seconds: float = 60.0
    pixels: int = 1920 * 1080


class AvatarBuilds:
    """Builds avatars from uploads, in the order of arrival. An avatar is ``ready`` when ``on_built`` has returned.

    Args:
        device: Device that prepares them: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        pads: Replace the pads of weights with a detector's crop; ``None`` for the weights' own.
        model: Code of the operator's own that draws; default none.
    """

    def __init__(
        self,
        store: AvatarStore,
        *,
        weights: Path,
        device: str,
        limits: UploadLimits,
        on_built: Callable[[str], Awaitable[None]],
        pads: Pads | None = None,
        model: str = "",
    ) -> None:
        self.limits = limits
        self._pads, self._model = pads, model
        self._store, self._weights, self._device = store, weights, device
        self._on_built = on_built
        self._states: dict[str, Build] = {}
        self._changed = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._turn = asyncio.Lock()

    def state(self, avatar_id: str) -> Build | None:
        """Return the state of an avatar uploaded since the server's start; ``None`` for any other avatar."""
        return self._states.get(avatar_id)

    @property
    def queued(self) -> int:
        """Number of uploads that wait or are being built."""
        return len(self._tasks)

    def all(self) -> list[Build]:
        """Return all running and waiting builds, and the latest 32 finished ones."""
        return list(self._states.values())

    async def start(
        self,
        file: BinaryIO,
        *,
        avatar_id: str,
        name: str,
        licence: str,
        consent: str,
        face: int,
        rest: Rest | None = None,
        eyes_shut: BinaryIO | None = None,
    ) -> str:
        """Store an upload and begin to build an avatar from it.

        Args:
            avatar_id: Id of the new avatar; empty for an id made from the name.
            consent: Statement on whose face it is and how that person agreed; may be empty.
            face: Number of the face to use, by size, from 1, the largest.
            rest: Mouth at rest, ``keep`` or ``closed``; ``None`` chooses by the source.
            eyes_shut: A photograph of the same face with its eyes shut; ``None`` without one.

        Returns:
            The avatar's id.

        Raises:
            BadRequestError: If the id is invalid or the number of the face is below 1.
            ConflictError: If there is an avatar with this id, or it is being built.
            UnavailableError: If :data:`MOST_WAITING` uploads wait already.
        """
        avatar_id = self._free_id(avatar_id, name)
        if face < 1:
            raise BadRequestError("face: the largest is 1")
        about = {"name": name, "licence": licence, "consent": consent, "face": face, "rest": rest}
        await self._begin({"id": avatar_id, **about}, {_UPLOAD: file} | ({_EYES_SHUT: eyes_shut} if eyes_shut else {}))
        return avatar_id

    async def change_motion(self, avatar_id: str, motion: str, file: BinaryIO | None, *, face: int = 1) -> None:
        """Store an upload and begin to add it to an avatar as one of its clips, or to take such a clip away.

        If it cannot be added, the avatar stays as it was.

        Args:
            motion: Name of the clip: ``listening``, ``speaking`` or any other one.
            file: A film of the same person, or the photograph of which the avatar was built; ``None`` removes the clip.
            face: Number of the face to use, by size, from 1, the largest.

        Raises:
            BadRequestError: If the name is invalid or the number of the face is below 1.
            NotFoundError: If there is no such avatar, or none of its clips has the name of the one to remove.
            ConflictError: If the avatar is built in, or is being changed already.
            UnavailableError: If :data:`MOST_WAITING` uploads wait already.
        """
        known = await asyncio.to_thread(self._store.load, avatar_id)
        try:
            check_motion_names([motion])
        except AvatarError as error:
            raise BadRequestError(error.message) from error
        if face < 1:
            raise BadRequestError("face: the largest is 1")
        if not self._store.is_own(avatar_id):
            raise ConflictError(f"the avatar {avatar_id!r} is built in")
        if file is None and motion not in {clip.name for clip in known.manifest.clips}:
            raise NotFoundError(f"the avatar {avatar_id!r} has no clip {motion!r}")
        if avatar_id in self._tasks:
            raise ConflictError(f"the avatar {avatar_id!r} is being made")
        await self._begin({"id": avatar_id, "motion": motion, "face": face}, {_UPLOAD: file} if file else {})

    async def _begin(self, job: dict[str, Any], files: dict[str, BinaryIO]) -> None:
        """Keep the files of a job, and begin it."""
        avatar_id = job["id"]
        if len(self._tasks) >= MOST_WAITING:
            raise UnavailableError("other avatars are being made", reason="full", retry_after_s=30)
        self._note(Build(avatar_id, "building", 0.0))
        folder = self._store.root / "uploads" / secrets.token_hex(8)
        job |= {_JOB_FIELDS[name]: str(folder / name) for name in files}
        try:
            await asyncio.to_thread(_keep, files, folder)
        except BaseException:
            self._states.pop(avatar_id, None)
            raise
        task = asyncio.create_task(self._run(job, folder), name="build-avatar")
        self._tasks[avatar_id] = task
        task.add_done_callback(lambda _: self._tasks.pop(avatar_id, None))

    async def changes(self, avatar_id: str) -> AsyncIterator[Build]:
        """Yield the state of an avatar now and after every change, until it is ready or has failed."""
        last = None
        while build := self._states.get(avatar_id):
            if build != last:
                yield build
            if build.state != "building":
                return
            last = build
            await self._changed.wait()

    async def cancel(self, avatar_id: str) -> bool:
        """Cancel a build, or forget a finished one; return whether there was one."""
        task = self._tasks.get(avatar_id)
        if task:
            task.cancel()
            await asyncio.wait([task])
        there = self._states.pop(avatar_id, None) is not None
        self._wake()
        return there

    async def close(self) -> None:
        """Cancel all builds."""
        for avatar_id in list(self._tasks):
            await self.cancel(avatar_id)

    def _free_id(self, avatar_id: str, name: str) -> str:
        if not avatar_id:
            slug = "-".join("".join(c if c.isascii() and c.isalnum() else " " for c in name.lower()).split())
            avatar_id = f"{slug[:40].strip('-') or 'avatar'}-{secrets.token_hex(3)}"
        try:
            check_id(avatar_id)
        except AvatarError as error:
            raise BadRequestError(error.message) from error
        build = self._states.get(avatar_id)
        with contextlib.suppress(NotFoundError):
            self._store.load(avatar_id)
            raise ConflictError(f"there is an avatar {avatar_id!r} already")
        if build and build.state == "building":
            raise ConflictError(f"the avatar {avatar_id!r} is being made")
        return avatar_id

    async def _run(self, job: dict[str, Any], folder: Path) -> None:
        avatar_id = job["id"]
        try:
            async with self._turn:
                failure = await self._build(job)
                if failure is None:
                    await self._on_built(avatar_id)
        except LipstreamError as error:
            failure = error.message
        except Exception as error:
            logger.exception("avatar %s could not be made", avatar_id)
            failure = f"the server failed: {type(error).__name__}"
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        self._note(Build(avatar_id, "ready", 1.0) if failure is None else Build(avatar_id, "failed", 0.0, failure))

    async def _build(self, job: dict[str, Any]) -> str | None:
        """Run the process; return the reason of its failure, or ``None``."""
        limits = Limits(
            seconds=self.limits.seconds, pixels=self.limits.pixels, bytes=self.limits.bytes, formats=FORMATS
        )
        job |= {
            "store": str(self._store.root),
            "limits": dataclasses.asdict(limits),
            "weights": str(self._weights),
            "device": self._device,
            "pads": self._pads,
            "model": self._model,
            "memory_bytes": MEMORY_BYTES,
            "cpu_s": CPU_S,
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "lipstream.avatar_cache.build_job"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        failure: str | None = "the build took too much time or memory"
        try:
            process.stdin.write(json.dumps(job).encode())
            process.stdin.close()
            async for line in process.stdout:
                message = json.loads(line)
                if "progress" in message:
                    self._note(Build(job["id"], "building", round(message["progress"], 3)))
                failure = message.get("failed", None if "done" in message else failure)
            await process.wait()
        finally:
            kill_program(process)
            await process.wait()
            for scratch in (self._store.root / "avatars").glob(f".build-{process.pid}-*"):  # left by a killed process
                shutil.rmtree(scratch, ignore_errors=True)
        return failure

    def _note(self, build: Build) -> None:
        self._states.pop(build.id, None)
        self._states[build.id] = build
        over = [known.id for known in self._states.values() if known.state != "building"]
        for avatar_id in over[:-_REMEMBERED]:
            del self._states[avatar_id]
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _keep(files: dict[str, BinaryIO], folder: Path) -> None:
    """Copy the files of an upload, by their names, into a new folder that only this user may enter."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700)
    try:
        for name, file in files.items():
            with (folder / name).open("wb") as kept:
                shutil.copyfileobj(file, kept)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise

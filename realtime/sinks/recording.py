"""Records a session as fragmented MP4, which stays playable if the server is killed, with a transcript of events."""

import contextlib
import errno
import itertools
import json
import logging
import math
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Literal

import av

from lipstream.realtime.encoding.broadcast import Broadcast
from lipstream.realtime.encoding.encoded_unit import EncodedUnit
from lipstream.realtime.errors import UnavailableError
from lipstream.realtime.sinks.muxer import Muxer
from lipstream.realtime.sinks.recording_files import PICTURE_SUFFIX
from lipstream.realtime.sinks.sink import OnEvent, Sink, begins_at, write_unit
from lipstream.realtime.timeline import FRAME_RATE_HZ, SAMPLE_RATE_HZ
from lipstream.realtime.wire.answers import RecordingAnswer
from lipstream.realtime.wire.events import RecordingEnd, RecordingEndedEvent, RecordingStartedEvent, ServerEvent

logger = logging.getLogger(__name__)

RESERVE_BYTES = 256 << 20
"""Space left free on the disk: a recording ends before it takes the room that the server needs."""
KEPT_FACTS = ("type", "sample", "heard_ms", "seconds", "code", "reason", "avatar", "time")
"""Fields of an event that the transcript keeps; spoken text is not among them."""

UNATTENDED_S = 600.0
"""A recording in which nobody takes part, watches or speaks ends after this time, s."""

RecordingState = Literal["recording", "ended", "failed"]


class Recording(Sink):
    """One recording.

    Args:
        longest_s: Time after which the recording ends, s.

    Raises:
        UnavailableError: If the disk is full or cannot be written to.
    """

    def __init__(
        self,
        broadcast: Broadcast,
        session_id: str,
        folder: Path,
        facts: dict[str, str],
        on_event: OnEvent,
        *,
        longest_s: float = math.inf,
    ) -> None:
        super().__init__(broadcast, session_id)
        self.state: RecordingState = "recording"
        self.reason: RecordingEnd | None = None
        self._facts, self._on_event = facts, on_event
        self._longest_s = longest_s
        self._began_s = self._attended_s = self._loop.time()
        self._muxer: Muxer | None = None
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.transcript, transcript = _create_new(folder, session_id)
            self._lines: IO[str] = os.fdopen(transcript, "w", buffering=1)
            self.path = self.transcript.with_suffix(PICTURE_SUFFIX)
            try:
                self._file = _File(self.path)
            except OSError:
                self._lines.close()
                self.transcript.unlink()
                raise
        except OSError as error:
            message = f"the recording cannot be written: {error.strerror or error}"
            raise UnavailableError(message, reason="disk") from error

    def begin(self, avatar: str) -> None:
        """Start recording, and report an event."""
        self.start()
        self._on_event(RecordingStartedEvent(type="recording_started", avatar=avatar, time=_now()))
        logger.info("recording begins: %s", self.path.name)

    def limit(self, now_s: float, *, attended: bool) -> None:
        """End the recording if it has lasted too long, or if nobody has been there for :data:`UNATTENDED_S`.

        Args:
            now_s: Monotonic time, s.
            attended: Whether somebody takes part, watches or speaks now.
        """
        if attended:
            self._attended_s = now_s
        if self.reason or not self.running:
            return
        if now_s - self._began_s > self._longest_s:
            self.reason = "longest"
        elif now_s - self._attended_s > UNATTENDED_S:
            self.reason = "unattended"
        if self.reason:
            self._leave()

    def hear(self, event: ServerEvent) -> None:
        """Write an event of the session into the transcript."""
        self._tell_thread(event)

    def stats(self) -> RecordingAnswer:
        """Return the state; file names are relative to the folder of recordings."""
        muxer = self._muxer
        stats = RecordingAnswer(
            state=self.state,
            file=self.path.name,
            transcript=self.transcript.name,
            seconds=round(muxer.seconds, 2) if muxer else 0.0,
            bytes=self._file.written,
            repeated_pictures=muxer.repeated if muxer else 0,
            silent_packets=muxer.silent if muxer else 0,
            lost_units=self.lost.total(),
        )
        if self.reason:
            stats["reason"] = self.reason
        return stats

    def _serve(self) -> None:
        try:
            self._write_all()
            if self._muxer:
                self._muxer.close()
        except (OSError, av.FFmpegError) as error:
            if self._muxer:
                self._muxer.abandon()
            raise self._file.fault or error from error  # PyAV replaces the file's own exception
        finally:
            self._file.close()

    def _write_all(self) -> None:
        while (item := self._next()) is not None:
            if not isinstance(item, EncodedUnit):
                self._note(item)
            elif self._muxer:
                write_unit(self._muxer, item)
            elif beginning := begins_at(item):
                first_frame, size = beginning
                self._muxer = Muxer(self._file, "mp4", size=size, first_frame=first_frame, facts=self._facts)

    def _note(self, event: ServerEvent) -> None:
        facts: Mapping[str, object] = event
        line = {name: facts[name] for name in KEPT_FACTS if name in facts}
        if self._muxer and isinstance(sample := line.get("sample"), int):
            at_s = sample / SAMPLE_RATE_HZ - self._muxer.first_frame / FRAME_RATE_HZ
            line["at_s"] = round(at_s, 3)
        self._lines.write(json.dumps(line) + "\n")

    def _ended(self, error: Exception | None) -> None:
        event = RecordingEndedEvent(type="recording_ended", time=_now())
        if error is None:
            self.state = "ended"
            if self.reason:
                event["reason"] = self.reason
            logger.info("recording ends: %s%s", self.path.name, f" ({self.reason})" if self.reason else "")
        else:
            self.state = "failed"
            full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
            self.reason = event["reason"] = "disk_full" if full else "failed"
            logger.error("recording ends by a fault: %s", error, exc_info=None if full else error)
        try:
            with self._lines:
                self._note(event)
        except OSError as fault:
            logger.warning("the end of a recording could not be written to its transcript: %s", fault.strerror)
        self._on_event(event)


class _File:
    """The file of a recording, written without a buffer.

    Attributes:
        written: Size of the file so far, bytes.
        fault: Error that ended the writing; ``None`` without one.

    Raises:
        OSError: If the file cannot be created.
    """

    def __init__(self, path: Path) -> None:
        self.written = 0
        self.fault: OSError | None = None
        self._whole = 0  # bytes of complete fragments
        self._folder = path.parent
        self._check_room(0)
        self._file = os.fdopen(_create(path), "wb", buffering=0)

    def write(self, data: bytes) -> int:
        if data[4:8] in (b"ftyp", b"moof"):  # a fragment is written at once: everything before it is complete
            self._whole = self.written
        try:
            self._check_room(len(data))
            rest = memoryview(data)
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            if self.fault is None:
                self._file.truncate(self._whole)
            self.fault = error
            raise
        self.written += len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()

    def _check_room(self, size: int) -> None:
        if shutil.disk_usage(self._folder).free < RESERVE_BYTES + size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _create_new(folder: Path, session_id: str) -> tuple[Path, int]:
    """Create the transcript of a recording that begins now; return its path and descriptor."""
    name = f"{session_id}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    for place in itertools.count(1):  # a session may be recorded twice within a second
        path = folder / (f"{name}.jsonl" if place == 1 else f"{name}-{place}.jsonl")
        with contextlib.suppress(FileExistsError):
            return path, _create(path)
    raise AssertionError


def _create(path: Path) -> int:
    """Create a file that only this user may read."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())

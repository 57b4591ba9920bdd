"""The child process of a picture worker: maps avatars into memory, paints pictures and encodes them in order.

In threads of the server, painting and encoding would compete with the event loop for the interpreter's lock, and
packets would leave late even on an idle machine.
"""

import contextlib
import gc
import logging
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import cv2

from lipstream.avatar_cache.avatar import load_prepared
from lipstream.avatar_cache.store import AvatarStore
from lipstream.memory_order import WORKER, end_before_server
from lipstream.realtime.encoding.encoder_choice import hardware_h264
from lipstream.realtime.encoding.picture_backend import EncodeRequest, Encoders
from lipstream.realtime.encoding.thread_priority import step_back, work_in_batches
from lipstream.realtime.lipsync.metadata import Region
from lipstream.realtime.picture.compositor import Compositor, Origin
from lipstream.realtime.workers.child_signals import leave_to_server
from lipstream.realtime.workers.messages import pack, unpack
from lipstream.realtime.workers.picture_messages import (
    TO_WORKER,
    CloseStream,
    MakePicture,
    PictureNotMade,
    PicturesReady,
    UseMemory,
    encoded_message,
    origin_of,
)
from lipstream.realtime.workers.shared_memory import JobMemory

logger = logging.getLogger(__name__)

MOST_AVATARS = 32
"""Most avatars kept mapped; a further one replaces the oldest, which is mapped again when it is shown."""


def run(connection: Connection, store: Path) -> None:
    """Serve pictures until the pipe closes."""
    leave_to_server()
    end_before_server(WORKER)
    cv2.setNumThreads(1)
    step_back()
    work_in_batches()
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the server is gone
        _PictureLoop(connection, AvatarStore(store)).serve()


class _PictureLoop:
    def __init__(self, connection: Connection, store: AvatarStore) -> None:
        self._connection, self._store = connection, store
        self._compositors: dict[Origin, Compositor] = {}
        self._encoders: dict[int, Encoders] = {}
        self._memory: JobMemory | None = None
        self._told_s = time.process_time()

    def serve(self) -> None:
        """Answer messages until the pipe closes."""
        hardware_h264()  # the search for a hardware encoder takes time, so it is done before the first picture
        gc.collect()
        gc.freeze()
        self._connection.send_bytes(pack(PicturesReady()))
        try:
            while True:
                self._take(unpack(TO_WORKER, self._connection.recv_bytes())[0])
        finally:
            if self._memory:
                self._memory.close()

    def _take(self, message: Any) -> None:
        match message:
            case MakePicture():
                self._make(message)
            case UseMemory(name, region, pixel_bytes):
                self._memory = JobMemory(Region(*region), name, pixel_bytes)
            case CloseStream(stream):
                self._encoders.pop(stream, None)

    def _make(self, asked: MakePicture) -> None:
        try:
            compositor = self._compositor(origin_of(asked.origin))
            mouth = None if asked.slot is None or self._memory is None else self._memory.mouths[asked.slot]
            picture = compositor.compose(asked.clip_frame, mouth, asked.spoken)
            encoders = self._encoders.setdefault(asked.stream, Encoders())
            pictures = encoders.encode(asked.number, picture, [EncodeRequest(*request) for request in asked.requests])
        except Exception as error:  # only the session of this picture ends
            logger.exception("a picture could not be made")
            self._connection.send_bytes(pack(PictureNotMade(asked.stream, f"{type(error).__name__}: {error}")))
            return
        now_s = time.process_time()
        self._connection.send_bytes(encoded_message(asked.stream, pictures, now_s - self._told_s))
        self._told_s = now_s

    def _compositor(self, origin: Origin) -> Compositor:
        if origin not in self._compositors:
            if len(self._compositors) >= MOST_AVATARS:
                del self._compositors[next(iter(self._compositors))]
            prepared = load_prepared(self._store.load(origin.avatar), origin.fingerprint)
            self._compositors[origin] = prepared.compositor(origin.mark)
        return self._compositors[origin]

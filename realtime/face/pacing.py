"""Frames at the pace of real time."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Future, InvalidStateError, wait
from contextlib import suppress

from lipstream.realtime.face.frame import Frame
from lipstream.realtime.timeline import FRAME_RATE_HZ

FRAME_S = 1 / FRAME_RATE_HZ


class LiveFrames:
    """An endless iterator that yields a frame every 40 ms; for ``for`` and ``async for``.

    Speech that begins does not wait for the next frame's time: its first frame comes at once, and the others 40 ms
    apart from there. A late caller gets the next frames at once until it has caught up. No frame is skipped.

    Args:
        catch_up_s: After a longer delay the clock goes on from there.
    """

    def __init__(
        self, next_frame: Callable[[], Frame], next_frame_async: Callable[[], Awaitable[Frame]], catch_up_s: float
    ) -> None:
        self._next_frame, self._next_frame_async = next_frame, next_frame_async
        self._catch_up_s = catch_up_s
        self._due_s: float | None = None
        self._spoke: Future[None] = Future()

    def advance(self, seconds: float) -> None:
        """Let the frames after this one come earlier, so that more of the sound is ahead of the pictures."""
        if self._due_s is not None:
            self._due_s -= seconds

    def note_speech(self) -> None:
        """Let the next frame come at once: speech begins with it. May be called from any thread."""
        with suppress(InvalidStateError):  # the wait is over, and the frame after it speaks
            self._spoke.set_result(None)

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        wait((self._spoke,), self._wait_s(time.monotonic()))
        self._end_wait()
        return self._noted(self._next_frame())

    def __aiter__(self) -> AsyncIterator[Frame]:
        return self

    async def __anext__(self) -> Frame:
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._wait_s(time.monotonic())):
                    await asyncio.wrap_future(self._spoke)
        finally:
            self._end_wait()
        return self._noted(await self._next_frame_async())

    def _wait_s(self, now_s: float) -> float:
        """Return the seconds until the next frame is due, and count it."""
        due_s = now_s if self._due_s is None or now_s - self._due_s > self._catch_up_s else self._due_s
        self._due_s = due_s + FRAME_S
        return max(0.0, due_s - now_s)

    def _end_wait(self) -> None:
        spoke, self._spoke = self._spoke, Future()
        if not spoke.cancel():
            self._due_s = time.monotonic() + FRAME_S

    def _noted(self, frame: Frame) -> Frame:
        if frame.utterance is not None and self._spoke.done():  # noted in the last moment before this frame
            self._spoke = Future()
        return frame

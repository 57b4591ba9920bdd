"""Decodes sound in a container, such as MP3 or Ogg, as it arrives; FFmpeg reads it on a thread of its own."""

import asyncio
import contextlib
import logging
import queue
import threading
from collections.abc import AsyncGenerator, Callable

import av
import numpy as np

from lipstream.realtime.synthesis.pcm_decoder import HIGHEST_RATE_HZ
from lipstream.realtime.synthesis.synthesizer import SpokenPcm, SynthesisError

logger = logging.getLogger(__name__)

MOST_WAITING = 64
"""Decoded frames that may wait: a small file may hold hours."""
MOST_UNREAD_BYTES = 256 * 1024
"""Bytes of the file that may wait for the decoder: an endpoint may send faster than its sound is heard."""
_PROBE = {"probesize": "32768", "analyzeduration": "100000"}

HandOver = Callable[[SpokenPcm | Exception | None], bool]
"""Takes decoded sound, an error, or ``None`` at the end; returns whether more is wanted."""


class _Feed:
    """A file whose bytes arrive later. ``read`` belongs to the decoder's thread, the rest to the event loop's."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._pieces: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._rest = b""
        self._level = 0
        self._room = asyncio.Event()
        self._room.set()

    async def push(self, piece: bytes) -> None:
        """Add bytes, when fewer than :data:`MOST_UNREAD_BYTES` wait."""
        await self._room.wait()
        self._note(len(piece))
        self._pieces.put(piece)

    def end(self) -> None:
        """End the file."""
        self._pieces.put(b"")

    def read(self, size: int) -> bytes:
        """Return at most ``size`` bytes, and at least one before the end."""
        piece = self._rest or self._pieces.get()
        if not piece:
            self._pieces.put(b"")  # for another read after the end
        elif not self._rest:
            self._loop.call_soon_threadsafe(self._note, -len(piece))
        taken, self._rest = piece[:size], piece[size:]
        return taken

    def _note(self, more: int) -> None:
        self._level += more
        (self._room.set if self._level < MOST_UNREAD_BYTES else self._room.clear)()


async def decode_container(pieces: AsyncGenerator[bytes], container: str) -> AsyncGenerator[SpokenPcm]:
    """Yield the sound of a file that arrives in pieces.

    Args:
        container: FFmpeg's name, which no other name is tried beside.

    Raises:
        SynthesisError: If the file cannot be decoded.
    """
    loop, room = asyncio.get_running_loop(), threading.Semaphore(MOST_WAITING)
    feed = _Feed(loop)
    decoded: asyncio.Queue[SpokenPcm | Exception | None] = asyncio.Queue()
    closing = threading.Event()

    def hand_over(one: SpokenPcm | Exception | None) -> bool:
        room.acquire()
        if not closing.is_set():
            loop.call_soon_threadsafe(decoded.put_nowait, one)
        return not closing.is_set()

    async def fetch() -> None:
        try:
            async with contextlib.aclosing(pieces):
                async for piece in pieces:
                    if piece:
                        await feed.push(piece)
        except Exception as error:  # noqa: BLE001 (raised where the sound is read)
            decoded.put_nowait(error)
        finally:
            feed.end()

    fetching = asyncio.create_task(fetch(), name="synthesis-fetch")
    decoding = asyncio.create_task(asyncio.to_thread(_decode, feed, container, hand_over), name="synthesis-decode")
    try:
        while (one := await decoded.get()) is not None:
            room.release()
            if isinstance(one, Exception):
                raise one
            yield one
    finally:
        closing.set()
        room.release(2 * MOST_WAITING)
        fetching.cancel()
        await asyncio.wait([fetching])
        feed.end()
        await asyncio.wait([decoding])


def _decode(feed: _Feed, container: str, hand_over: HandOver) -> None:
    resampler: av.AudioResampler | None = None
    try:
        with av.open(feed, "r", format=container, options=_PROBE) as file:
            for frame in file.decode(audio=0):
                rate_hz = min(frame.sample_rate, HIGHEST_RATE_HZ)
                resampler = resampler or av.AudioResampler(format="s16", layout="mono", rate=rate_hz)
                if not all(hand_over(_pcm(part)) for part in resampler.resample(frame)):
                    return
            for part in resampler.resample(None) if resampler else ():
                hand_over(_pcm(part))
        hand_over(None)
    except (av.FFmpegError, IndexError, OSError, ValueError) as error:
        logger.warning("the speech endpoint's %s cannot be decoded: %s", container, error)
        hand_over(SynthesisError(f"the speech endpoint's sound, {container}, cannot be decoded"))


def _pcm(frame: av.AudioFrame) -> SpokenPcm:
    return SpokenPcm(frame.sample_rate, np.ascontiguousarray(frame.to_ndarray(), "<i2").tobytes())

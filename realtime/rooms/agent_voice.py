"""What an agent in a room says: byte streams of PCM, one for each utterance, on their way to a session's timeline."""

import asyncio
import logging
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from lipstream.realtime.audio.resample import Resampler
from lipstream.realtime.rooms.incoming_stream import ByteStream, HeldBytes, IncomingStream
from lipstream.realtime.rooms.utterances import MOST_WAITING, Finished, Started, Utterances
from lipstream.realtime.session.read_waits import ReadWaits
from lipstream.realtime.session.session import Session
from lipstream.realtime.timeline import SOUND_PER_SAMPLE, SOUND_RATE_HZ

logger = logging.getLogger(__name__)

_RATES_HZ, _CHANNELS = range(8_000, 192_001), range(1, 9)


class AgentVoice:
    """Lets a session say an agent's utterances one after the other, and reports what is heard of each.

    Args:
        tell: Called with each report, in order: for an utterance with sound one :class:`Started`, for every utterance
            one :class:`Finished`.
    """

    def __init__(self, session: Session, tell: Callable[[Started | Finished], None]) -> None:
        self._session, self._tell = session, tell
        self._utterances = Utterances()
        self._streams: asyncio.Queue[IncomingStream] = asyncio.Queue(maxsize=MOST_WAITING)
        self._unread: list[IncomingStream] = []  # all whose sound is not wholly in the queue, oldest first
        self._held = HeldBytes()
        self._reads = ReadWaits()
        self._loop = asyncio.get_running_loop()
        self._queue = session.speech.take_program(SOUND_RATE_HZ)
        self._queue.on_read = self._note_read

    @property
    def is_heard(self) -> bool:
        """Whether no other program has taken over."""
        return self._session.speech.source is self._queue

    def take(self, stream: ByteStream) -> None:
        """Take in an utterance; the one before is over with what has come of it.

        With as many waiting as may wait, it is not taken.
        """
        if self._utterances.is_full or self._streams.full():
            logger.warning("an agent's utterance is not taken: %d wait", MOST_WAITING)
            stream.close()
            return
        if self._unread:
            self._unread[-1].supersede()
        incoming = IncomingStream(stream, self._utterances.open(), self._held)
        self._unread.append(incoming)
        self._streams.put_nowait(incoming)

    def clear(self) -> None:
        """Stop speaking at once; what comes of earlier streams is dropped."""
        for incoming in self._unread:
            incoming.cut()
        now_s, end = self._loop.time(), self._end
        silent = self._session.speech.interrupt(now_s)
        leaving = (silent - self._session.clock.left(now_s)) * SOUND_PER_SAMPLE  # the rest of a packet that is sent
        for report in self._utterances.cut(min(self._queue.read + leaving, end)):
            self._tell(report)

    async def run(self) -> None:
        """Speak until cancelled."""
        while True:
            incoming = await self._streams.get()
            try:
                await self._say(incoming)
            finally:
                self._unread.remove(incoming)
                incoming.close()

    def close(self) -> None:
        """Say no more; sound that has come is said to its end."""
        self._queue.on_read = self._reads.check
        self._session.speech.drop_program(self._queue)
        for incoming in self._unread:
            incoming.close()

    @property
    def _end(self) -> int:
        """Position after the sound that has come."""
        return self._queue.read + self._queue.level

    async def _say(self, incoming: IncomingStream) -> None:
        if incoming.is_cut:
            return
        incoming.utterance.first = self._end
        if sound := _SoundReader.of(incoming.attributes or {}):
            async for chunk in incoming.chunks():
                if incoming.is_cut:
                    return
                self._queue.push(sound.push(chunk))
                await self._reads.until(lambda: self._queue.room_bytes > 0)
            if incoming.is_cut:
                return
            self._queue.push(sound.flush())
        else:
            logger.warning("an agent's stream names no sample rate and channels that are read")
        incoming.utterance.end = self._end

    def _note_read(self) -> None:
        self._reads.check()
        heard = self._queue.heard(self._session.clock.left(self._loop.time()))
        for report in self._utterances.heard(heard):
            self._tell(report)


class _SoundReader:
    """Turns the bytes of one stream into s16le, mono, at 48 kHz."""

    def __init__(self, rate_hz: int, channels: int) -> None:
        self._resampler, self._channels = Resampler(rate_hz, SOUND_RATE_HZ), channels
        self._rest = b""  # first part of a sample

    @classmethod
    def of(cls, attributes: Mapping[str, str]) -> "_SoundReader | None":
        """Return the reader for what a stream says of itself; ``None`` if that is not read."""
        try:
            rate_hz, channels = int(attributes["sample_rate"]), int(attributes["num_channels"])
        except (KeyError, ValueError):
            return None
        return cls(rate_hz, channels) if rate_hz in _RATES_HZ and channels in _CHANNELS else None

    def push(self, data: bytes) -> bytes:
        """Take in bytes, cut anywhere; return the sound that is complete."""
        data = self._rest + data
        whole = len(data) // (2 * self._channels) * 2 * self._channels
        self._rest = data[whole:]
        samples = np.frombuffer(data[:whole], "<i2").reshape(-1, self._channels).mean(axis=1, dtype=np.float32)
        return _as_s16le(self._resampler.push(samples))

    def flush(self) -> bytes:
        """Return the sound that is left."""
        return _as_s16le(self._resampler.flush())


def _as_s16le(samples: npt.NDArray[np.float32]) -> bytes:
    return np.clip(np.rint(samples), -32768, 32767).astype("<i2").tobytes()

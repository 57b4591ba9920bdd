"""Encodes a session's speech and pictures once for all of its receivers.

A broadcast runs while it has subscribers. Speech has one encode; pictures have one encode for each codec in use.
Subscribers are called one after the other as soon as a unit is encoded. They have no queue here, so a slow receiver
cannot delay the others.
"""

import asyncio
import logging
import time
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable

from lipstream.realtime.encoding.encoded_unit import RAW_PICTURES, RAW_SPEECH, SPEECH_CODEC, EncodedUnit, Subscriber
from lipstream.realtime.encoding.encoder_choice import picture_codecs
from lipstream.realtime.encoding.encoders import SpeechEncoder, sound_level_dbov
from lipstream.realtime.encoding.h264_level import Pictures
from lipstream.realtime.encoding.pacing import Kind, PicturePacer, Playout, SpeechPacer
from lipstream.realtime.encoding.picture_backend import PictureBackend, ThreadBackend
from lipstream.realtime.encoding.rate_control import MAX_BITRATE
from lipstream.realtime.encoding.rendition import Rendition
from lipstream.realtime.timeline import FRAME_RATE_HZ, PACKET_SOUND, PTS_PER_FRAME

logger = logging.getLogger(__name__)


class Broadcast:
    """The one encode of a session's speech and pictures.

    Args:
        open_backend: Called each time the pictures start; default :class:`ThreadBackend`.

    Attributes:
        encoded: Number of units encoded so far, by codec.
        key_frames: Number of key frames encoded so far, by codec.
        led_bitrate: Bitrate of the last leading subscriber when it unsubscribed, bit/s; ``None`` before that.
    """

    def __init__(self, playout: Playout, open_backend: Callable[[], PictureBackend] = ThreadBackend) -> None:
        self.encoded: Counter[str] = Counter()
        self.key_frames: Counter[str] = Counter()
        self.led_bitrate: int | None = None
        self._speech = _SpeechLane(playout, self.encoded)
        self._pictures = _PictureLane(playout, self.encoded, self.key_frames, open_backend)
        self._lanes: tuple[_Lane, _Lane] = (self._speech, self._pictures)
        self._playout = playout

    @property
    def pictures(self) -> Pictures:
        """Size, rate and highest bitrate of the pictures that are sent."""
        width, height = self._playout.picture_size
        return Pictures(width, height, FRAME_RATE_HZ, MAX_BITRATE)

    @property
    def codecs(self) -> list[str]:
        """The codecs for pictures in order of preference.

        Running codecs come first: one more subscriber of those costs nothing.
        """
        running = self._pictures.in_use
        return running + [codec for codec in picture_codecs() if codec not in running]

    def subscribe(self, codec: str, subscriber: Subscriber) -> None:
        """Send all units of a codec to a subscriber from now on.

        The subscriber is called on the event loop and must not block.

        Args:
            codec: MIME type; ``RAW_SPEECH`` or ``RAW_PICTURES`` for units that are not encoded.

        Raises:
            ValueError: If there is no encoder for the codec.
        """
        lane = self._speech if codec.lower() in (SPEECH_CODEC, RAW_SPEECH) else self._pictures
        lane.subscribe(codec.lower(), subscriber)

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Send no more units to a subscriber. A codec without subscribers is not encoded."""
        if subscriber.leads and subscriber.bitrate is not None:
            self.led_bitrate = subscriber.bitrate
        for lane in self._lanes:
            lane.unsubscribe(subscriber)

    async def close(self) -> None:
        """Wait until every encode task has ended. Remaining subscribers get no more units."""
        await asyncio.gather(*(lane.close() for lane in self._lanes))


class _Lane:
    """The encodes of one kind of unit, speech or pictures, in one task."""

    unit: Kind

    def __init__(self, playout: Playout, encoded: Counter[str]) -> None:
        self.subscribers: dict[str, list[Subscriber]] = {}
        self._playout, self._encoded = playout, encoded
        self._run: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()

    def subscribe(self, codec: str, subscriber: Subscriber) -> None:
        if codec not in self.subscribers:
            self._open(codec)
            self.subscribers[codec] = []
        self.subscribers[codec].append(subscriber)
        if self._run is None:
            self._run = asyncio.create_task(self._serve(), name=f"broadcast-{self.unit}")
            self._ending.add(self._run)
            self._run.add_done_callback(self._ending.discard)

    def unsubscribe(self, subscriber: Subscriber) -> None:
        for codec, subscribers in list(self.subscribers.items()):
            if subscriber in subscribers:
                subscribers.remove(subscriber)
            if not subscribers:
                del self.subscribers[codec]
                self._shut(codec)
        if not self.subscribers:
            self._stop()

    async def close(self) -> None:
        self.subscribers.clear()
        self._stop()
        if self._ending:
            await asyncio.wait(self._ending)

    def _stop(self) -> None:
        run, self._run = self._run, None
        if run is not None:
            run.cancel()

    async def _serve(self) -> None:
        try:
            await self._encode_all()
        except Exception as error:
            logger.exception("%s failed", self.unit)
            if self._run is not asyncio.current_task():  # the last subscriber had left
                return
            left = [subscriber for subscribers in self.subscribers.values() for subscriber in subscribers]
            for codec in self.subscribers:
                self._shut(codec)
            self.subscribers.clear()
            self._run = None
            for subscriber in left:
                subscriber.fail(self.unit, error)

    def _hand_out(self, codec: str, unit: EncodedUnit) -> None:
        self._encoded[codec] += 1
        for subscriber in tuple(self.subscribers.get(codec, ())):
            subscriber.on_unit(unit)

    def _open(self, codec: str) -> None:
        """Prepare to encode a codec; raise ValueError if there is no encoder for it."""

    def _shut(self, codec: str) -> None:
        """Drop the encoder of a codec."""

    @abstractmethod
    async def _encode_all(self) -> None:
        """Encode units and hand them to the subscribers until cancelled."""


class _SpeechLane(_Lane):
    unit = "speech"

    async def _encode_all(self) -> None:
        pacer, encoder = SpeechPacer(self._playout), SpeechEncoder()
        while True:
            index, samples = await pacer.next()
            due_s, level = pacer.leaves_at(index), sound_level_dbov(samples)
            if SPEECH_CODEC in self.subscribers:
                payloads = encoder.payloads(index, samples)  # faster than the way to a thread and back
                self._hand_out(SPEECH_CODEC, EncodedUnit(payloads, index * PACKET_SOUND, due_s, level_dbov=level))
            if RAW_SPEECH in self.subscribers:
                self._hand_out(RAW_SPEECH, EncodedUnit((), index * PACKET_SOUND, due_s, level_dbov=level, raw=samples))


class _PictureLane(_Lane):
    unit = "picture"

    def __init__(
        self,
        playout: Playout,
        encoded: Counter[str],
        key_frames: Counter[str],
        open_backend: Callable[[], PictureBackend],
    ) -> None:
        super().__init__(playout, encoded)
        self._renditions: dict[str, Rendition] = {}
        self._key_frames = key_frames
        self._open_backend = open_backend

    @property
    def in_use(self) -> list[str]:
        """The codecs in which pictures are encoded now."""
        return list(self._renditions)

    def _open(self, codec: str) -> None:
        if codec == RAW_PICTURES:
            return
        if codec not in picture_codecs():
            raise ValueError(f"no encoder for {codec}")
        self._renditions[codec] = Rendition(codec)

    def _shut(self, codec: str) -> None:
        self._renditions.pop(codec, None)

    async def close(self) -> None:
        await super().close()
        self._renditions.clear()

    async def _encode_all(self) -> None:
        pacer, backend = PicturePacer(self._playout), self._open_backend()
        try:
            while True:
                await self._encode_next(pacer, backend)
        finally:
            backend.close()

    async def _encode_next(self, pacer: PicturePacer, backend: PictureBackend) -> None:
        index, paint = await pacer.next()
        renditions = list(self._renditions.values())
        requests = [r.request(self.subscribers[r.codec], time.monotonic()) for r in renditions]
        due = any(index % request.every == 0 for request in requests)
        encoded = await backend.encode(index, paint, requests) if due else []
        due_s, timestamp = pacer.leaves_at(index), index * PTS_PER_FRAME
        for rendition, picture in zip(renditions, encoded, strict=False):  # encoded is empty if no frame was due
            if picture.payloads:
                rendition.note(picture, time.monotonic())
                self._key_frames[rendition.codec] += picture.key
                unit = EncodedUnit(picture.payloads, timestamp, due_s, picture.key, picture.bitrate, picture.pixels)
                self._hand_out(rendition.codec, unit)
        if RAW_PICTURES in self.subscribers:  # painted again, as a backend in another process returns no picture
            painted = await asyncio.get_running_loop().run_in_executor(None, paint)
            rows, width = painted.shape
            self._hand_out(RAW_PICTURES, EncodedUnit((), timestamp, due_s, pixels=rows * 2 // 3 * width, raw=painted))

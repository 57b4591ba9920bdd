"""What leaves: the speech track and the avatar track, paced by one playout clock.

A track asks for the unit that is due, never for the next one after a rounded sleep, so that a stall skips both
tracks to the same instant. Presentation times come from the unit's index alone.
"""

import asyncio
import contextlib
import fractions
from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar, Literal, Protocol

import av
import numpy as np
import numpy.typing as npt
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from av.video.frame import PictureType
from av.video.reformatter import ColorRange, Colorspace

from realtime.clock import PlayoutClock, Send, Skip, Wait, pace
from realtime.timeline import (
    PACKET_SAMPLES,
    PACKET_SOUND,
    PTS_PER_FRAME,
    SAMPLES_PER_FRAME,
    SOUND_RATE_HZ,
    VIDEO_CLOCK_HZ,
    ms_to_samples,
)

Kind = Literal["speech", "picture"]

SPEECH_LATE_LIMIT_SAMPLES = ms_to_samples(200)
"""Sound this late is still sent, in a burst that the receiver's buffer takes in."""
PICTURE_LATE_LIMIT_SAMPLES = SAMPLES_PER_FRAME
"""A picture later than one frame has been overtaken by the next."""
MOUTH_GRACE_S = 0.010
"""A picture that is due waits this long for its mouth, before it shows the last one again: a receiver's buffer takes in
a few milliseconds now and then, and nobody can take in a mouth that stood still. Its speech does not wait."""


class Playout(Protocol):
    """What a session gives its peers to send."""

    @property
    def clock(self) -> PlayoutClock:
        """The session's clock; it never changes."""

    def speech(self, packet: int) -> npt.NDArray[np.int16]:
        """Return ``int16[960]``, 48 kHz mono, that leaves with sample ``320 * packet``."""

    def picture(self, frame: int) -> Callable[[], npt.NDArray[np.uint8]]:
        """Decide what leaves with sample ``640 * frame``.

        Returns:
            A call that paints it, in any thread: ``uint8[H * 3 // 2, W]``, I420, BT.601 limited.
        """

    def await_mouth(self, frame: int, there: Callable[[], None]) -> bool:
        """Return whether a frame's mouth is still to come; if so, call ``there`` once it has."""

    def sent_speech(self, packet: int, now_s: float) -> None:
        """Note that a packet has left at monotonic time ``now_s``."""

    def sent_picture(self, frame: int, now_s: float) -> None:
        """Note that a picture has left at monotonic time ``now_s``."""

    def skipped(self, kind: Kind, count: int) -> None:
        """Note that ``count`` units were too late to be sent."""


class PlayoutTrack(MediaStreamTrack):
    """A track whose units leave when the playout clock says so.

    Attributes:
        failure: The exception that ended the track, if one did.
    """

    unit: ClassVar[Kind]
    unit_samples: ClassVar[int]
    unit_pts: ClassVar[int]
    late_limit_samples: ClassVar[int]

    def __init__(self, playout: Playout) -> None:
        super().__init__()
        self.failure: Exception | None = None
        self._playout = playout
        self._index: int | None = None

    def leaves_at(self, index: int) -> float:
        """Return the monotonic time at which unit ``index`` is due, s."""
        return self._playout.clock.leaves_at(index * self.unit_samples)

    async def recv(self) -> av.AudioFrame | av.VideoFrame:
        """Wait for the unit that is due and return it.

        Raises:
            MediaStreamError: If the track has ended.
        """
        return (await self.take())()

    async def take(self) -> Callable[[], av.AudioFrame | av.VideoFrame]:
        """Wait for the unit that is due; return a call that makes its frame, in any thread.

        Raises:
            MediaStreamError: If the track has ended.
        """
        if self.readyState != "live":
            raise MediaStreamError
        index = await self._due()
        await self._gather(index)
        try:
            make = self._maker(index)
        except Exception as error:
            self.failure = error  # the sender only logs it: whoever hears "ended" finds the cause here
            raise
        self._index = index + 1
        return make

    async def _due(self) -> int:
        loop = asyncio.get_running_loop()
        if self._index is None:
            self._index = max(0, self._playout.clock.left(loop.time()) // self.unit_samples)
        while True:
            decision = pace(
                self._playout.clock,
                self._index,
                unit_samples=self.unit_samples,
                late_limit_samples=self.late_limit_samples,
                now_s=loop.time(),
            )
            match decision:
                case Wait(seconds):
                    await asyncio.sleep(seconds)
                case Send(index):
                    return index
                case Skip(index):
                    self._playout.skipped(self.unit, index - self._index)
                    return index

    async def _gather(self, index: int) -> None:
        """Wait, but not long, for what unit ``index`` still lacks."""

    @abstractmethod
    def _maker(self, index: int) -> Callable[[], av.AudioFrame | av.VideoFrame]:
        """Fetch and report unit ``index``; return what wraps it."""


class SpeechTrack(PlayoutTrack):
    """The speech: 20 ms packets, 48 kHz mono."""

    kind = "audio"
    unit = "speech"
    unit_samples = PACKET_SAMPLES
    unit_pts = PACKET_SOUND
    late_limit_samples = SPEECH_LATE_LIMIT_SAMPLES
    time_base: ClassVar[fractions.Fraction] = fractions.Fraction(1, SOUND_RATE_HZ)

    def _maker(self, index: int) -> Callable[[], av.AudioFrame]:
        samples = self._playout.speech(index)
        self._playout.sent_speech(index, asyncio.get_running_loop().time())

        def make() -> av.AudioFrame:
            frame = av.AudioFrame.from_ndarray(samples.reshape(1, PACKET_SOUND), format="s16", layout="mono")
            frame.sample_rate = SOUND_RATE_HZ
            frame.pts = index * self.unit_pts
            frame.time_base = self.time_base
            return frame

        return make


class AvatarTrack(PlayoutTrack):
    """The face: 25 pictures a second, each a frame object of its own.

    An encoder writes its picture type into the frame it is given, and a frame that comes back with that type set
    would make every later one a key frame.
    """

    kind = "video"
    unit = "picture"
    unit_samples = SAMPLES_PER_FRAME
    unit_pts = PTS_PER_FRAME
    late_limit_samples = PICTURE_LATE_LIMIT_SAMPLES
    time_base: ClassVar[fractions.Fraction] = fractions.Fraction(1, VIDEO_CLOCK_HZ)

    async def _gather(self, index: int) -> None:
        there = asyncio.Event()
        if self._playout.await_mouth(index, there.set):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(self.leaves_at(index) + MOUTH_GRACE_S):
                    await there.wait()

    def _maker(self, index: int) -> Callable[[], av.VideoFrame]:
        paint = self._playout.picture(index)
        self._playout.sent_picture(index, asyncio.get_running_loop().time())

        def make() -> av.VideoFrame:
            frame = av.VideoFrame.from_numpy_buffer(paint(), format="yuv420p")  # without a copy
            frame.pict_type = PictureType.NONE
            frame.colorspace = Colorspace.ITU601
            frame.color_range = ColorRange.MPEG
            frame.pts = index * self.unit_pts
            frame.time_base = self.time_base
            return frame

        return make

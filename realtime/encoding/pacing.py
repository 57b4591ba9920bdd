"""Paces speech packets and pictures by one playout clock.

A pacer asks the clock for the unit that is due now and never sleeps by a rounded interval. After a stall, speech and
pictures therefore resume at the same instant. Presentation times come from the unit's index alone.
"""

import asyncio
import contextlib
import fractions
from collections.abc import Callable
from typing import Literal, Protocol

import av
import numpy as np
import numpy.typing as npt
from av.video.frame import PictureType
from av.video.reformatter import ColorRange, Colorspace

from lipstream.realtime.clock import PlayoutClock, Send, Skip, Wait, pace
from lipstream.realtime.timeline import (
    BLOCK_SAMPLES,
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
"""Speech up to this late is still sent, as a burst that the receiver's jitter buffer absorbs."""
FIRST_TICK_SAMPLES = BLOCK_SAMPLES + ms_to_samples(1)
"""Time within which an idle session ticks after its first subscriber arrives."""
PICTURE_LATE_LIMIT_SAMPLES = SAMPLES_PER_FRAME
"""A picture later than one frame is superseded by the next."""
MOUTH_GRACE_S = 0.010
"""A due picture waits this long for its rendered mouth before it repeats the last one. A receiver's jitter buffer hides
a few milliseconds of delay; a mouth that stands still is visible. Speech does not wait."""


class Playout(Protocol):
    """The view of a session from which a broadcast takes speech and pictures."""

    @property
    def clock(self) -> PlayoutClock:
        """The session's clock; it never changes."""

    @property
    def picture_size(self) -> tuple[int, int]:
        """Width and height of the pictures, px."""

    def speech(self, packet: int) -> npt.NDArray[np.int16]:
        """Return ``int16[960]``, 48 kHz mono, that leaves with sample ``320 * packet``."""

    def picture(self, frame: int) -> Callable[[], npt.NDArray[np.uint8]]:
        """Decide the content of the picture that leaves with sample ``640 * frame``.

        Returns:
            A call that paints the picture, in any thread: ``uint8[H * 3 // 2, W]``, I420, BT.601 limited.
        """

    def await_mouth(self, frame: int, there: Callable[[], None]) -> bool:
        """Return whether a frame's mouth is still being rendered; if so, call ``there`` when it arrives."""

    def sent_speech(self, packet: int, now_s: float) -> None:
        """Note that a packet has left at monotonic time ``now_s``."""

    def sent_picture(self, frame: int, now_s: float) -> None:
        """Note that a picture has left at monotonic time ``now_s``."""

    def skipped(self, kind: Kind, count: int) -> None:
        """Note that ``count`` units were too late to be sent."""


class Pacer:
    """Waits for each unit of one kind until the playout clock says that it is due.

    Args:
        unit: ``speech`` or ``picture``, for the count of skipped units.
        unit_samples: Length of a unit, samples at 16 kHz.
        late_limit_samples: A unit later than this, in samples at 16 kHz, is skipped.
    """

    def __init__(self, playout: Playout, unit: Kind, *, unit_samples: int, late_limit_samples: int) -> None:
        self._playout = playout
        self._unit: Kind = unit
        self._unit_samples, self._late_limit_samples = unit_samples, late_limit_samples
        self._index: int | None = None

    def leaves_at(self, index: int) -> float:
        """Return the monotonic time at which unit ``index`` is due, in seconds."""
        return self._playout.clock.leaves_at(index * self._unit_samples)

    async def due(self) -> int:
        """Wait for the unit that is due and return its index."""
        loop = asyncio.get_running_loop()
        if self._index is None:
            self._index = max(0, self._first(self._playout.clock.left(loop.time())))
        while True:
            decision = pace(
                self._playout.clock,
                self._index,
                unit_samples=self._unit_samples,
                late_limit_samples=self._late_limit_samples,
                now_s=loop.time(),
            )
            match decision:
                case Wait(seconds):
                    await asyncio.sleep(seconds)
                case Send(index):
                    break
                case Skip(index):
                    self._playout.skipped(self._unit, index - self._index)
                    break
        self._index = index + 1
        return index

    def _first(self, left: int) -> int:
        """Return the first unit after ``left`` samples of the timeline have left: the one that is due now."""
        return left // self._unit_samples


class SpeechPacer(Pacer):
    """Paces speech: 20 ms packets, 48 kHz mono."""

    def __init__(self, playout: Playout) -> None:
        super().__init__(playout, "speech", unit_samples=PACKET_SAMPLES, late_limit_samples=SPEECH_LATE_LIMIT_SAMPLES)

    def _first(self, left: int) -> int:
        """Return the first packet after the next tick: without subscribers the session took in no speech until now."""
        return -(-(left + FIRST_TICK_SAMPLES) // PACKET_SAMPLES)

    async def next(self) -> tuple[int, npt.NDArray[np.int16]]:
        """Wait for the packet that is due; return its index and ``int16[960]``."""
        index = await self.due()
        samples = self._playout.speech(index)
        self._playout.sent_speech(index, asyncio.get_running_loop().time())
        return index, samples


class PicturePacer(Pacer):
    """Paces pictures: 25 frames a second."""

    def __init__(self, playout: Playout) -> None:
        super().__init__(
            playout, "picture", unit_samples=SAMPLES_PER_FRAME, late_limit_samples=PICTURE_LATE_LIMIT_SAMPLES
        )

    async def next(self) -> tuple[int, Callable[[], npt.NDArray[np.uint8]]]:
        """Wait for the picture that is due; return its index and a call that paints it, in any thread."""
        index = await self.due()
        there = asyncio.Event()
        if self._playout.await_mouth(index, there.set):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(self.leaves_at(index) + MOUTH_GRACE_S):
                    await there.wait()
        paint = self._playout.picture(index)
        self._playout.sent_picture(index, asyncio.get_running_loop().time())
        return index, paint


def speech_frame(index: int, samples: npt.NDArray[np.int16]) -> av.AudioFrame:
    """Return packet ``index`` of the speech, ``int16[960]``, as a frame for an encoder."""
    frame = av.AudioFrame.from_ndarray(samples.reshape(1, PACKET_SOUND), format="s16", layout="mono")
    frame.sample_rate = SOUND_RATE_HZ
    frame.pts = index * PACKET_SOUND
    frame.time_base = fractions.Fraction(1, SOUND_RATE_HZ)
    return frame


def picture_frame(index: int, picture: npt.NDArray[np.uint8]) -> av.VideoFrame:
    """Return picture ``index``, ``uint8[H * 3 // 2, W]`` I420, as a frame for an encoder, without a copy.

    Each encoder needs a new frame. It writes its time base and picture type into the frame, and a reused frame would
    turn every later picture into a key frame.
    """
    frame = av.VideoFrame.from_numpy_buffer(picture, format="yuv420p")
    frame.pict_type = PictureType.NONE
    frame.colorspace = Colorspace.ITU601
    frame.color_range = ColorRange.MPEG
    frame.pts = index * PTS_PER_FRAME
    frame.time_base = fractions.Fraction(1, VIDEO_CLOCK_HZ)
    return frame

"""What a session is about to send: delayed speech, render jobs and painted mouths, by position on the timeline.

The tracks take from here when the clock says so; nothing here waits. A mouth that is late is replaced by the last
one, which fades to rest if none comes any more: sound is never held back by the picture.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from realtime.animator import ClipLoop
from realtime.clock import PlayoutClock
from realtime.compositor import Compositor
from realtime.i420 import Picture
from realtime.packets import RenderJob
from realtime.timeline import (
    BLOCK_SOUND,
    BLOCKS_PER_FRAME,
    PACKET_SOUND,
    SOUND_PER_SAMPLE,
    SOUND_RATE_HZ,
    frame_to_sample,
    samples_to_ms,
)

_KEPT_SOUND = 2 * SOUND_RATE_HZ
_KEPT_FRAMES = 64
_FADE_SOUND = SOUND_RATE_HZ * 5 // 1000
"""Speech that is cut off fades out over 5 ms, so that the cut does not click."""

_LARGEST_RISE = 0.5
_FALL = 0.2
"""Change of the mouth's weight from one picture to the next, when mouths come back and when they fail to come."""


@dataclass(slots=True)
class PlayoutCounts:
    """What left, since the beginning.

    Attributes:
        rendered: Pictures with a spoken mouth of their own.
        idle: Pictures with the mouth at rest.
        repeated: Pictures that should have had a mouth which had not come: they showed the last one.
        dropped: Pictures that were due but never sent, because the one before left too late.
        underruns: Packets of speech that were due before their sound was there.
    """

    rendered: int = 0
    idle: int = 0
    repeated: int = 0
    dropped: int = 0
    underruns: int = 0


class PlayoutBuffer:
    """Between the animator and the tracks of one session.

    Args:
        clock: The session's clock.
        compositor: Paints the avatar.
        loop: The avatar's clip.
    """

    def __init__(self, clock: PlayoutClock, compositor: Compositor, loop: ClipLoop) -> None:
        self.clock = clock
        self.compositor, self.loop = compositor, loop
        self.counts = PlayoutCounts()
        self.latencies_ms: deque[float] = deque(maxlen=30 * 25)  # of the mouth, over the last 30 s of speech
        self.last_speaking_s = 0.0  # when the last packet with sound in it left
        self._sound = np.zeros(_KEPT_SOUND, np.int16)  # a ring: position modulo its size
        self._sound_end = 0
        self._jobs: dict[int, RenderJob] = {}
        self._mouths: dict[int, npt.NDArray[np.uint8]] = {}
        self._arrivals: dict[int, float] = {}
        self._last_mouth: npt.NDArray[np.uint8] | None = None
        self._spoken = 0.0  # weight of the mouth in the last picture
        self._own_mouth: set[int] = set()

    @property
    def sound_end(self) -> int:
        """Position (48 kHz) after the last speech taken in."""
        return self._sound_end

    def add_speech(self, sound: npt.NDArray[np.float32]) -> None:
        """Append ``float32[n]`` of speech at 48 kHz."""
        pcm = np.rint(np.clip(sound, -1.0, 1.0) * 32767).astype(np.int16)
        self._sound[(self._sound_end + np.arange(pcm.size)) % _KEPT_SOUND] = pcm
        self._sound_end += pcm.size

    def skip_speech(self, position: int) -> None:
        """Go on at a later position (48 kHz), with silence up to it."""
        silent = min(position - self._sound_end, _KEPT_SOUND)
        self._sound[(position - 1 - np.arange(silent)) % _KEPT_SOUND] = 0
        self._sound_end = position

    def silence_from(self, position: int) -> None:
        """Silence the speech from a position (48 kHz) on that has not left; it fades over 5 ms."""
        waiting = self._sound_end - position
        if waiting <= 0:
            return
        index = (position + np.arange(waiting)) % _KEPT_SOUND
        fade = np.clip(1 - np.arange(waiting) / _FADE_SOUND, 0, 1)
        self._sound[index] = np.rint(self._sound[index] * fade).astype(np.int16)

    def add_jobs(self, jobs: Iterable[RenderJob]) -> None:
        """Take in decided frames; a later decision about a frame replaces the earlier one."""
        for job in jobs:
            self._jobs[job.frame] = job
            self._jobs.pop(job.frame - _KEPT_FRAMES, None)

    def add_mouth(self, frame: int, mouth: npt.NDArray[np.uint8]) -> None:
        """Take in the painted mouth of a frame; too late ones are of no use."""
        if frame in self._jobs:
            self._mouths[frame] = mouth

    def note_arrival(self, frame: int, arrived_s: float) -> None:
        """Remember when the sound that holds a frame's first sample entered the session."""
        self._arrivals[frame] = arrived_s
        self._arrivals.pop(frame - _KEPT_FRAMES, None)

    def speech(self, packet: int) -> npt.NDArray[np.int16]:
        """Return the speech of an outgoing packet, ``int16[960]``, mono, 48 kHz; silence where none is there."""
        start = packet * PACKET_SOUND
        position = start + np.arange(PACKET_SOUND)
        there = (position < self._sound_end) & (position >= self._sound_end - _KEPT_SOUND)
        self.counts.underruns += not there.all()
        return np.where(there, self._sound[position % _KEPT_SOUND], 0).astype(np.int16)

    def picture(self, frame: int) -> Picture:
        """Return the picture of a frame, I420; must not be written to."""
        job = self._jobs.get(frame)
        mouth = self._mouths.get(frame)
        self._forget(frame)
        clip_frame = self.loop.clip_frame(frame)
        wanted = job.spoken if job else 0.0
        if wanted <= 0 and self._spoken <= _FALL:
            self._spoken, self._last_mouth = 0.0, None
            self.counts.idle += 1
            return self.compositor.compose(clip_frame, None, 0.0)
        if mouth is not None:
            self._last_mouth = mouth
            self._spoken = min(wanted, self._spoken + _LARGEST_RISE)
            self._own_mouth.add(frame)
            self.counts.rendered += 1
        elif wanted > 0 or job is None:
            self._spoken = min(wanted, self._spoken) if self._just_repeated() else max(0.0, self._spoken - _FALL)
            self.counts.repeated += 1
        else:
            self._spoken = max(0.0, self._spoken - _FALL)
            self.counts.idle += 1
        return self.compositor.compose(clip_frame, self._last_mouth, self._spoken)

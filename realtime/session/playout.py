"""Holds the media that a session is about to send: speech, render jobs and mouths, by position on the timeline.

The tracks take units from here at the times of the clock; nothing here waits. The last mouth replaces a late one, and
fades to rest if no more come. Late pictures therefore never delay the sound.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from lipstream.realtime.clock import PlayoutClock
from lipstream.realtime.meters import Meters
from lipstream.realtime.metrics import Recent
from lipstream.realtime.packets import RenderJob
from lipstream.realtime.picture.compositor import Compositor, Painting
from lipstream.realtime.session.animator import FrameChoice
from lipstream.realtime.timeline import (
    PACKET_SAMPLES,
    PACKET_SOUND,
    SAMPLES_PER_FRAME,
    SOUND_PER_SAMPLE,
    SOUND_RATE_HZ,
    exact_ratio,
    frame_to_sample,
    samples_to_ms,
)

_KEPT_SOUND = exact_ratio(2 * SOUND_RATE_HZ, PACKET_SOUND) * PACKET_SOUND
_KEPT_FRAMES = 64
_RATE_WINDOW_S = 2.0
_FADE_SOUND = SOUND_RATE_HZ * 5 // 1000
"""Speech that is cut off fades out over 5 ms, so that the cut does not click."""

_LARGEST_RISE, _LARGEST_FALL = 0.5, 0.34
"""Largest change of the mouth's weight between two pictures, also where mouths are late or missing."""


def next_weight(wanted: float, before: float) -> float:
    """Return the mouth's weight in a picture, 0..1: the wanted one, as near as one step from ``before`` comes to it."""
    return min(max(wanted, before - _LARGEST_FALL), before + _LARGEST_RISE)


@dataclass(slots=True)
class PlayoutCounts:
    """Counts of sent and dropped units since the session began.

    Attributes:
        rendered: Number of pictures with a spoken mouth of their own.
        idle: Number of pictures with the mouth at rest.
        repeated: Number of pictures that showed the last mouth because their own was late.
        dropped: Number of pictures that were due but not sent, because the one before left too late.
        underruns: Number of packets of speech, 20 ms each, that were due before their sound was complete.
    """

    rendered: int = 0
    idle: int = 0
    repeated: int = 0
    dropped: int = 0
    underruns: int = 0


class PlayoutBuffer:
    """Buffer between the animator and the tracks of one session.

    Args:
        meters: Totals over all sessions of the server; ``None`` for meters of its own.
    """

    def __init__(
        self, clock: PlayoutClock, compositor: Compositor, loop: FrameChoice, meters: Meters | None = None
    ) -> None:
        self.clock = clock
        self.compositor, self.loop = compositor, loop
        self.counts = PlayoutCounts()
        self._meters = meters or Meters()
        self.mouth_latency_ms, self.av_offset_ms, self.interrupt_tail_ms = Recent(), Recent(), Recent()
        self.pictures_sent = Recent()  # one entry for each picture
        self._sound = np.zeros(_KEPT_SOUND, np.int16)  # a ring: position modulo its size
        self._sound_end = 0
        self._jobs: dict[int, RenderJob] = {}
        self._mouths: dict[int, npt.NDArray[np.uint8]] = {}
        self._arrivals: dict[int, float] = {}
        self._mouth: npt.NDArray[np.uint8] | None = None  # the last one shown
        self._spoken = 0.0  # weight of the last mouth shown
        self._missed = 0  # pictures in a row whose mouth was late
        self._heard = False  # whether a mouth has arrived since the last late one
        self._own_mouth_frame = -1
        self._awaited: tuple[int, Callable[[], None]] | None = None
        self._last_packet, self._last_packet_s = -1, 0.0
        self._last_frame = -1
        self._interrupted: tuple[int, float] | None = None  # first silent packet, time of the call

    def show(self, compositor: Compositor, loop: FrameChoice) -> None:
        """Show another avatar from the next picture on, with its mouth at rest at first."""
        self.compositor, self.loop = compositor, loop
        self._jobs.clear()
        self._mouths.clear()
        self._mouth, self._spoken, self._missed = None, 0.0, 0

    @property
    def picture_size(self) -> tuple[int, int]:
        """Width and height of the pictures, px."""
        return self.compositor.size

    @property
    def sound_end(self) -> int:
        """Position after the last speech taken in, 48 kHz samples."""
        return self._sound_end

    def add_speech(self, sound: npt.NDArray[np.float32]) -> None:
        """Append ``float32[n]`` of speech at 48 kHz, less than two seconds."""
        pcm = np.multiply(sound, 32767)
        np.rint(pcm, out=pcm)
        np.minimum(np.maximum(pcm, -32767, out=pcm), 32767, out=pcm)
        place = self._sound_end % _KEPT_SOUND
        to_end = _KEPT_SOUND - place
        self._sound[place : place + pcm.size] = pcm[:to_end]
        self._sound[: max(0, pcm.size - to_end)] = pcm[to_end:]
        self._sound_end += pcm.size

    def skip_speech(self, position: int) -> None:
        """Continue at a later position (48 kHz), with silence before it; frames decided so far are discarded."""
        for frames in (self._jobs, self._mouths, self._arrivals):
            frames.clear()
        self._interrupted = None
        silent = min(position - self._sound_end, _KEPT_SOUND)
        self._sound[(position - 1 - np.arange(silent)) % _KEPT_SOUND] = 0
        self._sound_end = position

    def interrupt(self, now_s: float) -> tuple[int, int]:
        """Silence all speech that has not left, with a fade of 5 ms.

        Returns:
            The next sample (16 kHz) and the next frame to leave.
        """
        left = self.clock.left(now_s)  # the last packet may be old, or none may have been sent
        packet = max(self._last_packet + 1, -(-left // PACKET_SAMPLES))
        frame = max(self._last_frame + 1, -(-left // SAMPLES_PER_FRAME))
        start = packet * PACKET_SOUND
        waiting = max(0, self._sound_end - start)
        index = (start + np.arange(waiting)) % _KEPT_SOUND
        fade = np.clip(1 - np.arange(waiting) / _FADE_SOUND, 0, 1)
        self._sound[index] = np.rint(self._sound[index] * fade).astype(np.int16)
        self._interrupted = (packet, now_s)
        return packet * PACKET_SAMPLES, frame

    def add_jobs(self, jobs: Iterable[RenderJob]) -> None:
        """Take in the jobs of decided frames; a later job for a frame replaces the earlier one."""
        for job in jobs:
            self._jobs[job.frame] = job
            _forget(self._jobs, job.frame - _KEPT_FRAMES + 1)

    def add_mouth(self, frame: int, mouth: npt.NDArray[np.uint8]) -> None:
        """Take in the mouth of a frame, ``uint8[h, w, 3]`` pixels or ``uint8[h, w, 8 or 20]`` fields.

        A late mouth also counts as a sign that more mouths come. If its frame has just left, the next picture shows it
        in case its own mouth is late too.
        """
        self._heard = True
        if frame == self._last_frame and self._mouth is not None:
            self._mouth = mouth
        if frame > self._last_frame and frame in self._jobs:
            self._mouths[frame] = mouth
            _forget(self._mouths, frame - _KEPT_FRAMES + 1)
            if self._awaited and self._awaited[0] == frame:
                self._awaited[1]()

    def await_mouth(self, frame: int, there: Callable[[], None]) -> bool:
        """Return whether a frame's mouth is still expected; if so, call ``there`` when it arrives.

        After a late mouth no mouth is expected until another one arrives.
        """
        job = self._jobs.get(frame)
        expected = job is not None and job.mel is not None and frame not in self._mouths
        expected = expected and (self._heard or not self._missed)
        self._awaited = (frame, there) if expected else None
        return expected

    def note_arrival(self, frame: int, arrived_s: float) -> None:
        """Record the monotonic time at which the sound with a frame's first sample entered the session."""
        self._arrivals[frame] = arrived_s
        _forget(self._arrivals, frame - _KEPT_FRAMES + 1)

    def speech(self, packet: int) -> npt.NDArray[np.int16]:
        """Return the speech of an outgoing packet, ``int16[960]``, mono, 48 kHz, with silence for missing samples."""
        start = packet * PACKET_SOUND
        place = start % _KEPT_SOUND  # packets fill the ring evenly: none lies across its end
        sound = self._sound[place : place + PACKET_SOUND].copy()
        there = min(PACKET_SOUND, max(0, self._sound_end - start))
        if there < PACKET_SOUND or start < self._sound_end - _KEPT_SOUND:
            self.counts.underruns += 1
            self._meters.underruns.inc()
            sound[0 if start < self._sound_end - _KEPT_SOUND else there :] = 0
        return sound

    def picture(self, frame: int) -> Painting:
        """Return the painting for a frame: its frame of the clip, its mouth and the weight of that mouth."""
        job, mouth = self._jobs.get(frame), self._mouths.get(frame)
        wanted = job.spoken if job else 0.0
        if mouth is not None:
            self._mouth, self._missed = mouth, 0
        elif wanted > 0:
            fading = self._missed > 0 and not self._heard
            self._missed, self._heard = self._missed + 1, False
            self.counts.repeated += 1
            self._meters.frames.labels("repeated").inc()
            wanted = 0.0 if fading else wanted  # the last mouth is repeated once; then it fades to rest
        else:
            self._missed = 0
            self.counts.idle += 1
            self._meters.frames.labels("idle").inc()
        if self._mouth is None:
            wanted = 0.0  # no mouth has arrived yet
        self._spoken = next_weight(wanted, self._spoken)
        if not self._spoken:
            self._mouth = None  # the next utterance must not begin with an old mouth
        if mouth is not None:
            self.counts.rendered += 1
            self._meters.frames.labels("spoken").inc()
            self._own_mouth_frame = frame
        for late in [waiting for waiting in self._mouths if waiting <= frame]:
            del self._mouths[late]
        return Painting(self.compositor, self.loop.clip_frame(frame), self._mouth, self._spoken)

    def sent_speech(self, packet: int, now_s: float) -> None:
        """Record that a packet of speech leaves now."""
        self._last_packet, self._last_packet_s = packet, now_s
        if self._interrupted and packet >= self._interrupted[0]:
            tail_s = now_s - self._interrupted[1]
            self.interrupt_tail_ms.add(tail_s * 1000, now_s)
            self._meters.tail.observe(tail_s)
            self._interrupted = None

    def sent_picture(self, frame: int, now_s: float) -> None:
        """Record that a picture leaves now."""
        self._last_frame = frame
        self.pictures_sent.add(1, now_s)
        self._meters.lateness.observe(now_s - self.clock.leaves_at(frame_to_sample(frame)))
        if frame == self._own_mouth_frame and frame in self._arrivals:
            latency_s = now_s - self._arrivals[frame]
            self.mouth_latency_ms.add(latency_s * 1000, now_s)
            self._meters.mouth_latency.observe(latency_s)
        if self._last_packet >= 0:
            sound_ms = samples_to_ms(self._last_packet * PACKET_SAMPLES) + (now_s - self._last_packet_s) * 1000
            offset_ms = sound_ms - samples_to_ms(frame_to_sample(frame))
            self.av_offset_ms.add(offset_ms, now_s)
            self._meters.skew.observe(offset_ms / 1000)

    def queue_depths(self, now_s: float) -> dict[str, tuple[int, int]]:
        """Return fill and limit of each queue: speech in ms, decided frames, mouths."""
        speech = max(0, self._sound_end - self.clock.left(now_s) * SOUND_PER_SAMPLE)
        return {
            "speech_ms": (speech * 1000 // SOUND_RATE_HZ, _KEPT_SOUND * 1000 // SOUND_RATE_HZ),
            "decided_frames": (sum(frame > self._last_frame for frame in self._jobs), _KEPT_FRAMES),
            "mouths": (len(self._mouths), _KEPT_FRAMES),
        }

    def frame_rate(self, now_s: float) -> float | None:
        """Return the pictures per second over the last two seconds; ``None`` before the first picture."""
        if not len(self.pictures_sent):
            return None
        return round(self.pictures_sent.count_since(now_s - _RATE_WINDOW_S) / _RATE_WINDOW_S, 1)

    def skipped(self, kind: Literal["speech", "picture"], count: int) -> None:
        """Record that due units are not sent."""
        if kind == "picture":
            self.counts.dropped += count
            self._meters.frames.labels("dropped").inc(count)


def _forget(by_frame: dict[int, Any], oldest: int) -> None:
    """Drop the entries of frames before ``oldest``; the entries are in order of frames."""
    while by_frame and (frame := next(iter(by_frame))) < oldest:
        del by_frame[frame]

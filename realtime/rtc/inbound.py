"""What comes in: the microphone track, drained at once and handed on with its true positions."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from realtime.timeline import SOUND_RATE_HZ

logger = logging.getLogger(__name__)

OnSound = Callable[[int, npt.NDArray[np.float32], float], None]
"""Takes the position of the first sample (48 kHz, from 0), ``float32[n]`` mono, and the time of arrival, s."""

RTP_CLOCK_MODULUS = 1 << 32
MAX_DISAGREEMENT_SOUND = 10 * SOUND_RATE_HZ
"""A timestamp this far from where its arrival puts it means that the sender's clock has started again.

Less than that is a burst of packets that the network had held back."""
MAX_REFUSALS = 25
"""Chunks in a row from before the end of the last: half a second of them is a clock set back, not a late packet."""


class PositionTracker:
    """Unwraps the microphone's timestamps into positions that start at 0 and never go back."""

    def __init__(self) -> None:
        self._timestamp = 0
        self._position = 0
        self._end = 0
        self._refusals = 0
        self._arrived_s: float | None = None

    def place(self, timestamp: int, samples: int, arrived_s: float) -> int | None:
        """Return the position of a chunk.

        Args:
            timestamp: RTP timestamp at 48 kHz; only its lowest 32 bits count.
            samples: Length of the chunk, 48 kHz samples.
            arrived_s: Monotonic time of arrival.

        Returns:
            Position of its first sample, or ``None`` for a chunk that lies before the end of the last one.
        """
        position = 0
        if self._arrived_s is not None:
            half = RTP_CLOCK_MODULUS // 2
            step = (timestamp - self._timestamp + half) % RTP_CLOCK_MODULUS - half
            elapsed = round((arrived_s - self._arrived_s) * SOUND_RATE_HZ)
            if abs(step - elapsed) > MAX_DISAGREEMENT_SOUND or self._refusals >= MAX_REFUSALS:
                step = max(elapsed, self._end - self._position)
            position = self._position + step
            if position < self._end:
                self._refusals += 1
                return None
        self._refusals = 0
        self._timestamp, self._position, self._arrived_s = timestamp, position, arrived_s
        self._end = position + samples
        return position


class Microphone:
    """Decoded microphone frames in, positioned mono sound out.

    Attributes:
        dropped: Frames that could not be used: of an odd format, or before the end of the last.
    """

    def __init__(self, on_sound: OnSound) -> None:
        self.dropped = 0
        self._on_sound = on_sound
        self._tracker = PositionTracker()
        self._resampler: tuple[tuple[str, str, int], av.AudioResampler] | None = None

    async def drain(self, track: MediaStreamTrack) -> None:
        """Hand on every frame of ``track`` until it ends. Nothing is ever queued here.

        Raises:
            Exception: Whatever ``on_sound`` raises.
        """
        loop = asyncio.get_running_loop()
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            self.push(frame, loop.time())

    def push(self, frame: object, arrived_s: float) -> None:
        """Hand on one decoded frame that arrived at monotonic time ``arrived_s``."""
        try:
            timestamp, samples = self._mono(frame)
        except (ValueError, TypeError, av.FFmpegError) as error:
            self.dropped += 1
            logger.debug("microphone frame dropped: %s", error)
            return
        if not len(samples):
            return
        position = self._tracker.place(timestamp, len(samples), arrived_s)
        if position is None:
            self.dropped += 1
            return
        self._on_sound(position, samples, arrived_s)

    def _mono(self, frame: object) -> tuple[int, npt.NDArray[np.float32]]:
        """Return timestamp and samples of a frame at 48 kHz.

        Raises:
            ValueError: If the frame is not one of sound, or has no timestamp.
        """
        if not isinstance(frame, av.AudioFrame) or frame.pts is None or not frame.time_base:
            raise ValueError("not a frame of sound with a timestamp")
        timestamp = frame.pts * SOUND_RATE_HZ * frame.time_base.numerator // frame.time_base.denominator
        if frame.sample_rate == SOUND_RATE_HZ and frame.format.name == "s16":
            interleaved = frame.to_ndarray().reshape(-1, len(frame.layout.channels)).astype(np.float32)
            return timestamp, _mean_of_channels(interleaved.T) * np.float32(1 / 32768)
        frame.pts = None  # the filter keeps no time of ours: the frame's own says where its sound belongs
        parts = [_mean_of_channels(part.to_ndarray()) for part in self._resampler_for(frame).resample(frame)]
        return timestamp, np.concatenate([np.zeros(0, np.float32), *parts], dtype=np.float32)

    def _resampler_for(self, frame: av.AudioFrame) -> av.AudioResampler:
        """Return the resampler of the frame's format; each takes one only. Channels are averaged after it."""
        source = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self._resampler is None or self._resampler[0] != source:
            self._resampler = source, av.AudioResampler(format="fltp", layout=frame.layout, rate=SOUND_RATE_HZ)
        return self._resampler[1]


def _mean_of_channels(channels: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return the mean of ``float32[c, n]``. Adding rows up is twenty times as fast as NumPy's mean of pairs."""
    total: npt.NDArray[np.float32] = channels[0].astype(np.float32)
    for channel in channels[1:]:
        total += channel
    total *= np.float32(1 / len(channels))
    return total

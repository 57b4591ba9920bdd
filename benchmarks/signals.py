"""Sound to measure with: clicks on the first sample of a frame, syllables, and speech where the machine has some."""

import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from benchmarks.recording import Heard, Seen
from realtime.audio.source_buffer import SourceCounts
from realtime.clock import PlayoutClock
from realtime.timeline import (
    BLOCK_SAMPLES,
    BLOCK_SOUND,
    SAMPLE_RATE_HZ,
    SAMPLES_PER_FRAME,
    SOUND_PER_SAMPLE,
    SOUND_RATE_HZ,
)

Sound = npt.NDArray[np.float32]

CLICK_EVERY_FRAMES = 16
_CLICK_SOUND = SOUND_RATE_HZ * 2 // 1000
_FRAME_SOUND = SAMPLES_PER_FRAME * SOUND_PER_SAMPLE
_FLASH_SHARE = 0.5
"""Of the way from the darkest to the brightest mouth."""
_SENTENCES = (
    "The quick brown fox jumps over the lazy dog. My mother may make more marmalade on Monday.",
    "We were away a year ago. Please put five big boxes of peppers beside the blue door.",
)
_SYSTEM_SPEECH = Path("/usr/share/asterisk/sounds")


def click() -> Sound:
    """Return the click: 2 ms of 3 kHz, ``float32[96]``."""
    t = np.arange(_CLICK_SOUND) / SOUND_RATE_HZ
    return (0.8 * np.sin(2 * np.pi * 3000 * t)).astype(np.float32)


def voice(start: int, count: int, *, level: float = 1.0, pitch_hz: float = 120.0) -> Sound:
    """Return ``count`` samples, from ``start`` on, of a buzz with four syllables a second, 48 kHz."""
    t = np.arange(start, start + count) / SOUND_RATE_HZ
    buzz = np.sum([np.sin(2 * np.pi * pitch_hz * k * t) / (1 + abs(k - 5)) for k in range(1, 25)], axis=0)
    sound: Sound = (0.15 * level * buzz * (0.55 - 0.45 * np.cos(2 * np.pi * 4 * t))).astype(np.float32)
    return sound


def clicks(start: int, count: int) -> Sound:
    """Return a quiet voice with a click on the first sample of every sixteenth frame, 48 kHz."""
    sound = voice(start, count, level=0.05)
    period = CLICK_EVERY_FRAMES * _FRAME_SOUND
    for begins in range(start // period * period, start + count, period):
        first, stop = max(start, begins), min(start + count, begins + _CLICK_SOUND)
        if first < stop:
            sound[first - start : stop - start] += click()[first - begins : stop - begins]
    return sound


class TimelineSource:
    """Stands in for a session's source buffer: sound that knows its exact place on the timeline.

    Args:
        clock: The session's.
        sound: Takes a position on the timeline at 48 kHz and a count, returns ``float32[count]``.
    """

    def __init__(self, clock: PlayoutClock, sound: Callable[[int, int], Sound]) -> None:
        self.counts = SourceCounts()
        self._clock, self._sound = clock, sound

    def pull(self, now_s: float, *, mark: int = 0) -> tuple[Sound, float | None]:  # noqa: ARG002 (as a buffer does)
        """Return the 10 ms that enter the timeline at ``now_s``."""
        sample = round((now_s - self._clock.epoch_s) * SAMPLE_RATE_HZ) - BLOCK_SAMPLES
        return self._sound(sample * SOUND_PER_SAMPLE, BLOCK_SOUND), now_s

    def push(self, position: int, samples: Sound, arrived_s: float) -> None:
        """Ignore the peer's microphone."""

    def clear(self) -> None:
        """Nothing waits."""


def find_clicks(heard: Heard) -> list[tuple[float, float]]:
    """Return the sender's time and the time of arrival of each click."""
    match = np.correlate(heard.samples, click(), "valid")
    match /= np.square(click()).sum()
    found: list[int] = []
    for first in np.flatnonzero(match > 0.4):
        if not found or first > found[-1] + _FRAME_SOUND:
            found.append(int(first + match[first : first + _CLICK_SOUND].argmax()))
    return [heard.at(sample) for sample in found]


def find_flashes(pictures: list[Seen], mouth: tuple[slice, slice]) -> list[tuple[float, float]]:
    """Return the sender's time and the time of arrival of the first picture of each flash.

    Args:
        pictures: All pictures.
        mouth: Rows and columns of the mouth's middle.
    """
    bright = np.array([picture.luma[mouth].mean() for picture in pictures])
    lit = bright > bright.min() + _FLASH_SHARE * (bright.max() - bright.min())
    starts = np.flatnonzero(lit & ~np.concatenate(([True], lit[:-1])))
    return [(pictures[index].media_s, pictures[index].arrived_s) for index in starts]


def offsets_ms(clicks_s: list[float], flashes_s: list[float], *, within_s: float = 0.25) -> list[float]:
    """Return how far each click lies before its flash, ms; positive: sound ahead. Lone ones are left out."""
    pairs = [(flash, min(clicks_s, key=lambda at_s: abs(at_s - flash))) for flash in flashes_s] if clicks_s else []
    return [(flash - at_s) * 1000 for flash, at_s in pairs if abs(flash - at_s) < within_s]


def speech() -> tuple[str, Sound]:
    """Return the name of some speech and ``float32[n]`` of it, 48 kHz: spoken by flite, or recorded, or syllables."""
    if flite := shutil.which("flite"):
        with tempfile.TemporaryDirectory() as folder:
            spoken = Path(folder) / "speech.wav"
            subprocess.run([flite, "-voice", "slt", "-t", " ".join(_SENTENCES), "-o", str(spoken)], check=True)
            return "flite (slt)", _read(spoken)
    recorded = sorted(_SYSTEM_SPEECH.glob("en*/*.wav"), key=lambda path: -path.stat().st_size)[:4]
    if recorded:
        return "recorded prompts", np.concatenate([_read(path) for path in recorded])
    return "syllables", np.concatenate((voice(0, 3 * SOUND_RATE_HZ), np.zeros(SOUND_RATE_HZ // 2, np.float32)))


def _read(path: Path) -> Sound:
    resampler = av.AudioResampler(format="flt", layout="mono", rate=SOUND_RATE_HZ)
    with av.open(str(path)) as container:
        frames = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
    frames += resampler.resample(None)
    sound = np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames])
    return (sound * (0.7 / max(float(np.abs(sound).max()), 1e-3))).astype(np.float32)

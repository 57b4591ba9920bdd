"""Sound for measurements: speech if the machine has some, and sound at exact positions of a timeline."""

import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np

from lipstream.realtime.audio.jitter_buffer import JitterBuffer
from lipstream.realtime.clock import PlayoutClock
from lipstream.realtime.test_client.click_track import Sound, voice
from lipstream.realtime.timeline import (
    BLOCK_SAMPLES,
    BLOCK_SOUND,
    SAMPLE_RATE_HZ,
    SOUND_PER_SAMPLE,
    SOUND_RATE_HZ,
)

_SENTENCES = (
    "The quick brown fox jumps over the lazy dog. My mother may make more marmalade on Monday.",
    "We were away a year ago. Please put five big boxes of peppers beside the blue door.",
)
_SYSTEM_SPEECH = Path("/usr/share/asterisk/sounds")


class TimelineSource(JitterBuffer):
    """Replaces a session's jitter buffer by sound at exact positions of the timeline.

    Args:
        sound: Takes a position at 48 kHz and a count; returns ``float32[count]``.
    """

    def __init__(self, clock: PlayoutClock, sound: Callable[[int, int], Sound]) -> None:
        super().__init__()
        self._clock, self._sound = clock, sound

    def pull(self, now_s: float, *, arrival_of: int = 0) -> tuple[Sound, float | None]:  # noqa: ARG002 (as JitterBuffer)
        """Return the 10 ms that enter the timeline at ``now_s``."""
        sample = round((now_s - self._clock.epoch_s) * SAMPLE_RATE_HZ) - BLOCK_SAMPLES
        return self._sound(sample * SOUND_PER_SAMPLE, BLOCK_SOUND), now_s

    def push(self, position: int, samples: Sound, arrived_s: float) -> None:
        """Ignore the peer's microphone."""

    def clear(self) -> None:
        """Do nothing: no sound waits here."""


def speech() -> tuple[str, Sound]:
    """Return the name of some speech and its ``float32[n]``, 48 kHz: by flite, recorded, or synthetic syllables."""
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

"""Recordings of human speech with their transcripts."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from training.aligner import align
from training.visemes import Phone
from training.voices import RATE_HZ, Floats, read_audio

PROMPTS = {
    "agent-alreadyon": "that agent is already logged on please enter your agent number followed by the pound key",
    "priv-introsaved": "thank you please hold while i attempt to connect you with your party",
    "pbx-invalidpark": "i am sorry there is no call parked on that extension please try again",
    "vm-mismatch": "the passwords you entered and re-entered did not match please try again",
}
"""Transcripts of recordings in Debian's ``asterisk-core-sounds-en-wav``, by name; not used for training."""
_PAUSE_S = 0.5


def read_recording(path: Path, words: str) -> tuple[Floats, list[Phone]]:
    """Return a recording at a common level, padded with half a second of silence on both sides, and its phones."""
    samples = read_audio(path)
    phones = align(samples, words)
    pause = np.zeros(int(_PAUSE_S * RATE_HZ), np.float32)
    samples = np.concatenate([pause, samples * np.float32(0.08 / max(float(samples.std()), 1e-6)), pause])
    return samples, [Phone(p.name, p.start_s + _PAUSE_S, p.end_s + _PAUSE_S) for p in phones]

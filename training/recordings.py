"""Recordings of people with their transcripts: when each phone sounds, by forced alignment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from training.visemes import Phone
from training.voices import RATE_HZ, Floats, read_audio

PROMPTS = {
    "agent-alreadyon": "that agent is already logged on please enter your agent number followed by the pound key",
    "priv-introsaved": "thank you please hold while i attempt to connect you with your party",
    "pbx-invalidpark": "i am sorry there is no call parked on that extension please try again",
    "vm-mismatch": "the passwords you entered and re-entered did not match please try again",
}
"""What is said in recordings of Debian's ``asterisk-core-sounds-en-wav``, by name; never trained on."""
_PAUSE_S = 0.5
_ALLOPHONES = {"hh": "hh", "sil": "pau", "+spn+": "pau", "+nsn+": "pau"}


def align(samples: Floats, words: str) -> list[Phone]:
    """Return when each phone of the words sounds, by pocketsphinx and its US-English model.

    Args:
        samples: ``float32[n]`` at 16 kHz.
        words: What is said, as words of its dictionary.
    """
    from pocketsphinx import Decoder  # noqa: PLC0415 (of all steps, only this one needs it)

    pcm = (np.clip(samples, -1, 1) * 32767).astype(np.int16).tobytes()
    decoder: Any = Decoder(samprate=RATE_HZ, loglevel="ERROR", bestpath=False)
    decoder.set_align_text(words)
    for second_pass in (False, True):
        if second_pass:
            decoder.set_alignment()
        decoder.start_utt()
        decoder.process_raw(pcm, full_utt=True)
        decoder.end_utt()
    frame_s = 0.01
    found = []
    for word in decoder.get_alignment():
        for phone in word:
            name = _ALLOPHONES.get(phone.name.lower(), phone.name.lower())
            found.append(Phone(name, phone.start * frame_s, (phone.start + phone.duration) * frame_s))
    return found


def read_recording(path: Path, words: str) -> tuple[Floats, list[Phone]]:
    """Return a recording at a common level with half a second of silence on both sides, and its phones."""
    samples = read_audio(path)
    phones = align(samples, words)
    pause = np.zeros(int(_PAUSE_S * RATE_HZ), np.float32)
    samples = np.concatenate([pause, samples * np.float32(0.08 / max(float(samples.std()), 1e-6)), pause])
    return samples, [Phone(p.name, p.start_s + _PAUSE_S, p.end_s + _PAUSE_S) for p in phones]

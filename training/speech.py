"""Speech with exact phone times, from flite's voices, and sounds that must leave the mouth shut."""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from realtime.audio.mel import mel_spectrogram
from training.texts import random_text
from training.visemes import MOUTH_ACTIONS, Phone, mouth_curve

Floats = NDArray[np.float32]

RATE_HZ = 16000
TRAINING_VOICES = ("rms", "awb", "kal16")
HELD_OUT_VOICE = "slt"
VARIANTS = 4
"""Renderings of each clip in other conditions: level, noise, band, room."""

_QUIET = -4.0


@dataclass(frozen=True)
class Clip:
    """One utterance, or a stretch of other sound.

    Attributes:
        voice: Its voice; empty if nobody speaks.
        samples: ``float32[n]`` at 16 kHz.
        phones: When each phone sounds.
        mouth: ``float32[frames, 13]``, see `mouth_curve`.
    """

    voice: str
    samples: Floats
    phones: tuple[Phone, ...]
    mouth: Floats


def read_audio(path: Path) -> Floats:
    """Decode any sound file to mono 16 kHz, ``float32[n]`` in -1..1."""
    resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE_HZ)
    pieces: list[Any] = []
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            pieces += resampler.resample(frame)
        pieces += resampler.resample(None)
    return np.concatenate([piece.to_ndarray()[0] for piece in pieces]).astype(np.float32)


def parse_phones(printed: str) -> list[Phone]:
    """Read what ``flite -psdur`` prints: ``name:end_s`` separated by blanks."""
    phones, start = [], 0.0
    for name, end in re.findall(r"([a-z]+):([0-9.]+)", printed):
        phones.append(Phone(name, start, float(end)))
        start = float(end)
    return phones


def _spoken(text: str, path: Path) -> list[str]:
    return ["-t", text, "-o", str(path), "-psdur"]


def speak(text: str, voice: str, *, stretch: float = 1.0, pitch: float = 1.0) -> Clip:
    """Say a text with flite.

    Args:
        text: What to say.
        voice: One of flite's voices.
        stretch: Slower above 1.
        pitch: Factor on pitch and formants, by playing it faster; its times follow.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "speech.wav")
        printed = subprocess.run(
            ["flite", "-voice", voice, "--setf", f"duration_stretch={stretch * pitch}", *_spoken(text, path)],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        samples = read_audio(path)
    phones = [Phone(p.name, p.start_s / pitch, p.end_s / pitch) for p in parse_phones(printed)]
    at = np.arange(0, len(samples) - 1, pitch)
    samples = np.interp(at, np.arange(len(samples)), samples).astype(np.float32)
    # The voices' own level differs; a pause before and after lets the mouth start and end at rest.
    samples *= np.float32(0.08 / max(float(np.sqrt(np.mean(samples**2))), 1e-6))
    lead = int(0.3 * RATE_HZ)
    samples = np.concatenate([np.zeros(lead, np.float32), samples, np.zeros(lead, np.float32)])
    phones = [Phone(p.name, p.start_s + 0.3, p.end_s + 0.3) for p in phones]
    return Clip(voice, samples, tuple(phones), mouth_curve(phones, len(samples) / RATE_HZ))


def coloured_noise(count: int, rng: np.random.Generator, tilt: float) -> Floats:
    """Return noise whose amplitude falls as frequency to the power `tilt`, root mean square 1."""
    spectrum = np.fft.rfft(rng.standard_normal(count))
    hz = np.fft.rfftfreq(count, 1 / RATE_HZ)
    spectrum /= np.maximum(hz, 40.0) ** tilt
    noise = np.fft.irfft(spectrum, count)
    return np.asarray(noise / max(float(noise.std()), 1e-9), np.float32)


def unspoken(rng: np.random.Generator) -> Clip:
    """Return a few seconds without a voice: silence, noise, breath, hum or tones. The mouth rests."""
    count = int(rng.uniform(2.0, 4.0) * RATE_HZ)
    at = np.arange(count) / RATE_HZ
    kind = rng.integers(5)
    samples: NDArray[Any] = np.zeros(count)
    if kind == 0:
        pass
    elif kind == 1:
        samples = coloured_noise(count, rng, rng.uniform(0, 1.2))
    elif kind == 2:  # breath: a band of noise that swells
        spectrum = np.fft.rfft(rng.standard_normal(count))
        hz = np.fft.rfftfreq(count, 1 / RATE_HZ)
        spectrum *= np.exp(-(((hz - rng.uniform(800, 2500)) / rng.uniform(600, 1500)) ** 2))
        samples = np.fft.irfft(spectrum, count)
        samples *= np.maximum(np.sin(2 * np.pi * at / rng.uniform(1.5, 4.0) + rng.uniform(0, 6)), 0) ** 2
    elif kind == 3:  # mains hum
        hz0 = rng.choice((50.0, 60.0))
        samples = np.sum([np.sin(2 * np.pi * hz0 * k * at + rng.uniform(0, 6)) / k for k in range(1, 8)], axis=0)
    else:  # notes in a row, with a few harmonics
        for start in np.arange(0, at[-1], rng.uniform(0.15, 0.5)):
            hz0, age = 110 * 2 ** (rng.integers(0, 36) / 12), at - start
            note = np.sum([np.sin(2 * np.pi * hz0 * k * at) / k**2 for k in range(1, 5)], axis=0)
            samples = samples + note * np.exp(-np.maximum(age, 0) * 5) * (age >= 0)
    loud = rng.uniform(0.001, 0.05) if kind != 4 else rng.uniform(0.01, 0.08)
    samples = np.asarray(samples * loud / max(float(np.std(samples)), 1e-9), np.float32)
    frames = int(np.ceil(count / RATE_HZ * 25))
    return Clip("", samples, (), np.zeros((frames, len(MOUTH_ACTIONS)), np.float32))


def vary(samples: Floats, rng: np.random.Generator) -> Floats:
    """Return the sound through some other microphone, room and line. Times do not move."""
    out = samples.astype(np.float64)
    if rng.random() < 0.35:  # a small room
        tail = rng.standard_normal(int(0.25 * RATE_HZ)) * np.exp(-np.arange(int(0.25 * RATE_HZ)) / RATE_HZ / 0.06)
        tail[: int(0.003 * RATE_HZ)] = 0
        out = out + rng.uniform(0.1, 0.5) * np.convolve(out, tail / np.linalg.norm(tail))[: len(out)]
    spectrum = np.fft.rfft(out)
    hz = np.fft.rfftfreq(len(out), 1 / RATE_HZ)
    spectrum *= (np.maximum(hz, 20.0) / 1000.0) ** rng.normal(0, 0.2)
    if rng.random() < 0.3:
        spectrum *= 1 / (1 + (hz / rng.uniform(3200, 7000)) ** 16)
    if rng.random() < 0.5:
        spectrum *= 1 / (1 + (rng.uniform(60, 300) / np.maximum(hz, 1.0)) ** 4)
    out = np.fft.irfft(spectrum, len(out))
    level = 10 ** (rng.uniform(-28, -12) / 20)
    loud = np.sqrt(np.mean(samples**2)) + 1e-9
    out *= level / max(float(loud), 1e-4) if loud > 1e-6 else 0.0
    if rng.random() < 0.75:
        floor = level * 10 ** (-rng.uniform(12, 50) / 20)
        out = out + floor * coloured_noise(len(out), rng, rng.uniform(0, 1.0))
    return np.clip(out, -1, 1).astype(np.float32)


def build_speech(path: Path, *, clips: int, seed: int, voices: tuple[str, ...], progress: Any = print) -> None:
    """Speak, vary and analyse many clips; write them as one ``.npz``.

    The file holds ``mel uint8[VARIANTS, columns, 80]`` (see `pack_mel`) and ``mouth
    float32[frames, 13]`` of all clips end to end, ``first_column``, ``first_frame`` ``[clips + 1]``,
    ``closed bool[frames]`` (lips must touch) and ``voiced bool[clips]``.
    """
    rng = np.random.default_rng(seed)
    mels, mouths, closed, voiced = [], [], [], []
    for number in range(clips):
        if rng.random() < 0.1:
            clip = unspoken(rng)
        else:
            # A third of the male voices are raised to a woman's range, a few lowered.
            pitch = float(rng.choice((1.0, rng.uniform(1.12, 1.28), rng.uniform(0.9, 1.1))))
            voice = str(rng.choice(voices))
            pitch = 1.0 if voice == HELD_OUT_VOICE else pitch
            clip = speak(random_text(rng), voice, stretch=float(rng.uniform(0.85, 1.25)), pitch=pitch)
        versions = [clip.samples] + [vary(clip.samples, rng) for _ in range(VARIANTS - 1)]
        mels.append(np.stack([pack_mel(mel_spectrogram(version)) for version in versions]))
        mouths.append(clip.mouth)
        closed.append(closed_frames(clip))
        voiced.append(bool(clip.voice))
        if number % 50 == 0:
            progress(f"speech {number}/{clips}")
    np.savez_compressed(
        path,
        mel=np.concatenate(mels, axis=1),
        mouth=np.concatenate(mouths),
        first_column=np.cumsum([0] + [mel.shape[1] for mel in mels]),
        first_frame=np.cumsum([0] + [len(mouth) for mouth in mouths]),
        closed=np.concatenate(closed),
        voiced=np.array(voiced),
    )


def closed_frames(clip: Clip) -> NDArray[np.bool_]:
    """Return which frames lie in the middle of a phone that shuts the lips, ``bool[frames]``."""
    middles = (np.arange(len(clip.mouth)) + 0.5) / 25
    shut = np.zeros(len(middles), bool)
    for phone in clip.phones:
        if phone.name in ("p", "b", "m"):
            shut |= np.abs(middles - (phone.start_s + phone.end_s) / 2) <= 0.02
    return shut


def pack_mel(mel: Floats) -> NDArray[np.uint8]:
    """Return a spectrogram ``[80, T]`` in -4..4 as ``uint8[T, 80]``."""
    return np.round((mel.T + 4.0) * (255 / 8)).astype(np.uint8)


def unpack_mel(packed: NDArray[np.uint8]) -> Floats:
    """Undo `pack_mel`, the axes left as they are."""
    return packed.astype(np.float32) * np.float32(8 / 255) + np.float32(_QUIET)

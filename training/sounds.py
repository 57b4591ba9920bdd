"""Sounds that must leave the mouth shut, and the effects of microphones, rooms and lines on a voice."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.voices import RATE_HZ, Floats


def coloured_noise(count: int, rng: np.random.Generator, tilt: float) -> Floats:
    """Return noise whose amplitude is proportional to frequency to the power `tilt`; root mean square 1."""
    spectrum = np.fft.rfft(rng.standard_normal(count))
    hz = np.fft.rfftfreq(count, 1 / RATE_HZ)
    spectrum /= np.maximum(hz, 40.0) ** tilt
    noise = np.fft.irfft(spectrum, count)
    return np.asarray(noise / max(float(noise.std()), 1e-9), np.float32)


def _breath(at: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    spectrum = np.fft.rfft(rng.standard_normal(len(at)))
    hz = np.fft.rfftfreq(len(at), 1 / RATE_HZ)
    spectrum *= np.exp(-(((hz - rng.uniform(800, 2500)) / rng.uniform(600, 1500)) ** 2))
    swell = np.maximum(np.sin(2 * np.pi * at / rng.uniform(1.5, 4.0) + rng.uniform(0, 6)), 0) ** 2
    return np.asarray(np.fft.irfft(spectrum, len(at)) * swell)


def _mains_hum(at: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    hz = rng.choice((50.0, 60.0))
    parts = [np.sin(2 * np.pi * hz * k * at + rng.uniform(0, 6)) / k for k in range(1, 8)]
    return np.asarray(np.sum(parts, axis=0))


def _music(at: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    """Return notes or chords in a row with a few harmonics, held or plucked, some over a beat."""
    out, beat = np.zeros(len(at)), rng.uniform(0.15, 0.6)
    fall, bright, voices = rng.choice((0.5, 5.0)), rng.uniform(0.8, 2.0), int(rng.integers(1, 4))
    for start in np.arange(0, at[-1], beat):
        age = at - start
        sounding = (age >= 0) & (age < 4 * beat)
        for _ in range(voices):
            hz = 82 * 2 ** (rng.integers(0, 42) / 12)
            note = np.sum([np.sin(2 * np.pi * hz * k * age) / k**bright for k in range(1, 8)], axis=0)
            out += note * np.exp(-np.maximum(age, 0) * fall / beat / 2) * np.minimum(age * 100, 1) * sounding
        if rng.random() < 0.3:
            out += 1.5 * rng.standard_normal(len(at)) * np.exp(-np.maximum(age, 0) * 40) * sounding
    return out


def _knocks(at: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    """Return keys, clicks or claps: short bursts, each ringing in its own band."""
    out = np.zeros(len(at))
    for start in rng.uniform(0, at[-1], int(rng.integers(3, 16))):
        age = np.maximum(at - start, 0)
        ring = np.sin(2 * np.pi * rng.uniform(150, 4000) * age) + 0.5 * rng.standard_normal(len(at))
        out += rng.uniform(0.2, 1) * ring * np.exp(-age * rng.uniform(30, 250)) * (at >= start)
    return out


def unspoken(rng: np.random.Generator) -> Floats:
    """Return a few seconds without a voice: silence, noise, breath, hum, music or knocks."""
    count = int(rng.uniform(2.0, 4.0) * RATE_HZ)
    at = np.arange(count) / RATE_HZ
    kind = rng.integers(8)
    if kind == 0:
        return np.zeros(count, np.float32)
    if kind <= 2:
        samples: NDArray[Any] = coloured_noise(count, rng, rng.uniform(0, 1.2))
    elif kind <= 4:
        samples = (_breath, _mains_hum)[kind - 3](at, rng)
    elif kind <= 6:
        samples = _music(at, rng)
    else:
        samples = _knocks(at, rng)
    level = 10 ** (rng.uniform(-60, -22) / 20)
    return np.asarray(samples * level / max(float(np.std(samples)), 1e-9), np.float32)


def _mu_law(samples: NDArray[Any]) -> NDArray[Any]:
    """Quantise sound in -1..1 to 8 bits by ITU-T G.711's mu-law, without its segments."""
    pressed = np.sign(samples) * np.log1p(255 * np.abs(samples)) / np.log(256)
    rounded = np.round(pressed * 127) / 127
    return np.asarray(np.sign(rounded) * (np.power(256.0, np.abs(rounded)) - 1) / 255)


def vary(samples: Floats, rng: np.random.Generator) -> Floats:
    """Return the sound through another microphone, room and line; times stay the same."""
    out = samples.astype(np.float64)
    if rng.random() < 0.4:  # a small room
        decay_s = rng.uniform(0.03, 0.12)
        tail = rng.standard_normal(int(0.3 * RATE_HZ)) * np.exp(-np.arange(int(0.3 * RATE_HZ)) / RATE_HZ / decay_s)
        tail[: int(0.003 * RATE_HZ)] = 0
        size = 2 ** int(np.ceil(np.log2(len(out) + len(tail))))
        wet = np.fft.irfft(np.fft.rfft(out, size) * np.fft.rfft(tail / np.linalg.norm(tail), size), size)
        out = out + rng.uniform(0.1, 0.6) * wet[: len(out)]
    spectrum = np.fft.rfft(out)
    hz = np.fft.rfftfreq(len(out), 1 / RATE_HZ)
    spectrum *= (np.maximum(hz, 20.0) / 1000.0) ** rng.normal(0, 0.25)
    if rng.random() < 0.3:
        spectrum *= 1 / (1 + (hz / rng.uniform(3200, 7000)) ** 16)
    if rng.random() < 0.5:
        spectrum *= 1 / (1 + (rng.uniform(60, 300) / np.maximum(hz, 1.0)) ** 4)
    out = np.fft.irfft(spectrum, len(out))
    level = 10 ** (rng.uniform(-32, -12) / 20)
    loud = float(np.sqrt(np.mean(samples**2)))
    out *= level / max(loud, 1e-4) if loud > 1e-6 else 0.0
    if rng.random() < 0.75:
        floor = level * 10 ** (-rng.uniform(8, 50) / 20)
        out = out + floor * coloured_noise(len(out), rng, rng.uniform(0, 1.0))
    out = np.clip(out, -1, 1)
    return (_mu_law(out) if rng.random() < 0.1 else out).astype(np.float32)

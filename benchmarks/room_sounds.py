"""What is heard beside a visitor: music, keyboards, applause, noise, another voice; the same in every run."""

import numpy as np
import numpy.typing as npt

from lipstream.realtime.timeline import SAMPLE_RATE_HZ

Sound = npt.NDArray[np.float32]

_CHORDS = ((0, 4, 7), (9, 12, 16), (5, 9, 12), (7, 11, 14))
"""Semitones above C: C major, A minor, F, G."""
_C3_HZ, _BEAT_S = 130.8, 0.5


def _seconds(count: int) -> npt.NDArray[np.float64]:
    return np.arange(count) / SAMPLE_RATE_HZ


def noise(count: int) -> Sound:
    """Return the hiss of a ventilator: noise that falls by 6 dB an octave above 200 Hz."""
    white = np.random.default_rng(1).standard_normal(count)
    spectrum = np.fft.rfft(white)
    hz = np.fft.rfftfreq(count, 1 / SAMPLE_RATE_HZ)
    return np.fft.irfft(spectrum / np.maximum(1, hz / 200), count).astype(np.float32)


def music(count: int) -> Sound:
    """Return chords, a melody of plucked strings and a drum, 120 beats a minute."""
    chance, at = np.random.default_rng(2), _seconds(count)
    sound = np.zeros(count)
    beat = int(_BEAT_S * SAMPLE_RATE_HZ)
    for start in range(0, count, beat):
        chord = _CHORDS[start // (4 * beat) % len(_CHORDS)]
        part = at[: min(beat, count - start)]
        tones = [*chord, chord[chance.integers(3)] + 24]
        for tone in tones:
            hz = _C3_HZ * 2 ** (tone / 12)
            fall = np.exp(-part * (2 if tone in chord else 6))
            waves = sum(np.sin(2 * np.pi * hz * k * part) / k**1.5 for k in range(1, 8))
            sound[start : start + part.size] += fall * waves
        sound[start : start + part.size] += 2 * np.exp(-part * 40) * np.sin(2 * np.pi * 60 * part)
        sound[start : start + part.size] += 0.5 * np.exp(-part * 60) * chance.standard_normal(part.size)
    return sound.astype(np.float32)


def _strokes(count: int, per_s: float, fall: float, hz: float, seed: int) -> Sound:
    """Return short bursts at random times, each around one frequency."""
    chance = np.random.default_rng(seed)
    sound = np.zeros(count + SAMPLE_RATE_HZ)
    stroke = _seconds(int(0.08 * SAMPLE_RATE_HZ))
    for start in chance.integers(0, count, int(per_s * count / SAMPLE_RATE_HZ)):
        burst = chance.standard_normal(stroke.size) * np.exp(-stroke * fall)
        ring = np.sin(2 * np.pi * hz * chance.uniform(0.8, 1.3) * stroke)
        sound[start : start + stroke.size] += chance.uniform(0.3, 1.0) * burst * (0.4 + ring)
    return sound[:count].astype(np.float32)


def keyboard(count: int) -> Sound:
    """Return somebody who types, seven keys a second."""
    return _strokes(count, 7, 90, 2500, 3)


def applause(count: int) -> Sound:
    """Return a hall that claps, 200 hands a second."""
    return _strokes(count, 200, 120, 1200, 4)


def far_voice(voice: Sound, count: int) -> Sound:
    """Return a voice at the other end of a hall: its echoes last for half a second, and little is left above 2 kHz."""
    chance, length = np.random.default_rng(5), SAMPLE_RATE_HZ // 2
    echoes = chance.standard_normal(length) * np.exp(-_seconds(length) * 8)
    whole = np.fft.rfft(np.resize(voice, count), count + length)
    hz = np.fft.rfftfreq(count + length, 1 / SAMPLE_RATE_HZ)
    spectrum = whole * np.fft.rfft(echoes, count + length) / (1 + (hz / 2000) ** 4)
    return np.fft.irfft(spectrum, count + length)[:count].astype(np.float32)


def at_level(sound: Sound, reference: float, db: float) -> Sound:
    """Return a sound whose root mean square is ``db`` above a reference."""
    loudness = float(np.sqrt(np.mean(np.square(sound))))
    return (sound * (reference * 10 ** (db / 20) / loudness)).astype(np.float32)

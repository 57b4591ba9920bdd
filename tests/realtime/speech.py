"""Speech-like sound for tests that need no words."""

import numpy as np
import numpy.typing as npt


def voice(seconds: float, rate: int = 16000, pitch_hz: float = 120.0) -> npt.NDArray[np.float32]:
    """A buzz with syllables: four openings a second, what the voice detector takes for speech."""
    t = np.arange(int(rate * seconds)) / rate
    buzz = np.sum([np.sin(2 * np.pi * pitch_hz * k * t) / (1 + abs(k - 5)) for k in range(1, 25)], axis=0)
    sound: npt.NDArray[np.float64] = 0.15 * buzz * (0.55 - 0.45 * np.cos(2 * np.pi * 4 * t))
    return sound.astype(np.float32)


VOWELS_HZ = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410))
"""Formants of the vowels of "father", "see", "boot", "bed" and "law" (Peterson and Barney, 1952)."""


def vowels(
    seconds: float, rate: int = 16000, pitch_hz: float = 120.0, *, swell: float = 0.45
) -> npt.NDArray[np.float32]:
    """Four vowels a second with the formants and the melody of a voice, what a network takes for speech too.

    ``swell`` is how much each rises and falls, 0 to 0.45.
    """
    t = np.arange(int(rate * seconds)) / rate
    pitch = pitch_hz * (1 + 0.12 * np.sin(2 * np.pi * 0.9 * t) + 0.04 * np.sin(2 * np.pi * 2.3 * t))
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    track = np.array(VOWELS_HZ, float)[np.arange(int(seconds * 4) + 2) % len(VOWELS_HZ)]
    at, move = (t * 4).astype(int), np.clip((t * 4 % 1 - 0.6) / 0.4, 0, 1)[:, None]
    formants = track[at] * (1 - move) + track[at + 1] * move
    sound = np.zeros(t.size)
    for harmonic in range(1, int(min(4000, rate / 2 - 200) / pitch_hz / 1.2)):
        away = harmonic * pitch[:, None] - formants
        gain = (np.array((1.0, 0.5, 0.25)) / (1 + (away / (80, 110, 160)) ** 2)).sum(axis=1)
        sound += gain * np.sin(harmonic * phase) / np.sqrt(harmonic)
    sound *= 0.55 - swell * np.cos(2 * np.pi * 4 * t)
    scaled: npt.NDArray[np.float64] = 0.3 * sound / max(float(np.abs(sound).max()), 1e-9)
    return scaled.astype(np.float32)


def silence(seconds: float, rate: int = 16000) -> npt.NDArray[np.float32]:
    return np.zeros(int(rate * seconds), np.float32)

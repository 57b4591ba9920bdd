"""Synthetic vowels: sound for looking at a network's mouths where no speech is at hand.

A row of harmonics, each as loud as three formants make it (a source-filter model, Fant 1960). The formants are the
means of men in Peterson and Barney, "Control methods used in a study of the vowels", 1952.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_PITCH_HZ = 118.0
_BANDWIDTHS_HZ = (80.0, 100.0, 140.0)
_HIGHEST_HZ = 4500.0
_SPOKEN_S, _FADE_S, _BEFORE_S, _AFTER_S = 0.36, 0.06, 0.4, 0.4
_LEVEL = 0.25


@dataclass(frozen=True, slots=True)
class SpokenVowel:
    """One sound of the row.

    Attributes:
        label: What is heard, and what lips do for it.
        middle_s: Time of the sound's middle, s from the beginning.
    """

    label: str
    middle_s: float


_ROW = (
    ("'ah': wide open", (730.0, 1090.0, 2440.0), 1.0),
    ("'mm': shut", (250.0, 1000.0, 2200.0), 0.2),
    ("'ee': wide, teeth", (270.0, 2290.0, 3010.0), 1.0),
    ("'oo': small and round", (300.0, 870.0, 2240.0), 1.0),
)


def vowels(rate_hz: int) -> tuple[npt.NDArray[np.float32], tuple[SpokenVowel, ...]]:
    """Return ``float32[n]`` of four sounds that glide into each other, 2.3 s in all, and where each of them lies."""
    count = int((_BEFORE_S + len(_ROW) * _SPOKEN_S + _AFTER_S) * rate_hz)
    time_s = np.arange(count) / rate_hz
    middles = _BEFORE_S + (np.arange(len(_ROW)) + 0.5) * _SPOKEN_S
    stops = np.stack((middles - _SPOKEN_S / 2 + _FADE_S, middles + _SPOKEN_S / 2 - _FADE_S), axis=1).ravel()
    formants = [np.interp(time_s, stops, np.repeat([hz[n] for _, hz, _ in _ROW], 2)) for n in range(3)]
    loud = np.interp(time_s, stops, np.repeat([level for *_, level in _ROW], 2))
    ends = [_BEFORE_S, _BEFORE_S + _FADE_S, stops[-1], stops[-1] + _FADE_S]
    loud *= np.interp(time_s, ends, [0.0, 1.0, 1.0, 0.0])
    sound = np.zeros(count)
    for harmonic in range(1, int(_HIGHEST_HZ / _PITCH_HZ)):
        at_hz = harmonic * _PITCH_HZ
        gain = np.ones(count) / harmonic  # the glottis, with the lips' radiation: -6 dB an octave
        for formant, bandwidth in zip(formants, _BANDWIDTHS_HZ, strict=True):
            gain *= formant**2 / np.hypot(formant**2 - at_hz**2, bandwidth * at_hz)
        sound += gain * np.sin(2 * np.pi * at_hz * time_s + harmonic**2)  # phases that keep the peaks low
    sound *= loud
    return (_LEVEL * sound / np.abs(sound).max()).astype(np.float32), tuple(
        SpokenVowel(label, float(middle)) for (label, *_), middle in zip(_ROW, middles, strict=True)
    )

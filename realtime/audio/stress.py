"""Finds stress in speech as it comes: how far each video frame stands out by loudness and pitch. Pure.

A syllable is stressed by being louder and higher than those around it, and a question ends with a rising pitch
(Gussenhoven, *The Phonology of Tone and Intonation*, 2004). Heads nod and brows rise with both (Munhall et al., *Visual
Prosody and Speech Intelligibility*, 2004). Only sound that has come is used: what is normal is learnt from the speech
before.
"""

import numpy as np
import numpy.typing as npt

from lipstream.realtime.timeline import SAMPLE_RATE_HZ, SAMPLES_PER_FRAME, frame_to_sample

Floats = npt.NDArray[np.float32]

_FLOOR_DB = -55.0
"""Loudness of a frame below which there is no speech in it, dB of full scale."""
_LEARNT, _PITCH_LEARNT = 0.04, 0.06
"""Share by which each frame changes what is normal: in a second or so."""
_RANGE_DB, _RANGE_SEMITONES = 7.0, 4.0
"""Loudness and pitch above the normal ones that make a full stress."""
_RISE_SEMITONES = 3.0
"""Rise of the pitch within :data:`_RISE_FRAMES` that is a question's."""
_RISE_FRAMES = 6
_SLOPE = (np.arange(_RISE_FRAMES) - (_RISE_FRAMES - 1) / 2) / (_RISE_FRAMES * (_RISE_FRAMES**2 - 1) / 12)
"""Weights of the last pitches in the slope of the line that fits them best by least squares, semitones a frame."""
_LEAP_SEMITONES = 2.5
"""A larger step from frame to frame is another octave that was taken for the pitch, and no melody."""
_ATTACK, _RELEASE = 0.6, 0.18
"""Share by which the head follows a stress that grows, and one that is over, in each frame."""
_LOWEST_HZ, _HIGHEST_HZ = 70, 400
_PITCH_SAMPLES = 2 * SAMPLES_PER_FRAME
_VOICED = 0.5
"""Least autocorrelation, as a share of that at lag 0, of sound that has a pitch."""


class StressMeter:
    """Measures the stress of one session's speech, frame by frame.

    Args:
        position: Position of the first sample on the timeline, 16 kHz.
    """

    def __init__(self, position: int = 0) -> None:
        self._samples = np.zeros(0, np.float32)  # from the frame before the next one on
        self._end = position
        self._loudness_db: float | None = None  # what is normal
        self._semitones: float | None = None
        self._pitches: list[float] = []  # of the last frames with a pitch, semitones above 1 Hz
        self._stress = 0.0

    def push(self, samples: Floats) -> None:
        """Take in ``float32[n]`` that follows the last ones, 16 kHz."""
        self._samples = np.concatenate((self._samples, samples))
        self._end += samples.size

    def cut(self) -> None:
        """Treat the past sound as silence; what is normal stays."""
        self._samples = np.zeros_like(self._samples)
        self._pitches.clear()

    def follow(self, frame: int, *, speaks: bool, known: int) -> float:
        """Return the stress of a frame, 0..1. Called once for each frame, in order.

        Args:
            speaks: Whether the frame is spoken.
            known: Position up to which the sound may be used, so that the stress does not depend on its chunks.
        """
        target = self._target(frame, known) if speaks else 0.0
        self._forget(frame_to_sample(frame))
        self._stress += (_ATTACK if target > self._stress else _RELEASE) * (target - self._stress)
        if not speaks:
            self._pitches.clear()
        return self._stress

    def _target(self, frame: int, known: int) -> float:
        begins = frame_to_sample(frame)
        here = self._between(begins, min(begins + SAMPLES_PER_FRAME, known))
        loudness_db = _loudness_db(here)
        if loudness_db < _FLOOR_DB:
            return 0.0
        usual_db = self._loudness_db = _learnt(self._loudness_db, loudness_db, _LEARNT)
        louder = (loudness_db - usual_db) / _RANGE_DB
        higher = rise = 0.0
        pitch = _semitones(self._between(begins + SAMPLES_PER_FRAME - _PITCH_SAMPLES, begins + SAMPLES_PER_FRAME))
        if pitch is not None:
            usual = self._semitones = _learnt(self._semitones, pitch, _PITCH_LEARNT)
            self._pitches = [*self._pitches[1 - _RISE_FRAMES :], pitch]
            higher = (pitch - usual) / _RANGE_SEMITONES
            if len(self._pitches) == _RISE_FRAMES and np.abs(np.diff(self._pitches)).max() <= _LEAP_SEMITONES:
                rise = float(_SLOPE @ self._pitches) * (_RISE_FRAMES - 1)
        else:
            self._pitches.clear()
        accent = 0.65 * max(0.0, louder) + 0.35 * max(0.0, higher)
        return float(np.clip(max(accent, rise / _RISE_SEMITONES if rise > _RISE_SEMITONES else 0.0), 0, 1))

    def _forget(self, sample: int) -> None:
        """Forget what lies before a position; frames may be decided long after their sound has come."""
        self._samples = self._samples[max(0, sample - (self._end - self._samples.size)) :]

    def _between(self, start: int, stop: int) -> Floats:
        """Return the samples between two positions; what is not kept, or has not come, is left out."""
        first = self._end - self._samples.size
        return self._samples[max(start - first, 0) : max(stop - first, 0)]


def _learnt(usual: float | None, value: float, share: float) -> float:
    return value if usual is None else usual + share * (value - usual)


def _loudness_db(samples: Floats) -> float:
    """Return the loudness of some samples, dB of full scale; at least -100."""
    return float(10 * np.log10(np.mean(samples.astype(np.float64) ** 2) + 1e-10)) if samples.size else -100.0


def _semitones(samples: Floats) -> float | None:
    """Return the pitch of some samples by their autocorrelation, semitones above 1 Hz; ``None`` without one."""
    if samples.size < _PITCH_SAMPLES:
        return None
    spectrum = np.fft.rfft(samples - samples.mean(), 2 * _PITCH_SAMPLES)
    correlation = np.fft.irfft(np.abs(spectrum) ** 2)
    shortest, longest = SAMPLE_RATE_HZ // _HIGHEST_HZ, SAMPLE_RATE_HZ // _LOWEST_HZ
    # The sums at longer lags have fewer terms.
    lags = np.arange(shortest, longest)
    shares = correlation[lags] / (1 - lags / samples.size) / max(float(correlation[0]), 1e-12)
    best = int(shares.argmax())
    return float(12 * np.log2(SAMPLE_RATE_HZ / lags[best])) if shares[best] >= _VOICED else None

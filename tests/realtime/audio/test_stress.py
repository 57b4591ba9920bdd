"""Stress in speech: louder and higher syllables, questions, and what silence and chunks have to do with it."""

from collections.abc import Sequence

import numpy as np
import pytest

from lipstream.realtime.audio.stress import StressMeter
from lipstream.realtime.timeline import SAMPLE_RATE_HZ, SAMPLES_PER_FRAME


def voice(pitches_hz: Sequence[float], levels: Sequence[float]) -> np.ndarray:
    """Return a buzz with a pitch and a level for each frame."""
    phase = np.cumsum(np.repeat(pitches_hz, SAMPLES_PER_FRAME)) / SAMPLE_RATE_HZ
    buzz = sum(np.sin(2 * np.pi * harmonic * phase) / harmonic for harmonic in range(1, 12))
    return np.asarray(buzz * np.repeat(levels, SAMPLES_PER_FRAME) * 0.1, np.float32)


def stresses(sound: np.ndarray, *, chunk: int = SAMPLES_PER_FRAME, speaks: bool = True) -> list[float]:
    """Return the stress of each frame of a sound, as soon as the next one is there."""
    meter, frames = StressMeter(), sound.size // SAMPLES_PER_FRAME - 1
    found: list[float] = []
    for start in range(0, sound.size, chunk):
        meter.push(sound[start : start + chunk])
        while len(found) < frames and start + chunk >= (len(found) + 2) * SAMPLES_PER_FRAME:
            known = (len(found) + 2) * SAMPLES_PER_FRAME
            found.append(meter.follow(len(found), speaks=speaks, known=known))
    return found


def test_even_speech_and_silence_have_no_stress() -> None:
    assert max(stresses(voice([120] * 100, [0.3] * 100))) < 0.05
    assert stresses(np.zeros(20 * SAMPLES_PER_FRAME, np.float32)) == [0.0] * 19
    assert max(stresses(voice([120] * 20 + [180] * 20, [0.1] * 20 + [0.8] * 20), speaks=False)) == 0


def test_a_louder_syllable_is_stressed_and_a_higher_one_the_more() -> None:
    levels = [0.2] * 50 + [0.6] * 5 + [0.2] * 20
    plain = stresses(voice([120.0] * 75, levels))
    high = stresses(voice([120.0] * 50 + [150.0] * 5 + [120.0] * 20, levels))
    assert max(plain[:50]) < 0.05
    assert 0.4 < max(plain[50:56]) < max(high[50:56]) <= 1
    assert plain[-1] < 0.1


def test_a_rising_pitch_at_the_end_is_stressed() -> None:
    flat = stresses(voice([120.0] * 58, [0.3] * 58))
    asked = stresses(voice([120.0] * 50 + [120.0 * 2 ** (n / 16) for n in range(8)], [0.3] * 58))
    assert max(asked[50:]) > 0.6 > max(flat[50:]) + 0.5


@pytest.mark.parametrize("chunk", [160, 1000, 6400, 60 * SAMPLES_PER_FRAME])
def test_chunks_change_nothing(chunk: int) -> None:
    rng = np.random.default_rng(3)
    sound = voice((100 + 60 * rng.random(60)).tolist(), rng.random(60).tolist())
    assert stresses(sound, chunk=chunk) == stresses(sound)


def test_after_a_cut_the_past_is_silence() -> None:
    meter = StressMeter()
    meter.push(voice([120] * 10, [0.9] * 10))
    meter.cut()
    assert meter.follow(8, speaks=True, known=10 * SAMPLES_PER_FRAME) == 0

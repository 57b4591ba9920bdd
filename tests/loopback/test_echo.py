"""The avatar's voice caught by the microphone again: an echo that falls must die away, and none may grow."""

import itertools

import numpy as np
import pytest

from lipstream.realtime.audio.sample_range import in_range
from lipstream.realtime.test_client.click_track import voice
from lipstream.realtime.timeline import PACKET_SOUND, SOUND_RATE_HZ
from tests.loopback.virtual import EPOCH_S, VirtualSession

BURST = 3
"""Packets of speech at the beginning."""


def echo(gain: float, seconds: float) -> np.ndarray:
    """Return what leaves when a microphone hears a burst, and from then on what left, ``gain`` times as loud."""
    session = VirtualSession()
    burst = voice(6000, BURST * PACKET_SOUND, level=1.5).reshape(BURST, PACKET_SOUND)
    returned: list[np.ndarray] = []
    for position in range(int(seconds * 50)):
        returned += session.tick() + session.tick()
        heard = returned.pop(0) * np.float32(gain / 32767) if returned else np.zeros(PACKET_SOUND, np.float32)
        if position < BURST:
            heard = heard + burst[position]
        session.session.speech.microphone.push(position * PACKET_SOUND, in_range(heard), session.now_s)
    assert session.now_s > EPOCH_S + seconds - 0.1
    return session.left / 32767


@pytest.mark.parametrize("gain", [0.5, 1.0])
def test_each_round_is_as_much_quieter_as_the_microphone_hears_it(gain: float) -> None:
    left = echo(gain, 3.0)
    first = int(np.flatnonzero(left)[0])
    size = BURST * PACKET_SOUND
    original = left[first : first + size]
    match = np.correlate(left[first + size : first + SOUND_RATE_HZ // 2], original, "valid")
    period = size + int(match.argmax())
    rounds = [left[first + n * period : first + n * period + size] for n in range(8)]
    levels = [float(np.sqrt(np.mean(part**2))) for part in rounds]
    assert levels[0] > 0.05
    for before, after in itertools.pairwise(levels):
        assert after / before == pytest.approx(gain, rel=0.05)
    between = left[first + size : first + period]
    assert np.abs(between).max() < 1e-4, "nothing but the echo"


def test_an_echo_at_minus_6_db_dies_away() -> None:
    left = echo(0.5, 3.0)
    assert np.abs(left[:SOUND_RATE_HZ]).max() > 0.1
    assert np.abs(left[-SOUND_RATE_HZ // 2 :]).max() < 1e-3

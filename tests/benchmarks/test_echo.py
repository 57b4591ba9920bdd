"""The room of ``benchmarks.echo``: what is heard of an answer, and of one that is cut short."""

import numpy as np
import pytest

from benchmarks.echo import Answers, room_of
from lipstream.realtime.timeline import SOUND_RATE_HZ

LEAVES = 3840  # samples of 48 kHz from entering the timeline to leaving it


def noise(seconds: float) -> np.ndarray:
    return np.random.default_rng(3).standard_normal(round(seconds * SOUND_RATE_HZ)).astype(np.float32)


@pytest.mark.parametrize(("echo_db", "delay_ms"), [(-20, 20), (6, 450)])
def test_an_echo_has_its_level_and_its_delay(echo_db: float, delay_ms: int) -> None:
    answers = Answers.of([noise(5)], room_of(echo_db, delay_ms))
    begins = LEAVES + delay_ms * SOUND_RATE_HZ // 1000
    assert not np.abs(answers.echo[:begins]).max() > 1e-5
    middle = slice(begins + SOUND_RATE_HZ, begins + 4 * SOUND_RATE_HZ)
    level = np.sqrt(np.mean(answers.echo[middle] ** 2) / np.mean(answers.said[SOUND_RATE_HZ : 4 * SOUND_RATE_HZ] ** 2))
    assert 20 * np.log10(level) == pytest.approx(echo_db, abs=0.5)


def test_an_interruption_silences_what_has_not_left_and_changes_nothing_before() -> None:
    whole, cut = (Answers.of([noise(5), noise(4)], room_of(0, 100)) for _ in range(2))
    at = 2 * SOUND_RATE_HZ
    cut.interrupt(at)
    assert not cut.said[at - LEAVES : 12 * SOUND_RATE_HZ].any()
    np.testing.assert_allclose(cut.echo[:at], whole.echo[:at], atol=1e-4)
    tail = at + round(0.3 * SOUND_RATE_HZ)  # the way, and the room's own echoes
    assert np.abs(cut.echo[tail + 4800 : 12 * SOUND_RATE_HZ]).max() < 1e-4
    np.testing.assert_array_equal(cut.said[12 * SOUND_RATE_HZ :], whole.said[12 * SOUND_RATE_HZ :])

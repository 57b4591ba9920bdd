"""Turns: where they begin and end, what is kept of them, and what is none."""

import numpy as np
import pytest

from lipstream.realtime.audio.turn_detector import (
    LONGEST_SAMPLES,
    PAUSE_SAMPLES,
    PRE_ROLL_SAMPLES,
    TurnBegan,
    TurnDetector,
    TurnEnded,
)
from lipstream.realtime.timeline import SAMPLE_RATE_HZ, ms_to_samples


def voice(seconds: float) -> np.ndarray:
    at = np.arange(round(SAMPLE_RATE_HZ * seconds)) / SAMPLE_RATE_HZ
    sound: np.ndarray = 0.15 * np.sum([np.sin(2 * np.pi * 140 * k * at) / k for k in range(1, 20)], axis=0)
    return sound.astype(np.float32)


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(SAMPLE_RATE_HZ * seconds), np.float32)


def heard(*parts: np.ndarray, step: int = 148, begins: int = 0) -> list[TurnBegan | TurnEnded]:
    sound, turns = np.concatenate(parts), TurnDetector()
    events: list[TurnBegan | TurnEnded] = []
    for at in range(0, sound.size, step):
        piece = sound[at : at + step]
        events += turns.push(piece, begins + at + piece.size)
    return events


@pytest.mark.parametrize("step", [1, 148, 160, 1000])
def test_a_turn_is_cut_where_it_begins_and_ends_however_it_comes(step: int) -> None:
    began, ended = heard(silence(1), voice(0.8), silence(1), step=step, begins=5000)
    assert isinstance(began, TurnBegan)
    assert isinstance(ended, TurnEnded)
    assert began.sample == pytest.approx(5000 + 16_000, abs=ms_to_samples(20))
    assert ended.sample == pytest.approx(5000 + 28_800, abs=ms_to_samples(80))
    assert ended.speech.size == pytest.approx(PRE_ROLL_SAMPLES + 12_800 + PAUSE_SAMPLES, abs=ms_to_samples(120))
    assert np.abs(ended.speech).max() == np.abs(voice(0.8)).max()


def test_it_is_noticed_within_a_tenth_of_a_second_of_its_first_voiced_block() -> None:
    turns, sound = TurnDetector(), np.concatenate((silence(0.5), voice(0.5)))
    for at in range(0, sound.size, 160):
        for event in turns.push(sound[at : at + 160], at + 160):
            print(f"noticed {(at + 160 - event.sample) / 16:.0f} ms after the first voiced block began")
            assert isinstance(event, TurnBegan)
            assert at + 160 - event.sample <= ms_to_samples(80)
            return
    pytest.fail("nothing was noticed")


def test_a_pause_for_thought_is_no_end_and_a_click_no_beginning() -> None:
    events = heard(silence(0.5), voice(0.6), silence(0.5), voice(0.6), silence(1))
    assert [type(event) for event in events] == [TurnBegan, TurnEnded]
    click = np.concatenate((silence(0.5), voice(0.03), silence(0.5)))
    assert heard(click, click) == []
    assert heard(0.001 * voice(2)) == []  # a voice far away


def test_the_button_ends_it_and_a_minute_does() -> None:
    turns = TurnDetector()
    assert turns.end() is None
    (began,) = turns.push(voice(0.3), ms_to_samples(300))
    assert turns.speaking
    ended = turns.end()
    assert ended is not None
    assert ended.sample > began.sample
    assert not turns.speaking
    events = heard(voice(70))
    assert [type(event) for event in events] == [TurnBegan, TurnEnded, TurnBegan]
    assert isinstance(events[1], TurnEnded)
    assert events[1].speech.size == LONGEST_SAMPLES

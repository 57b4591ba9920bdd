"""Turns: where they begin and end, what is kept of them, and what is none."""

import numpy as np
import pytest

from lipstream.realtime.audio.turn_detector import (
    ASK_SAMPLES,
    LONGEST_SAMPLES,
    PATIENCE_SAMPLES,
    PAUSE_SAMPLES,
    PRE_ROLL_SAMPLES,
    TurnBegan,
    TurnDetector,
    TurnEnded,
    TurnPaused,
)
from lipstream.realtime.audio.voice_detector import VoiceDetector
from lipstream.realtime.timeline import SAMPLE_RATE_HZ, ms_to_samples
from tests.realtime.speech import vowels


def voice(seconds: float) -> np.ndarray:
    return vowels(seconds, swell=0)


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(SAMPLE_RATE_HZ * seconds), np.float32)


def heard(
    *parts: np.ndarray, step: int = 148, begins: int = 0, detector: VoiceDetector | None = None
) -> list[TurnBegan | TurnPaused | TurnEnded]:
    sound, turns = np.concatenate(parts), TurnDetector(detector)
    events: list[TurnBegan | TurnPaused | TurnEnded] = []
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
    events = heard(voice(70), detector=VoiceDetector(aggressiveness=2, noise_floor_db=-50.0))
    assert [type(event) for event in events] == [TurnBegan, TurnEnded, TurnBegan]
    assert isinstance(events[1], TurnEnded)
    assert events[1].speech.size == LONGEST_SAMPLES


def test_another_longest_turn_and_sound_that_counts_as_silence() -> None:
    turns = TurnDetector(VoiceDetector(aggressiveness=2, noise_floor_db=-50.0), longest_samples=SAMPLE_RATE_HZ)
    sound = voice(2.5)
    kinds = [type(event) for event in turns.push(sound, sound.size)]
    assert kinds == [TurnBegan, TurnEnded, TurnBegan, TurnEnded, TurnBegan]
    turns = TurnDetector(VoiceDetector(aggressiveness=2, noise_floor_db=-50.0))
    events: list[TurnBegan | TurnPaused | TurnEnded] = []
    for at in range(0, sound.size, 160):
        events += turns.push(sound[at : at + 160], at + 160, hidden=at < SAMPLE_RATE_HZ)
    assert events[0].sample == pytest.approx(SAMPLE_RATE_HZ, abs=160)
    ended = turns.end()
    assert ended is not None
    assert not ended.speech[: PRE_ROLL_SAMPLES - 320].any(), "an echo is not for the transcriber"


def ended_after(*verdicts: bool | None, pauses: tuple[float, ...] = (3.0,)) -> tuple[list[int], int]:
    """Return the silence at which each pause was reported and the turn ended, 16 kHz samples.

    Args:
        verdicts: What is answered, one pause after the other; nothing to pauses beyond them.
        pauses: Silence after each stretch of voice, s.
    """
    turns, answers = TurnDetector(asks=True), list(verdicts)
    asked: list[int] = []
    sound = np.concatenate([silence(0.5), *(part for pause in pauses for part in (voice(0.6), silence(pause)))])
    for end in range(160, sound.size + 1, 160):
        for event in turns.push(sound[end - 160 : end], end):
            if isinstance(event, TurnPaused):
                asked.append(end - event.sample)
                assert event.speech.size > 0.6 * SAMPLE_RATE_HZ
                if answers and (ended := turns.judge(event, has_finished=answers.pop(0))):
                    return asked, end - ended.sample
            elif isinstance(event, TurnEnded):
                return asked, end - event.sample
    pytest.fail("the turn does not end")


def close_to(samples: int) -> object:
    return pytest.approx(samples, abs=ms_to_samples(40))


def test_a_speaker_who_has_finished_is_answered_sooner_and_one_who_has_not_is_waited_for() -> None:
    assert ended_after(True) == ([close_to(ASK_SAMPLES)], close_to(ASK_SAMPLES))
    assert ended_after(False)[1] == close_to(PATIENCE_SAMPLES)
    assert ended_after()[1] == close_to(PATIENCE_SAMPLES), "nobody has answered yet"
    assert ended_after(None)[1] == close_to(PAUSE_SAMPLES), "nobody can tell"


def test_each_pause_is_asked_about_once_and_an_answer_holds_for_its_own_pause() -> None:
    asked, silence_at_end = ended_after(False, True, pauses=(1.5, 3.0))
    assert asked == [close_to(ASK_SAMPLES)] * 2
    assert silence_at_end == asked[1]
    assert ended_after(False, None, pauses=(1.5, 3.0))[1] == close_to(PAUSE_SAMPLES)


def test_an_answer_that_comes_when_the_speaker_has_gone_on_is_none() -> None:
    turns, sound = TurnDetector(asks=True), np.concatenate((silence(0.5), voice(0.6), silence(0.4), voice(0.6)))
    (paused,) = (event for event in turns.push(sound, sound.size) if isinstance(event, TurnPaused))
    assert turns.judge(paused, has_finished=True) is None
    assert turns.speaking
    turns.end()
    assert turns.judge(paused, has_finished=True) is None

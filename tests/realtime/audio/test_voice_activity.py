import numpy as np

from lipstream.realtime.audio.voice_activity import (
    HANGOVER_SAMPLES,
    PRE_ROLL_SAMPLES,
    SpeechEnded,
    SpeechStarted,
    VoiceActivity,
)


def _voice(seconds: float) -> np.ndarray:
    """A buzz with formants: what the detector takes for a vowel."""
    t = np.arange(int(16000 * seconds)) / 16000
    partials = [np.sin(2 * np.pi * 120 * k * t) / (1 + abs(k - 5)) for k in range(1, 25)]
    sound: np.ndarray = 0.2 * np.sum(partials, axis=0)
    return sound.astype(np.float32)


def _silence(seconds: float) -> np.ndarray:
    return np.zeros(int(16000 * seconds), np.float32)


def test_onset_is_dated_back_and_end_is_where_the_voice_ended() -> None:
    events = VoiceActivity().push(np.concatenate((_silence(1), _voice(0.5), _silence(1))))
    started, ended = events
    assert isinstance(started, SpeechStarted)
    assert isinstance(ended, SpeechEnded)
    assert 16000 - PRE_ROLL_SAMPLES - 320 <= started.sample <= 16000
    assert 24000 <= ended.sample <= 24000 + 16000 * 0.15  # the detector smooths


def test_a_pause_shorter_than_the_hangover_does_not_end_speech() -> None:
    pause = np.zeros(HANGOVER_SAMPLES // 2, np.float32)
    events = VoiceActivity().push(np.concatenate((_silence(1), _voice(0.5), pause, _voice(0.5))))
    assert [type(e) for e in events] == [SpeechStarted]


def test_events_do_not_depend_on_the_chunking() -> None:
    sound = np.concatenate((_silence(0.5), _voice(0.4), _silence(0.6), _voice(0.3), _silence(0.5)))
    whole = VoiceActivity().push(sound)
    detector, pieces = VoiceActivity(), []
    for start in range(0, len(sound), 37):
        pieces += detector.push(sound[start : start + 37])
    assert pieces == whole
    assert len(whole) == 4


def test_silence_is_no_speech_and_a_cut_starts_anew() -> None:
    assert VoiceActivity().push(_silence(3)) == []
    detector = VoiceActivity()
    detector.push(np.concatenate((_silence(1), _voice(0.5))))
    assert detector.speaking
    detector.cut()
    assert not detector.speaking
    assert [type(e) for e in detector.push(_voice(0.2))] == [SpeechStarted]

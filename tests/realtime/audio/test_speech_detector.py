"""Speech among other sounds: the network as published, and turns in rooms with music, keyboards and applause."""

import hashlib
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import room_sounds, turns
from lipstream.realtime.audio.silero import WEIGHTS, WINDOW_SAMPLES, SileroNetwork, has_voice
from lipstream.realtime.audio.speech_detector import SpeechDetector
from lipstream.realtime.audio.turn_detector import TurnBegan, TurnDetector
from lipstream.realtime.audio.voice_detector import VoiceDetector
from lipstream.realtime.timeline import BLOCK_SAMPLES, SAMPLE_RATE_HZ
from tests.realtime.speech import vowels

ROOMS = {
    "ventilator": room_sounds.noise,
    "music": room_sounds.music,
    "keyboard": room_sounds.keyboard,
    "applause": room_sounds.applause,
}
SECOND = SAMPLE_RATE_HZ


def probabilities(sound: np.ndarray) -> np.ndarray:
    network = SileroNetwork()
    windows = sound[: sound.size // WINDOW_SAMPLES * WINDOW_SAMPLES].astype(np.float32).reshape(-1, WINDOW_SAMPLES)
    return np.array([network.probability(window) for window in windows])


def test_the_weights_are_those_that_were_converted_and_bring_their_licence() -> None:
    digest = hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()
    assert digest == "dffe49df4ee12e28f7ca3edb6b331cb95181c908a3245da63b60e22d40ce3fb0"
    assert "MIT License" in WEIGHTS.with_suffix(".LICENSE").read_text()


def test_it_computes_what_the_published_network_computes() -> None:
    """The expected values are those of ``silero_vad_openvino_16k.onnx`` in OpenVINO, for the same sound."""
    at = np.arange(8 * WINDOW_SAMPLES) / SAMPLE_RATE_HZ
    sound = 0.3 * np.sin(2 * np.pi * 220 * at) * np.sin(2 * np.pi * 3 * at) + 0.1 * np.sin(2 * np.pi * 1700 * at)
    assert probabilities(sound) == pytest.approx(
        [0.19471, 0.19935, 0.07891, 0.06162, 0.12454, 0.09495, 0.0764, 0.13391], abs=2e-4
    )


def test_a_voice_is_one_and_other_sounds_are_none() -> None:
    for pitch_hz in (100, 150, 220):
        assert np.mean(probabilities(vowels(2, pitch_hz=pitch_hz)) > 0.5) > 0.6
        assert has_voice(vowels(1, pitch_hz=pitch_hz))
    for make in ROOMS.values():
        assert not has_voice(0.1 * make(3 * SECOND))
    assert not has_voice(np.zeros(SECOND, np.float32))


@settings(max_examples=20)
@given(st.lists(st.integers(0, 9_000), max_size=8))
def test_blocks_are_decided_alike_however_the_sound_is_cut(cuts: list[int]) -> None:
    sound = np.concatenate((np.zeros(2_000, np.float32), vowels(0.4), np.zeros(600, np.float32)))
    whole = SpeechDetector(aggressiveness=2, noise_floor_db=-50.0)
    expected = [voiced for _, voiced in whole.push(sound)]
    detector, decided, taken = SpeechDetector(aggressiveness=2, noise_floor_db=-50.0), [], 0
    for start, end in pairwise(sorted(min(cut, sound.size) for cut in (0, *cuts, sound.size))):
        decided += detector.push(sound[start:end])
        taken += end - start
        assert len(decided) * BLOCK_SAMPLES + detector.pending == taken
    assert [voiced for _, voiced in decided] == expected
    assert np.array_equal(np.concatenate([block for block, _ in decided]), sound[: len(decided) * BLOCK_SAMPLES])


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_begins_no_turn_and_prolongs_none(room: str) -> None:
    visitor = np.concatenate((np.zeros(2 * SECOND), vowels(1.5), np.zeros(3 * SECOND)))
    loudness = float(np.sqrt(np.mean(np.square(visitor[2 * SECOND : 3 * SECOND]))))
    sound = visitor.astype(np.float32) + room_sounds.at_level(ROOMS[room](visitor.size), loudness, -15)
    spans = [(2 * SECOND, round(3.5 * SECOND))]
    clean = dict.fromkeys(("false begins", "late ends", "cut off", "missed"), 0)
    assert turns.count_faults(sound.astype(np.float32), spans, TurnDetector()) == clean


def test_a_far_voice_prolongs_no_turn() -> None:
    near, far = vowels(1.5, swell=0), 0.05 * vowels(4, pitch_hz=180, swell=0)
    detector = TurnDetector(VoiceDetector(aggressiveness=2, noise_floor_db=-50.0))
    events = list(detector.push(np.concatenate((near, far)), near.size + far.size))
    assert isinstance(events[0], TurnBegan)
    assert events[1].sample == pytest.approx(near.size, abs=0.1 * SECOND)


@pytest.mark.needs("recorded speech")
def test_recorded_visitors_are_heard_in_music() -> None:
    sound, spans = turns.visitors(turns.NAMES[:4])
    heard = sound + room_sounds.at_level(room_sounds.music(sound.size), 0.05, -20)
    assert sum(turns.count_faults(heard, spans, TurnDetector()).values()) == 0

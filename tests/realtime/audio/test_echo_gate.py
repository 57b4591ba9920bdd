"""The echo gate stops the avatar's own voice in rooms that echo, and passes louder visitors."""

import numpy as np
import pytest

from lipstream.realtime.audio.echo_gate import HOLD_SAMPLES, EchoGate
from lipstream.realtime.audio.resample import Resampler
from lipstream.realtime.audio.turn_detector import TurnBegan, TurnDetector
from lipstream.realtime.audio.voice_detector import VoiceDetector
from lipstream.realtime.test_client.click_track import voice

DELAY_SAMPLES = 1280
LOUD, SILENT, SHOUT = (np.full(480, level, np.float32) for level in (0.25, 0.0, 0.9))


def turns_begun(room: np.ndarray, face: np.ndarray) -> list[int]:
    """Return where somebody's turn begins, 16 kHz, in what a gated microphone hears while a face speaks."""
    turns = TurnDetector(VoiceDetector(aggressiveness=2, noise_floor_db=-50.0))  # which takes a buzz for a voice
    gate, resampler, begun = EchoGate(DELAY_SAMPLES), Resampler(48_000, 16_000), []
    for index, (block, said) in enumerate(zip(room.reshape(-1, 480), face.reshape(-1, 480), strict=True)):
        end = 160 * (index + 1)
        gate.note_said(said, end)
        heard, is_echo = resampler.push(block), not gate.lets_in(block, end)
        begun += [event.sample for event in turns.push(heard, end, hidden=is_echo) if isinstance(event, TurnBegan)]
    return begun


def room_of(face: np.ndarray, *, echo: float, delay_ms: int) -> np.ndarray:
    """Return a face's echo, with a tail of 200 ms and a little noise."""
    spread, shape = np.random.default_rng(1), np.zeros(48 * 400)
    shape[48 * delay_ms] = 1
    shape[48 * delay_ms :][: 48 * 200] += 0.015 * spread.standard_normal(48 * 200) * np.exp(-np.arange(48 * 200) / 2880)
    heard = np.fft.irfft(np.fft.rfft(face, 1 << 19) * np.fft.rfft(shape, 1 << 19), 1 << 19)[: face.size]
    return (echo * heard + 1e-4 * spread.standard_normal(face.size)).astype(np.float32)


@pytest.mark.parametrize("delay_ms", [60, 180])
@pytest.mark.parametrize("echo", [0.1, 1.0])
def test_the_face_does_not_interrupt_itself_and_a_louder_visitor_does(echo: float, delay_ms: int) -> None:
    seconds, enters_s = 8, 5
    face = 0.6 * voice(0, seconds * 48_000)
    room = room_of(face, echo=echo, delay_ms=delay_ms)
    assert turns_begun(room, face) == []
    visitor = 2.5 * max(echo, 0.3) * voice(0, 48_000, pitch_hz=190)
    room[enters_s * 48_000 :][:48_000] += visitor
    begun = turns_begun(room, face)
    assert begun
    print(f"let in {begun[0] / 16 - 1000 * enters_s:.0f} ms after the visitor's first sound")
    assert 0 <= begun[0] - enters_s * 16_000 <= 3_200


def test_the_gate_is_open_when_nothing_sounds_and_shut_for_what_is_no_louder() -> None:
    gate, hold = EchoGate(DELAY_SAMPLES), DELAY_SAMPLES + HOLD_SAMPLES
    gate.note_said(SILENT, 160)
    assert gate.lets_in(LOUD, 160)
    gate.note_said(LOUD, 320)
    assert gate.lets_in(SHOUT, 320), "more than three times as loud as the face itself"
    assert not gate.lets_in(LOUD, 320 + hold - 1)
    assert gate.lets_in(LOUD, 320 + hold)
    gate.note_said(LOUD, 480 + hold)
    gate.clear()
    assert gate.lets_in(LOUD, 480 + hold)

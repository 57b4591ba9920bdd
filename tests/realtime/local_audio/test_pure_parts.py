"""The queue to a loudspeaker, the gate before a microphone, and which device is meant."""

import itertools

import numpy as np
import pytest

from realtime.audio.resample import Resampler
from realtime.audio.turns import TurnBegan, TurnTaker
from realtime.local_audio.devices import Device, DeviceMissingError, find_device
from realtime.local_audio.echo_gate import HOLD_SAMPLES, EchoGate
from realtime.local_audio.play_queue import FADE_SOUND, LIMIT_SOUND, TARGET_SOUND, PlayQueue
from realtime.probe.clicks import voice

LOUD, SILENT = np.full(960, 8000, np.int16), np.zeros(960, np.int16)


def filled() -> PlayQueue:
    queue = PlayQueue()
    for _ in range(3):
        queue.push(LOUD)
    return queue


def test_it_plays_once_it_holds_enough_and_in_order() -> None:
    queue = PlayQueue()
    queue.push(np.full(960, 1000, np.int16))
    assert np.abs(queue.pull(480)).max() == 0
    for level in (2000, 3000):
        queue.push(np.full(960, level, np.int16))
    played = np.concatenate([queue.pull(100) for _ in range(28)])
    assert np.unique(np.rint(played * 32768)).tolist() == [1000, 2000, 3000]
    assert (np.diff(played) >= 0).all()


def test_an_interruption_leaves_five_milliseconds() -> None:
    queue = filled()
    queue.pull(100)
    queue.clear()
    tail = queue.pull(48_000)
    assert np.count_nonzero(tail) <= FADE_SOUND
    assert (np.diff(tail) <= 0).all()
    print(f"tail {np.count_nonzero(tail) / 48:.1f} ms")


def test_a_card_that_stands_still_costs_a_bounded_queue() -> None:
    queue = PlayQueue()
    for _ in range(1000):
        queue.push(LOUD)
    assert queue.level == LIMIT_SOUND
    assert queue.dropped == 1000 * 960 - LIMIT_SOUND


@pytest.mark.parametrize("ppm", [-300, 300])
def test_a_card_of_another_clock_is_followed_in_pauses(ppm: int) -> None:
    queue, owed = PlayQueue(), 0.0
    talk = itertools.cycle([LOUD] * 150 + [SILENT] * 25)  # 3 s of speech, 0.5 s of silence
    for packet in itertools.islice(talk, 50 * 600):  # ten minutes: 180 ms apart by then
        queue.push(packet)
        owed += 960 * (1 + ppm / 1e6)
        while owed >= 480:
            queue.pull(480)
            owed -= 480
    assert queue.dropped == 0
    assert queue.missed <= 480, "but for the beginning"
    assert abs(queue.level - TARGET_SOUND) <= 2 * 960


def turns_begun(room: np.ndarray, face: np.ndarray) -> list[int]:
    """Return where somebody's turn begins, 16 kHz, in what a gated microphone hears while a face speaks."""
    gate, turns, resampler, begun = EchoGate(), TurnTaker(), Resampler(48_000, 16_000), []
    for index, block in enumerate(room[: face.size // 960 * 960].reshape(-1, 480)):
        if index % 2 == 0:
            gate.note_played(face[480 * index :][:960], 160 * (index + 2))
        heard = block if gate.lets_in(block, 160 * (index + 1)) else np.zeros_like(block)
        events = turns.push(resampler.push(heard), 160 * (index + 1))
        begun += [event.sample for event in events if isinstance(event, TurnBegan)]
    return begun


def room_of(face: np.ndarray, *, echo: float, delay_ms: int) -> np.ndarray:
    """Return a face's echo, with a tail of 200 ms and a little noise."""
    spread, shape = np.random.default_rng(1), np.zeros(48 * 400)
    shape[48 * delay_ms] = 1
    shape[48 * delay_ms :][: 48 * 200] += 0.015 * spread.standard_normal(48 * 200) * np.exp(-np.arange(48 * 200) / 2880)
    heard = np.fft.irfft(np.fft.rfft(face / 32768, 1 << 19) * np.fft.rfft(shape, 1 << 19), 1 << 19)[: face.size]
    return (echo * heard + 1e-4 * spread.standard_normal(face.size)).astype(np.float32)


@pytest.mark.parametrize("delay_ms", [60, 180])
@pytest.mark.parametrize("echo", [0.1, 1.0])
def test_the_face_does_not_interrupt_itself_and_a_louder_visitor_does(echo: float, delay_ms: int) -> None:
    seconds, enters_s = 8, 5
    face = np.rint(0.6 * 32767 * voice(0, seconds * 48_000)).astype(np.int16)
    room = room_of(face, echo=echo, delay_ms=delay_ms)
    assert turns_begun(room, face) == []
    visitor = 2.5 * echo * voice(0, 48_000, pitch_hz=190)
    room[enters_s * 48_000 :][:48_000] += visitor
    begun = turns_begun(room, face)
    assert begun
    print(f"let in {begun[0] / 16 - 1000 * enters_s:.0f} ms after the visitor's first sound")
    assert 0 <= begun[0] - enters_s * 16_000 <= 3_200


def test_the_gate_is_shut_until_it_knows_the_room_and_open_when_nothing_sounds() -> None:
    gate, shout = EchoGate(), np.full(480, 0.9, np.float32)
    assert gate.lets_in(shout, 0)
    gate.note_played(SILENT, 320)
    assert gate.lets_in(shout, 320)
    gate.note_played(LOUD, 640)
    assert not gate.lets_in(shout, 640 + HOLD_SAMPLES - 1)
    assert gate.lets_in(shout, 640 + HOLD_SAMPLES)
    gate.note_played(LOUD, 1000 + HOLD_SAMPLES)
    gate.clear()
    assert gate.lets_in(shout, 1000 + HOLD_SAMPLES)


DEVICES = [
    Device(0, "USB Audio: microphone", 1, 0, is_default=False),
    Device(1, "HDMI: screen", 0, 8, is_default=False),
    Device(2, "USB Audio: headset", 1, 2, is_default=True),
    Device(3, "USB Audio", 0, 2, is_default=False),
]


@pytest.mark.parametrize(
    ("wanted", "direction", "number"),
    [("default", "input", 2), ("0", "input", 0), ("microphone", "input", 0), ("hdmi", "output", 1),
     ("USB Audio", "output", 3), ("headset", "output", 2)],
)  # fmt: skip
def test_a_device_is_meant_by_number_or_name(wanted: str, direction: str, number: int) -> None:
    assert find_device(DEVICES, wanted, direction).number == number  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wanted", "direction", "message"),
    [("webcam", "input", "no microphone 'webcam'"), ("1", "input", "no microphone '1'"),
     ("usb", "input", "any of 'USB Audio: microphone', 'USB Audio: headset'")],
)  # fmt: skip
def test_what_fits_none_or_several_is_said(wanted: str, direction: str, message: str) -> None:
    with pytest.raises(DeviceMissingError, match=message):
        find_device(DEVICES, wanted, direction)  # type: ignore[arg-type]
    with pytest.raises(DeviceMissingError):
        find_device([], "default", "output")

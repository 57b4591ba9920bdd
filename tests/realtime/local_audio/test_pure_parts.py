"""The queue to a loudspeaker, and which device is meant."""

import itertools

import numpy as np
import pytest

from lipstream.realtime.local_audio.play_queue import FADE_SOUND, LIMIT_SOUND, TARGET_SOUND, PlayQueue
from lipstream.realtime.local_audio.sound_devices import DeviceMissingError, SoundDevice, find_device

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


DEVICES = [
    SoundDevice(0, "USB Audio: microphone", 1, 0, is_default=False),
    SoundDevice(1, "HDMI: screen", 0, 8, is_default=False),
    SoundDevice(2, "USB Audio: headset", 1, 2, is_default=True),
    SoundDevice(3, "USB Audio", 0, 2, is_default=False),
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

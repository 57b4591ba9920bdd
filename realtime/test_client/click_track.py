"""Makes test sound with clicks and syllables, and finds the clicks and the flashes of the mouth in a recording."""

import functools

import numpy as np
import numpy.typing as npt

from lipstream.realtime.test_client.call_recording import DecodedAudio, DecodedPicture
from lipstream.realtime.timeline import SAMPLES_PER_FRAME, SOUND_PER_SAMPLE, SOUND_RATE_HZ

Sound = npt.NDArray[np.float32]

CLICK_EVERY_FRAMES = 16
_CLICK_SOUND = SOUND_RATE_HZ * 2 // 1000
_FRAME_SOUND = SAMPLES_PER_FRAME * SOUND_PER_SAMPLE
_FLASH_SHARE = 0.5
"""Brightness of a flash, as a share of the range from the darkest to the brightest mouth."""


def click() -> Sound:
    """Return the click: 2 ms of 3 kHz, ``float32[96]``."""
    t = np.arange(_CLICK_SOUND) / SOUND_RATE_HZ
    return (0.8 * np.sin(2 * np.pi * 3000 * t)).astype(np.float32)


def voice(start: int, count: int, *, level: float = 1.0, pitch_hz: int = 120) -> Sound:
    """Return ``count`` samples, from ``start`` on, of a buzz with four syllables a second, 48 kHz."""
    sound: Sound = np.take(_second(pitch_hz), np.arange(start, start + count), mode="wrap") * np.float32(level)
    return sound


@functools.cache
def _second(pitch_hz: int) -> Sound:
    """Return the second of sound that ``voice`` repeats; cached, since a source calls it 100 times a second."""
    t = np.arange(SOUND_RATE_HZ) / SOUND_RATE_HZ
    buzz = np.sum([np.sin(2 * np.pi * pitch_hz * k * t) / (1 + abs(k - 5)) for k in range(1, 25)], axis=0)
    sound: Sound = (0.15 * buzz * (0.55 - 0.45 * np.cos(2 * np.pi * 4 * t))).astype(np.float32)
    return sound


def clicks(start: int, count: int) -> Sound:
    """Return a quiet voice with a click on the first sample of every sixteenth frame, 48 kHz."""
    sound = voice(start, count, level=0.05)
    period = CLICK_EVERY_FRAMES * _FRAME_SOUND
    for begins in range(start // period * period, start + count, period):
        first, stop = max(start, begins), min(start + count, begins + _CLICK_SOUND)
        if first < stop:
            sound[first - start : stop - start] += click()[first - begins : stop - begins]
    return sound


def find_clicks(heard: DecodedAudio) -> list[tuple[float, float]]:
    """Return the sender's time and the time of arrival of each click, s."""
    match = np.correlate(heard.samples, click(), "valid")
    match /= np.square(click()).sum()
    found: list[int] = []
    for first in np.flatnonzero(match > 0.4):
        if not found or first > found[-1] + _FRAME_SOUND:
            found.append(int(first + match[first : first + _CLICK_SOUND].argmax()))
    return [heard.at(sample) for sample in found]


def find_flashes(pictures: list[DecodedPicture], mouth: tuple[slice, slice]) -> list[tuple[float, float]]:
    """Return the sender's time and the time of arrival of the first picture of each flash, s.

    Args:
        mouth: Rows and columns of the middle of the mouth, px.
    """
    bright = np.array([picture.luma[mouth].mean() for picture in pictures])
    lit = bright > bright.min() + _FLASH_SHARE * (bright.max() - bright.min())
    starts = np.flatnonzero(lit & ~np.concatenate(([True], lit[:-1])))
    return [(pictures[index].media_s, pictures[index].arrived_s) for index in starts]


def offsets_ms(clicks_s: list[float], flashes_s: list[float], *, within_s: float = 0.25) -> list[float]:
    """Return the time from each click to its flash, ms; positive: sound ahead. Skip flashes without a click."""
    pairs = [(flash, min(clicks_s, key=lambda at_s: abs(at_s - flash))) for flash in flashes_s] if clicks_s else []
    return [(flash - at_s) * 1000 for flash, at_s in pairs if abs(flash - at_s) < within_s]

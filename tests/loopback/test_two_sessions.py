"""Two sessions at once: each caller sees its own face and hears its own voice."""

import asyncio

import numpy as np

from lipstream.realtime.test_client.call_recording import decode_pictures, decode_sound
from lipstream.realtime.test_client.click_track import voice
from lipstream.realtime.timeline import SOUND_RATE_HZ
from tests.loopback.conftest import FOREHEAD, MOUTH, SHADES, Callers, Serve, until

SPOKEN = 51
"""By how much the fake predictor's mouths are brighter than the face: 60 of RGB are 51 of luma."""


def pitch_hz(sound: np.ndarray) -> float:
    """Return the pitch of a voice between 80 and 300 Hz."""
    spectrum = np.abs(np.fft.rfft(sound, 2 * sound.size)) ** 2
    likeness = np.fft.irfft(spectrum)
    first, last = SOUND_RATE_HZ // 300, SOUND_RATE_HZ // 80
    return SOUND_RATE_HZ / (first + int(likeness[first:last].argmax()))


async def test_faces_and_voices_are_not_mixed_up(serve: Serve, callers: Callers) -> None:
    sessions = await serve()
    pitches = {"ann": 120, "bob": 210}
    calls = {
        avatar: await callers.call(sessions, avatar, sound=voice(0, SOUND_RATE_HZ, pitch_hz=pitch))
        for avatar, pitch in pitches.items()
    }
    await until(lambda: all(s.playout.counts.rendered > 60 for _, s in calls.values()), "speech in both")
    await asyncio.sleep(0.5)
    await callers.hang_up()
    for avatar, (caller, _) in calls.items():
        pictures = list(decode_pictures(caller.recording.picture))
        shades = [picture.luma[FOREHEAD].mean() - SHADES[avatar] for picture in pictures]
        mouths = [picture.luma[MOUTH].mean() - SHADES[avatar] for picture in pictures]
        assert len(pictures) > 20
        assert np.abs(shades).max() < 5
        assert min(mouths) > -5
        assert max(mouths) < SPOKEN + 6
        assert np.percentile(mouths, 90) > SPOKEN - 6
        heard = decode_sound(caller.recording.sound).samples[-2 * SOUND_RATE_HZ :]
        assert abs(pitch_hz(heard) - pitches[avatar]) < 3

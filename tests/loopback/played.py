"""What a player makes of a file or a stream, and how its sound and its lips lie to each other."""

from typing import Any

import av
import numpy as np

from lipstream.realtime.test_client.call_recording import DecodedAudio, DecodedPicture
from lipstream.realtime.test_client.click_track import find_clicks, find_flashes, offsets_ms
from lipstream.realtime.timeline import PACKET_SOUND, SOUND_RATE_HZ
from tests.loopback.conftest import MOUTH

LIMIT_MS = 40.0
"""Between a sound and its lips."""


def decoded(path: str, **options: Any) -> tuple[DecodedAudio, list[DecodedPicture], list[bool], dict[str, str]]:
    """Return the sound, the pictures, which of them are key frames, and the metadata of a file or stream."""
    pictures: list[DecodedPicture] = []
    keys: list[bool] = []
    packets: list[tuple[float, np.ndarray]] = []
    resampler = av.AudioResampler(format="flt", layout="mono", rate=SOUND_RATE_HZ)
    with av.open(path, **options) as container:
        facts = dict(container.metadata)
        for frame in container.decode(video=0, audio=0):
            if isinstance(frame, av.VideoFrame):
                luma: np.ndarray = frame.to_ndarray(format="yuv420p")[: frame.height]
                pictures.append(DecodedPicture(0, frame.time or 0.0, frame.time or 0.0, luma))
                keys.append(frame.key_frame)
            else:
                packets += [(part.time or 0.0, part.to_ndarray()[0]) for part in resampler.resample(frame)]
    start_s = packets[0][0]
    samples = np.zeros(round((packets[-1][0] - start_s) * SOUND_RATE_HZ) + packets[-1][1].size, np.float32)
    for at_s, part in packets:
        place = round((at_s - start_s) * SOUND_RATE_HZ)
        samples[place : place + part.size] = part
    times = start_s + np.arange(-(-samples.size // PACKET_SOUND)) * PACKET_SOUND / SOUND_RATE_HZ
    return DecodedAudio(samples, times, times), pictures, keys, facts


def check_sync(heard: DecodedAudio, pictures: list[DecodedPicture], *, at_least: int, what: str) -> None:
    """Fail if the clicks of a sound and their flashes lie too far apart; print how far.

    Args:
        heard: The sound.
        pictures: The pictures.
        at_least: Clicks that must be found.
        what: That they came by, for the print.
    """
    found = [[at_s for at_s, _ in marks] for marks in (find_clicks(heard), find_flashes(pictures, MOUTH))]
    offsets = offsets_ms(*found)
    assert len(offsets) >= at_least
    print(f"sound before lips, {what}: {np.median(offsets):.1f} ms, of {len(offsets)}")
    assert np.percentile(np.abs(offsets), 95) <= LIMIT_MS

"""Gives the pictures of Pipecat's SmallWebRTC transport the timestamps of real time.

Its track counts 30 pictures a second, whatever it gets: at 25, the RTP clock runs at 0.83 of real time, and what
records or buffers by timestamps plays pictures too fast.
"""

import asyncio
import fractions
import time
from typing import Any

CLOCK_HZ = 90_000
_TIME_BASE = fractions.Fraction(1, CLOCK_HZ)


def keep_real_time(track_class: type[Any]) -> None:
    """Let the tracks of a class, such as ``RawVideoTrack``, stamp each picture with the time at which it leaves.

    May be called again.
    """
    track_class.next_timestamp = _next_timestamp


async def _next_timestamp(track: Any) -> tuple[int, fractions.Fraction]:
    """Return the RTP time of the picture that leaves now; called once for each picture."""
    now_s = time.monotonic()
    if not hasattr(track, "began_s"):
        track.began_s, track.last_pts = now_s, -1
    pts = max(track.last_pts + 1, round((now_s - track.began_s) * CLOCK_HZ))
    track.last_pts = pts
    await asyncio.sleep(0)
    return pts, _TIME_BASE

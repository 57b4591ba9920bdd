"""A stock aiortc peer whose clicks and flashes are in step by construction, in a process of its own.

What a browser makes of it is the browser's own doing: how its sound and its picture lie to each other on their way out.
It reads offers, each a line of JSON, answers each with one, and sends until standard input ends.
"""

import asyncio
import fractions
import json
import math
import os
import sys
from typing import Any

import av
import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from lipstream.realtime.test_client.click_track import CLICK_EVERY_FRAMES, clicks
from lipstream.realtime.timeline import FRAME_RATE_HZ, PACKET_SOUND, PTS_PER_FRAME, SOUND_RATE_HZ, VIDEO_CLOCK_HZ

SIZE = 128
DARK, WHITE = 60, 235


class Track(MediaStreamTrack):
    """Units that leave at their own time on one clock, whenever they are asked for."""

    def __init__(self, kind: str, epoch_s: float, unit_s: float) -> None:
        super().__init__()
        self.kind, self._epoch_s, self._unit_s = kind, epoch_s, unit_s
        self._next = 0

    async def recv(self) -> Any:
        """Return the unit that is due next."""
        now_s = asyncio.get_running_loop().time()
        index = max(self._next, math.floor((now_s - self._epoch_s) / self._unit_s))
        self._next = index + 1
        await asyncio.sleep(self._epoch_s + index * self._unit_s - now_s)
        return sound(index) if self.kind == "audio" else picture(index)


def sound(index: int) -> av.AudioFrame:
    pcm = np.rint(clicks(index * PACKET_SOUND, PACKET_SOUND) * 32767).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(pcm[None], format="s16", layout="mono")
    frame.sample_rate, frame.pts = SOUND_RATE_HZ, index * PACKET_SOUND
    frame.time_base = fractions.Fraction(1, SOUND_RATE_HZ)
    return frame


def picture(index: int) -> av.VideoFrame:
    rows = np.full((SIZE * 3 // 2, SIZE), 128, np.uint8)
    rows[:SIZE] = DARK if index % CLICK_EVERY_FRAMES else WHITE
    frame = av.VideoFrame.from_ndarray(rows, format="yuv420p")
    frame.pts, frame.time_base = index * PTS_PER_FRAME, fractions.Fraction(1, VIDEO_CLOCK_HZ)
    return frame


async def serve() -> None:
    """Answer every offer and send."""
    connections = []
    epoch_s = asyncio.get_running_loop().time()
    while line := await asyncio.to_thread(sys.stdin.readline):
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        connections.append(connection)
        offer = json.loads(line)
        await connection.setRemoteDescription(RTCSessionDescription(offer["sdp"], offer["type"]))
        connection.addTrack(Track("audio", epoch_s, PACKET_SOUND / SOUND_RATE_HZ))
        connection.addTrack(Track("video", epoch_s, 1 / FRAME_RATE_HZ))
        await connection.setLocalDescription(await connection.createAnswer())
        answer = connection.localDescription
        print(json.dumps({"sdp": answer.sdp, "type": answer.type}), flush=True)
    for connection in connections:
        await connection.close()


if __name__ == "__main__":
    os.nice(-10)  # it must be in step whatever the browser beside it does
    asyncio.run(serve())

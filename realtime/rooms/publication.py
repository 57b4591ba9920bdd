"""A session's face and voice as two tracks of a room.

Pictures are published as the picture workers encoded them, and sound leaves with its packet: neither waits in a queue
of the room's client, so what is cut off is silent at once.
"""

import asyncio
from collections import deque
from typing import Any

from aiortc.codecs.h264 import h264_depayload

from lipstream.realtime.encoding.encoded_unit import RAW_SPEECH, EncodedUnit
from lipstream.realtime.encoding.pacing import Kind
from lipstream.realtime.rooms.livekit_rtc import livekit_rtc
from lipstream.realtime.session.session import Session
from lipstream.realtime.timeline import BLOCK_SOUND, FRAME_RATE_HZ, SOUND_RATE_HZ

PICTURES = "video/h264"
MOST_BITRATE = 2_000_000
"""Most that the picture takes, bit/s."""
MOST_PACKETS = 10
"""Packets of sound, 20 ms each, that may wait for the client; the oldest ones are dropped."""


class Publication:
    """Publishes a session's broadcast: H.264 of one layer at 25 pictures a second, and Opus.

    Args:
        room: A connected room.
    """

    leads = False

    def __init__(self, session: Session, room: Any) -> None:
        self._session, self._room, self._rtc = session, room, livekit_rtc()
        self._video = self._rtc.EncodedVideoSource(*session.playout.compositor.size)
        self._audio = self._rtc.AudioSource(SOUND_RATE_HZ, 1, queue_size_ms=0)
        self._sound: deque[EncodedUnit] = deque(maxlen=MOST_PACKETS)
        self._has_sound = asyncio.Event()
        self._bitrate: int | None = None
        self._wants_key = True

    @property
    def bitrate(self) -> int | None:
        """Bitrate that the room's client asks for, bit/s; ``None`` before it does."""
        return self._bitrate and min(self._bitrate, MOST_BITRATE)

    async def run(self) -> None:
        """Publish until cancelled."""
        rtc, here = self._rtc, self._room.local_participant
        self._session.broadcast.subscribe(PICTURES, self)
        self._session.broadcast.subscribe(RAW_SPEECH, self)
        try:
            await here.publish_track(
                rtc.LocalVideoTrack.create_video_track("avatar_video", self._video),
                rtc.TrackPublishOptions(
                    source=rtc.TrackSource.SOURCE_CAMERA,
                    simulcast=False,
                    video_codec=rtc.VideoCodec.H264,
                    video_encoder=rtc.VideoEncoderBackend.ENCODER_BACKEND_PRE_ENCODED,
                    video_encoding=rtc.VideoEncoding(max_framerate=FRAME_RATE_HZ, max_bitrate=MOST_BITRATE),
                ),
            )
            await here.publish_track(
                rtc.LocalAudioTrack.create_audio_track("avatar_audio", self._audio),
                rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE),
            )
            await self._send_sound()
        finally:
            self._session.broadcast.unsubscribe(self)
            await self._video.aclose()
            await self._audio.aclose()

    def wants_key(self, now_s: float) -> bool:  # noqa: ARG002 (given by the protocol)
        """Return whether a receiver in the room waits for a key frame."""
        return self._wants_key

    def on_unit(self, unit: EncodedUnit) -> None:
        """Publish a picture, or queue a packet of sound."""
        if unit.pixels:
            self._publish_picture(unit)
        else:
            self._sound.append(unit)
            self._has_sound.set()

    def fail(self, unit: Kind, error: Exception) -> None:  # noqa: ARG002 (given by the protocol)
        """End the session: without an encode there is nothing to publish."""
        self._session.fail(error)

    def _publish_picture(self, unit: EncodedUnit) -> None:
        rtc = self._rtc
        kind = rtc.EncodedFrameType.ENCODED_FRAME_KEY if unit.key else rtc.EncodedFrameType.ENCODED_FRAME_DELTA
        width, height = self._session.playout.compositor.size
        self._video.capture_frame(
            rtc.EncodedVideoFrame(
                b"".join(map(h264_depayload, unit.payloads)),
                width,
                height,
                rtc.VideoCodec.H264,
                kind,
                round(unit.due_s * 1_000_000),
            )
        )
        self._wants_key = self._wants_key and not unit.key
        feedback = self._video.take_feedback()
        self._wants_key = self._wants_key or feedback.keyframe_requested
        if feedback.rate_control:
            self._bitrate = feedback.rate_control.target_bitrate_bps

    async def _send_sound(self) -> None:
        while True:
            await self._has_sound.wait()
            self._has_sound.clear()
            while self._sound:
                samples = self._sound.popleft().raw
                assert samples is not None
                for start in range(0, samples.size, BLOCK_SOUND):  # without a queue, the client takes 10 ms at a time
                    block = samples[start : start + BLOCK_SOUND]
                    await self._audio.capture_frame(self._rtc.AudioFrame(block.tobytes(), SOUND_RATE_HZ, 1, block.size))

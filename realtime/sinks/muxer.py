"""Encodes a session's pictures and speech as H.264 and AAC at a constant rate into a container.

Every time is computed from a position on the session's timeline, so nothing drifts. Gaps are filled, in pictures with
the last picture and in speech with silence. Each second holds 25 pictures and 48000 samples, however busy the machine
was.
"""

import contextlib
from typing import Literal, Protocol

import av
import numpy as np
import numpy.typing as npt
from av.video.frame import PictureType

from lipstream.realtime.encoding.pacing import picture_frame, speech_frame
from lipstream.realtime.picture.i420 import Picture
from lipstream.realtime.sinks.letterbox import fit_picture
from lipstream.realtime.timeline import (
    FRAME_RATE_HZ,
    PACKET_SOUND,
    SAMPLES_PER_FRAME,
    SOUND_PER_SAMPLE,
    SOUND_RATE_HZ,
    exact_ratio,
)

KEY_FRAME_FRAMES = 2 * FRAME_RATE_HZ
AAC_BITRATE = 128_000
BITS_PER_PIXEL = 0.12
LEAST_BITRATE = 500_000

_PACKETS_PER_FRAME = exact_ratio(SAMPLES_PER_FRAME * SOUND_PER_SAMPLE, PACKET_SOUND)

_H264 = {
    "preset": "superfast",
    "tune": "zerolatency",
    "profile": "main",
    "sc_threshold": "0",  # key frames at regular intervals, and where one is asked for
    "forced-idr": "1",
}
_CONTAINER: dict[str, dict[str, str]] = {
    # Fragments of two seconds, each written at once: a file stays playable if the server is killed. The header waits
    # for the first fragment, because the AAC encoder's delay, which the player must skip, is known only then.
    "mp4": {"movflags": "frag_keyframe+empty_moov+default_base_moof+delay_moov+use_metadata_tags"},
    "flv": {"flvflags": "no_duration_filesize"},
}


class Output(Protocol):
    """Receives the container's bytes in order."""

    def write(self, data: bytes) -> int:
        """Write all of ``data``; return its length.

        Raises:
            OSError: If the data cannot be written.
        """


class Muxer:
    """One container with one video and one audio stream.

    Args:
        container_format: ``mp4`` (fragmented) or ``flv``.
        size: Width and height of the video, px; pictures of another size are fitted into it.
        first_frame: Frame on the session's timeline at time 0 of the container.

    Attributes:
        first_frame: Frame on the session's timeline at time 0 of the container.
        frames: Number of pictures written.
        repeated: Number of repeated pictures among them.
        silent: Number of silent packets written for missing speech.
    """

    def __init__(
        self,
        output: Output,
        container_format: Literal["mp4", "flv"],
        *,
        size: tuple[int, int],
        first_frame: int,
        facts: dict[str, str],
    ) -> None:
        self.first_frame, self.frames, self.repeated, self.silent = first_frame, 0, 0, 0
        self._packets = 0
        self._last: Picture | None = None
        self._wants_key = False
        options = {"flush_packets": "1"} | _CONTAINER[container_format]
        self._container = av.open(output, "w", format=container_format, options=options)
        self._container.metadata.update(facts)
        bitrate = max(LEAST_BITRATE, round(size[0] * size[1] * FRAME_RATE_HZ * BITS_PER_PIXEL))
        rate = {"maxrate": str(bitrate), "bufsize": str(bitrate)}
        self._video = self._container.add_stream("libx264", rate=FRAME_RATE_HZ, options=_H264 | rate)
        self._video.width, self._video.height = size
        self._video.pix_fmt = "yuv420p"
        self._video.bit_rate = bitrate
        codec = self._video.codec_context
        codec.gop_size, codec.thread_count = KEY_FRAME_FRAMES, 1
        codec.colorspace, codec.color_range = 6, 1  # BT.601 (SMPTE 170M), limited range, as the pictures are
        self._audio = self._container.add_stream("aac", rate=SOUND_RATE_HZ, layout="mono")
        self._audio.bit_rate = AAC_BITRATE

    @property
    def seconds(self) -> float:
        """Duration written, s."""
        return self.frames / FRAME_RATE_HZ

    def write_picture(self, frame: int, picture: Picture) -> None:
        """Write the picture of a frame of the session's timeline; ignore a frame before the last one.

        Raises:
            OSError: If the output cannot be written.
        """
        place = frame - self.first_frame
        if place < self.frames:
            return
        fitted = fit_picture(picture, (self._video.width, self._video.height))
        while self.frames < place:
            self.repeated += 1
            self._encode_picture(fitted if self._last is None else self._last)
        self._last = fitted
        self._encode_picture(fitted)

    def write_speech(self, packet: int, samples: npt.NDArray[np.int16]) -> None:
        """Write packet ``packet`` of the session's timeline, ``int16[960]``; ignore a packet before the last one.

        Raises:
            OSError: If the output cannot be written.
        """
        place = packet - self.first_frame * _PACKETS_PER_FRAME
        if place < self._packets:
            return
        while self._packets < place:
            self.silent += 1
            self._encode_speech(np.zeros(PACKET_SOUND, np.int16))
        self._encode_speech(samples)

    def ask_key(self) -> None:
        """Make the next picture a key frame; any thread may ask."""
        self._wants_key = True

    def close(self) -> None:
        """Flush the encoders and finish the container.

        Raises:
            OSError: If the output cannot be written.
        """
        if self._last is not None:
            self._container.mux(self._video.encode(None))
        if self._packets:
            self._container.mux(self._audio.encode(None))
        self._container.close()

    def abandon(self) -> None:
        """Close a container after its output has failed."""
        with contextlib.suppress(OSError, av.FFmpegError):
            self._container.close()

    def _encode_picture(self, picture: Picture) -> None:
        frame = picture_frame(self.frames, picture)
        if self._wants_key:
            self._wants_key = False
            frame.pict_type = PictureType.I
        self._container.mux(self._video.encode(frame))
        self.frames += 1

    def _encode_speech(self, samples: npt.NDArray[np.int16]) -> None:
        self._container.mux(self._audio.encode(speech_frame(self._packets, samples)))
        self._packets += 1

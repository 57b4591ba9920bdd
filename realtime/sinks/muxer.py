"""Encodes what leaves a session as H.264 and AAC at a constant rate, and writes it into a container.

Every time is computed from a position on the session's timeline, so that nothing can drift. What never came is filled
in, pictures with the last one and speech with silence: 25 pictures and 48000 samples lie in each second, whatever the
machine did meanwhile.
"""

import contextlib
from typing import Literal, Protocol

import av
import numpy as np
import numpy.typing as npt

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
    "sc_threshold": "0",  # key frames where they are due, and nowhere else
}
_CONTAINER: dict[str, dict[str, str]] = {
    # Fragments of two seconds, each written at once: what a killed server leaves behind can be played. The header
    # waits for the first of them, for only then is the AAC encoder's delay known, which it tells the player to skip.
    "mp4": {"movflags": "frag_keyframe+empty_moov+default_base_moof+delay_moov+use_metadata_tags"},
    "flv": {"flvflags": "no_duration_filesize"},
}


class Output(Protocol):
    """Where the container's bytes go, front to back."""

    def write(self, data: bytes) -> int:
        """Write all of ``data``; return its length.

        Raises:
            OSError: If that cannot be done.
        """


class Muxer:
    """One container with one stream of each kind.

    Args:
        output: Takes the bytes.
        container_format: ``mp4`` (fragmented) or ``flv``.
        size: Width and height of the picture, px; pictures of another size are fitted into it.
        first_frame: Frame of the session's timeline at which the container's time begins.
        facts: Of :func:`realtime.picture.provenance.provenance`.

    Attributes:
        first_frame: As given.
        frames: Pictures written.
        repeated: Those among them that stand for one which never came.
        silent: Packets of speech that never came.
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
        """Media time written."""
        return self.frames / FRAME_RATE_HZ

    def write_picture(self, frame: int, picture: Picture) -> None:
        """Write the picture of a frame of the session's timeline; one before the last is left out.

        Raises:
            OSError: If it cannot be written.
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
        """Write a packet, ``int16[960]``, of the session's timeline; one before the last is left out.

        Raises:
            OSError: If it cannot be written.
        """
        place = packet - self.first_frame * _PACKETS_PER_FRAME
        if place < self._packets:
            return
        while self._packets < place:
            self.silent += 1
            self._encode_speech(np.zeros(PACKET_SOUND, np.int16))
        self._encode_speech(samples)

    def close(self) -> None:
        """Write what the encoders hold back, and the end.

        Raises:
            OSError: If it cannot be written.
        """
        if self._last is not None:
            self._container.mux(self._video.encode(None))
        if self._packets:
            self._container.mux(self._audio.encode(None))
        self._container.close()

    def abandon(self) -> None:
        """Let go of a container that cannot be written to any more."""
        with contextlib.suppress(OSError, av.FFmpegError):
            self._container.close()

    def _encode_picture(self, picture: Picture) -> None:
        self._container.mux(self._video.encode(picture_frame(self.frames, picture)))
        self.frames += 1

    def _encode_speech(self, samples: npt.NDArray[np.int16]) -> None:
        self._container.mux(self._audio.encode(speech_frame(self._packets, samples)))
        self._packets += 1

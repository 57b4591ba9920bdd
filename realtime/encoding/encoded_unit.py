"""The encoded units that a broadcast hands out, and the protocol of their subscribers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy.typing as npt

from lipstream.realtime.encoding.pacing import Kind

SPEECH_CODEC = "audio/opus"
RAW_SPEECH, RAW_PICTURES = "audio/raw", "video/raw"
"""Codecs of subscribers with encoders of their own: their units carry samples or pictures in ``raw``."""


@dataclass(frozen=True, slots=True)
class EncodedUnit:
    """One packet of speech or one picture.

    Attributes:
        payloads: Payloads of the RTP packets, in order; empty if ``raw`` is set.
        timestamp: RTP time from 0, in 1/48000 s for speech and 1/90000 s for pictures.
        due_s: Monotonic time at which the unit should leave, s.
        key: Whether the unit can be decoded without earlier ones; default true, as for all speech.
        bitrate: Target bitrate of the encoder, bit/s; 0 for speech.
        pixels: Width times height of the picture; 0 for speech.
        level_dbov: Loudness of the speech, -127..0 dBov; ``None`` for a picture.
        raw: Unencoded speech, ``int16[960]``, or an I420 picture, ``uint8[H * 3 // 2, W]``, read-only by agreement.
    """

    payloads: Sequence[bytes]
    timestamp: int
    due_s: float
    key: bool = True
    bitrate: int = 0
    pixels: int = 0
    level_dbov: int | None = None
    raw: npt.NDArray[Any] | None = None


class Subscriber(Protocol):
    """A receiver of units, such as the sender of one peer."""

    @property
    def leads(self) -> bool:
        """Whether the encode follows this subscriber's bitrate rather than the median."""

    @property
    def bitrate(self) -> int | None:
        """Bitrate that the subscriber's link carries, bit/s; ``None`` if it is not known."""

    def wants_key(self, now_s: float) -> bool:
        """Return whether the next picture must be a key frame for this subscriber."""

    def on_unit(self, unit: EncodedUnit) -> None:
        """Take a unit. The call must neither block nor raise."""

    def fail(self, unit: Kind, error: Exception) -> None:
        """Take note that the encode failed: no more units of this kind follow."""

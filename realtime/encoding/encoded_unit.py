"""What a broadcast hands out, and to whom."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy.typing as npt

from lipstream.realtime.encoding.pacing import Kind

SPEECH_CODEC = "audio/opus"
RAW_SPEECH, RAW_PICTURES = "audio/raw", "video/raw"
"""For those who encode in a way of their own: units that carry what left as it is."""


@dataclass(frozen=True, slots=True)
class EncodedUnit:
    """A packet of speech or a picture, encoded.

    Attributes:
        payloads: Of its RTP packets, in their order.
        timestamp: On the media's own clock, 48 kHz or 90 kHz, from 0.
        due_s: Monotonic time at which it was to leave.
        key: Whether it can be decoded alone.
        bitrate: That it is encoded at, bit/s; 0 for speech.
        pixels: Size of the picture; 0 for speech.
        level_dbov: Loudness of the speech, -127..0; ``None`` for a picture.
        raw: What left, in place of payloads: ``int16[960]``, or I420 that must not be written to.
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
    """Whoever takes units: the sender of one peer."""

    @property
    def leads(self) -> bool:
        """Whether the encode follows this one's bitrate."""

    @property
    def bitrate(self) -> int | None:
        """What its link carries, bit/s, if that is known."""

    def wants_key(self, now_s: float) -> bool:
        """Tell whether the next picture must be a key frame for its sake."""

    def on_unit(self, unit: EncodedUnit) -> None:
        """Take a unit; must neither wait nor raise."""

    def fail(self, unit: Kind, error: Exception) -> None:
        """Learn that no more units of a kind will come."""

"""Levels of H.264: what a decoder must be able to do for a stream (ITU-T H.264, table A-1)."""

from dataclasses import dataclass
from typing import NamedTuple

_MACROBLOCK_PX = 16


@dataclass(frozen=True, slots=True)
class Pictures:
    """Pictures to encode.

    Attributes:
        width: Width of a picture, px.
        height: Height of a picture, px.
        rate_hz: Pictures a second.
        bitrate: Highest bitrate, bit/s.
    """

    width: int
    height: int
    rate_hz: float
    bitrate: int


class Limits(NamedTuple):
    """What a decoder can do, each at most."""

    blocks_a_second: int
    """Macroblocks a second."""
    blocks: int
    """Macroblocks of a picture."""
    bitrate: int
    """Bits a second."""

    def allow(self, pictures: Pictures) -> bool:
        """Return whether the decoder can decode the pictures."""
        columns, rows = (-(-side // _MACROBLOCK_PX) for side in (pictures.width, pictures.height))
        longest = (8 * self.blocks) ** 0.5  # macroblocks of a side
        return (
            columns * rows <= self.blocks
            and max(columns, rows) <= longest
            and columns * rows * pictures.rate_hz <= self.blocks_a_second
            and pictures.bitrate <= self.bitrate
        )


_LIMITS = {
    9: Limits(1_485, 99, 128_000),
    10: Limits(1_485, 99, 64_000),
    11: Limits(3_000, 396, 192_000),
    12: Limits(6_000, 396, 384_000),
    13: Limits(11_880, 396, 768_000),
    20: Limits(11_880, 396, 2_000_000),
    21: Limits(19_800, 792, 4_000_000),
    22: Limits(20_250, 1_620, 4_000_000),
    30: Limits(40_500, 1_620, 10_000_000),
    31: Limits(108_000, 3_600, 14_000_000),
    32: Limits(216_000, 5_120, 20_000_000),
    40: Limits(245_760, 8_192, 20_000_000),
    41: Limits(245_760, 8_192, 50_000_000),
    42: Limits(522_240, 8_704, 50_000_000),
    50: Limits(589_824, 22_080, 135_000_000),
    51: Limits(983_040, 36_864, 240_000_000),
    52: Limits(2_073_600, 36_864, 240_000_000),
}
"""By ten times the level; level 1b is 9."""


def h264_level(pictures: Pictures) -> int:
    """Return ten times the lowest level for a stream; the highest there is if none is high enough."""
    return next((level for level, limits in _LIMITS.items() if limits.allow(pictures)), max(_LIMITS))


def level_limits(level: int) -> Limits:
    """Return the limits of a level, given as ten times its number; of the next lower one if there is no such level."""
    return _LIMITS[max((known for known in _LIMITS if known <= level), default=min(_LIMITS))]

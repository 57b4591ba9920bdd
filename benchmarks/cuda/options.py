"""What a part of the benchmark is told, and the device that it draws on."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lipstream.realtime.lipsync.card import Device


class CannotRunError(Exception):
    """A part cannot run here; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a part is told.

    Attributes:
        stand_in: Whether the CPU takes the card's place.
        short: Whether to measure little: all of the code, no figures worth keeping.
    """

    stand_in: bool = False
    short: bool = False

    def open(self) -> "Device":
        """Return the card, or what stands in for it.

        Raises:
            DeviceLostError: If there is no card that can be used.
        """
        from lipstream.realtime.lipsync.card import Processor, open_device  # noqa: PLC0415 (torch: not all processes need it)

        return Processor() if self.stand_in else open_device("cuda")

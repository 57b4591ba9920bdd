"""Options of a part of the benchmark, and the device it runs on."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lipstream.realtime.lipsync.card import Device


class CannotRunError(Exception):
    """A part cannot run here; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class Options:
    """Options of a part.

    Attributes:
        stand_in: Whether the CPU replaces the card.
        short: Whether to run all of the code with few repetitions, for tests.
    """

    stand_in: bool = False
    short: bool = False

    def open(self) -> "Device":
        """Return the open card, or the CPU if it replaces the card.

        Raises:
            DeviceLostError: If there is no usable card.
        """
        from lipstream.realtime.lipsync.card import Processor, open_device  # noqa: PLC0415 (imports torch)

        return Processor() if self.stand_in else open_device("cuda")

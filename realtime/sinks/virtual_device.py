"""A virtual device of this machine that a session's pictures or speech go into, for programs of video calls."""

import logging
import random
import time
from abc import abstractmethod
from typing import Literal, Protocol

from lipstream.realtime.encoding.encoded_unit import EncodedUnit
from lipstream.realtime.sinks.backoff import Backoff
from lipstream.realtime.sinks.sink import Sink
from lipstream.realtime.wire.session_answers import DeviceStats

logger = logging.getLogger(__name__)

DeviceState = Literal["waiting", "live", "ended"]


class DeviceError(Exception):
    """A device is not there, or takes nothing any more; the message is for a person."""


class VirtualDevice(Protocol):
    """One that is open. Both are called by the sink's thread."""

    def write(self, unit: EncodedUnit) -> None:
        """Take a raw unit.

        Raises:
            DeviceError: If it cannot.
            OSError: Likewise.
        """

    def close(self) -> None:
        """Let go of it."""


class DeviceSink(Sink):
    """Keeps one device open; while it is missing, units are let pass and it is looked for with growing pauses.

    Attributes:
        name: What it is to a person.
        state: What it does now.
        reason: Why it was last closed; ``""`` if nothing was wrong.
        opened: How often that came about.
    """

    most_units = 5
    name = "device"
    state: DeviceState = "waiting"
    reason = ""
    opened = 0

    def stats(self) -> DeviceStats:
        """Return what may be told of it."""
        stats = DeviceStats(name=self.name, state=self.state, opened=self.opened, lost=self.lost.total())
        if self.reason:
            stats["reason"] = self.reason
        return stats

    @abstractmethod
    def _open(self, unit: EncodedUnit) -> VirtualDevice:
        """Return the device, opened for units like this one.

        Raises:
            DeviceError: If that cannot be done.
            OSError: Likewise.
        """

    def _serve(self) -> None:
        device: VirtualDevice | None = None
        back_off, again_s = Backoff(), 0.0
        try:
            while (unit := self._next()) is not None:
                if not isinstance(unit, EncodedUnit) or (device is None and time.monotonic() < again_s):
                    continue
                try:
                    if device is None:
                        device = self._open(unit)
                        back_off.works(time.monotonic())
                        self._note_live()
                    device.write(unit)
                except (DeviceError, OSError) as error:
                    if device:
                        device.close()
                    device = None
                    again_s = time.monotonic() + back_off.fails(time.monotonic(), random.random())
                    self._note_missing(str(error))
        finally:
            if device:
                device.close()

    def _note_live(self) -> None:
        self.state, self.reason = "live", ""
        self.opened += 1
        logger.info("the %s is live", self.name)

    def _note_missing(self, reason: str) -> None:
        if reason != self.reason:  # said once
            logger.warning("the %s waits: %s", self.name, reason)
        self.state, self.reason = "waiting", reason

    def _ended(self, error: Exception | None) -> None:
        self.state = "ended"
        if error:
            logger.error("the %s ends by a fault", self.name, exc_info=error)

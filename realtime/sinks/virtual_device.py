"""Base of the virtual camera and microphone, through which video call programs receive a session."""

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
    """A device is missing or accepts no more data; the message is shown to users."""


class VirtualDevice(Protocol):
    """An open device. The sink's thread calls both methods."""

    def write(self, unit: EncodedUnit) -> None:
        """Write a raw unit.

        Raises:
            DeviceError: If the device accepts no more data.
            OSError: If writing fails.
        """

    def close(self) -> None:
        """Close the device."""


class DeviceSink(Sink):
    """Keeps one device open. While it is missing, units are dropped and it is looked for at growing intervals.

    Attributes:
        state: ``waiting``, ``live`` or ``ended``.
        reason: Reason for the last closing; ``""`` without a fault.
        opened: Number of times the device was opened.
    """

    most_units = 5
    name = "device"
    state: DeviceState = "waiting"
    reason = ""
    opened = 0

    def stats(self) -> DeviceStats:
        """Return the state for API answers."""
        stats = DeviceStats(name=self.name, state=self.state, opened=self.opened, lost=self.lost.total())
        if self.reason:
            stats["reason"] = self.reason
        return stats

    @abstractmethod
    def _open(self, unit: EncodedUnit) -> VirtualDevice:
        """Return the device, opened for units like this one.

        Raises:
            DeviceError: If the device is missing or busy.
            OSError: If opening fails.
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
        if reason != self.reason:  # logged once per reason
            logger.warning("the %s waits: %s", self.name, reason)
        self.state, self.reason = "waiting", reason

    def _ended(self, error: Exception | None) -> None:
        self.state = "ended"
        if error:
            logger.error("the %s ends by a fault", self.name, exc_info=error)

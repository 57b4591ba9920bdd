"""Tells a service manager such as systemd that the server is ready, alive, or about to stop.

The protocol is sd_notify(3): datagrams of ``NAME=VALUE`` lines to the Unix socket that ``NOTIFY_SOCKET`` names. The
manager restarts a server whose messages stop for ``WATCHDOG_USEC``.
"""

import contextlib
import os
import socket
from collections.abc import MutableMapping

_SHARE = 4
"""Messages per watchdog interval. systemd advises two; more leave room for a busy machine."""


class ServiceManager:
    """The service manager that started this process.

    Args:
        address: Unix socket of the manager, with ``@`` first for an abstract one; empty without a manager.
        watchdog_s: Longest time without a message before the manager restarts the server, s; 0 for no limit.
    """

    def __init__(self, address: str = "", watchdog_s: float = 0.0) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._interval_s = watchdog_s / _SHARE
        self._told_s = float("-inf")

    @classmethod
    def of_this_process(cls, environment: MutableMapping[str, str]) -> "ServiceManager":
        """Return the manager that the environment names; remove its variables, since they are not for child processes.

        A manager on another machine (``vsock:``) counts as none.
        """
        address = environment.pop("NOTIFY_SOCKET", "")
        interval_us = environment.pop("WATCHDOG_USEC", "")
        process = environment.pop("WATCHDOG_PID", "") or str(os.getpid())
        watched = interval_us.isdecimal() and process == str(os.getpid())
        is_socket = address.startswith(("/", "@")) and hasattr(socket, "AF_UNIX")
        return cls(address if is_socket else "", int(interval_us) / 1e6 if watched else 0.0)

    def ready(self) -> None:
        """Report that the start is complete."""
        self._tell("READY=1")

    def stopping(self) -> None:
        """Report that the server stops of its own accord or as told."""
        self._tell("STOPPING=1")

    def alive(self, now_s: float) -> None:
        """Report at monotonic time ``now_s`` that the server works, if such a report is due."""
        if self._interval_s and now_s - self._told_s >= self._interval_s:
            self._told_s = now_s
            self._tell("WATCHDOG=1")

    def _tell(self, message: str) -> None:
        if not self._address:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.sendto(message.encode(), self._address)

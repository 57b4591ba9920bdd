"""Two network namespaces joined by a link with faults, in user space: many kernels have no ``tc netem``."""

import ctypes
import fcntl
import json
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.network.conditions import Conditions
from tests.network.forwarder import order

CLIENT_ADDRESS, SERVER_ADDRESS = "10.9.0.1", "10.9.0.2"
ROOT = Path(__file__).parent.parent.parent

_CLONE_NEWNET = 0x40000000
_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_MY_NAMESPACE = "/proc/thread-self/ns/net"

_libc = ctypes.CDLL(None, use_errno=True)


def can_make_links() -> bool:
    """Whether this process may make network namespaces and TUN devices."""
    tried = subprocess.run(["unshare", "-n", "true"], check=False, capture_output=True)
    return tried.returncode == 0 and os.access("/dev/net/tun", os.W_OK)


class Namespace:
    """A network namespace without a name: it ends with the last process in it."""

    def __init__(self) -> None:
        with _own_namespace_kept():
            _check(_libc.unshare(_CLONE_NEWNET))
            self._handle = os.open(_MY_NAMESPACE, os.O_RDONLY)
            run("ip", "link", "set", "lo", "up")

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Have this thread's new sockets and processes begin in the namespace."""
        with _own_namespace_kept():
            _check(_libc.setns(self._handle, _CLONE_NEWNET))
            yield

    def close(self) -> None:
        os.close(self._handle)


class NetworkLink:
    """A client's and a server's namespace and what lies between them."""

    def __init__(self) -> None:
        self.client, self.server = Namespace(), Namespace()
        devices = _tun(self.client, CLIENT_ADDRESS), _tun(self.server, SERVER_ADDRESS)
        self._forwarder = subprocess.Popen(
            [sys.executable, "-m", "tests.network.forwarder", *map(str, devices)],
            pass_fds=devices, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT,
        )  # fmt: skip
        for device in devices:
            os.close(device)
        self.set()

    def set(self, to_client: Conditions | None = None, to_server: Conditions | None = None) -> list[dict[str, int]]:
        """Change what the link does from now on, to nothing by default.

        Returns:
            Packets ``passed`` and ``dropped`` so far: towards the server, towards the client.
        """
        return self._tell(order(to_server or Conditions(), to_client or Conditions()))

    def cut(self) -> None:
        """Let nothing pass."""
        self.set(Conditions(cut=True), Conditions(cut=True))

    def counts(self) -> list[dict[str, int]]:
        """Return packets ``passed`` and ``dropped`` so far: towards the server, towards the client."""
        return self._tell(order())

    def _tell(self, line: bytes) -> list[dict[str, int]]:
        assert self._forwarder.stdin is not None
        assert self._forwarder.stdout is not None
        self._forwarder.stdin.write(line)
        self._forwarder.stdin.flush()
        counts: list[dict[str, int]] = json.loads(self._forwarder.stdout.readline())
        return counts

    def close(self) -> None:
        assert self._forwarder.stdin is not None
        assert self._forwarder.stdout is not None
        self._forwarder.stdin.close()
        self._forwarder.wait(10)
        self._forwarder.stdout.close()
        self.client.close()
        self.server.close()


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def _tun(namespace: Namespace, address: str) -> int:
    """Make a TUN device that stands in a namespace, and return the end that does not."""
    with namespace.entered():
        device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", b"lossy", _IFF_TUN | _IFF_NO_PI))
        run("ip", "address", "add", f"{address}/24", "dev", "lossy")
        run("ip", "link", "set", "lossy", "up", "mtu", "1500")
        run("ip", "route", "add", "default", "dev", "lossy")
    return device


@contextmanager
def _own_namespace_kept() -> Iterator[None]:
    mine = os.open(_MY_NAMESPACE, os.O_RDONLY)
    try:
        yield
    finally:
        _check(_libc.setns(mine, _CLONE_NEWNET))
        os.close(mine)


def _check(status: int) -> None:
    if status:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))

"""What a service manager hears, on a real socket."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from lipstream.realtime.api.service_manager import ServiceManager


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.setblocking(False)
        yield receiver


def heard(listener: socket.socket) -> list[str]:
    messages = []
    while True:
        try:
            messages.append(listener.recv(100).decode())
        except BlockingIOError:
            return messages


def test_it_reports_the_start_the_end_and_life_four_times_in_an_interval(listener: socket.socket) -> None:
    environment = {"NOTIFY_SOCKET": listener.getsockname(), "WATCHDOG_USEC": "8000000", "OTHER": "stays"}
    manager = ServiceManager.of_this_process(environment)
    assert environment == {"OTHER": "stays"}, "no child process hears of the socket"
    manager.ready()
    for tenth_s in range(100):
        manager.alive(1000 + tenth_s / 10)
    manager.stopping()
    assert heard(listener) == ["READY=1", *["WATCHDOG=1"] * 5, "STOPPING=1"]


def test_without_a_watchdog_or_with_that_of_another_process_life_is_not_reported(listener: socket.socket) -> None:
    address = listener.getsockname()
    watchdog = {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": str(os.getpid() + 1)}
    for more in ({}, watchdog, {"WATCHDOG_USEC": "soon"}):
        ServiceManager.of_this_process({"NOTIFY_SOCKET": address, **more}).alive(0.0)
    assert heard(listener) == []
    ServiceManager.of_this_process({"NOTIFY_SOCKET": address, **watchdog, "WATCHDOG_PID": str(os.getpid())}).alive(0.0)
    assert heard(listener) == ["WATCHDOG=1"]


def test_a_socket_in_the_abstract_namespace_is_reached() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        name = f"lipstream-test-{os.getpid()}"
        receiver.bind(f"\0{name}")
        receiver.setblocking(False)
        ServiceManager.of_this_process({"NOTIFY_SOCKET": f"@{name}"}).ready()
        assert heard(receiver) == ["READY=1"]


@pytest.mark.parametrize("address", ["", "vsock:2:1234", "/no/such/socket", "relative"])
def test_no_manager_or_one_that_is_gone_disturbs_nothing(address: str) -> None:
    manager = ServiceManager.of_this_process({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000"})
    manager.ready()
    manager.alive(0.0)
    manager.stopping()

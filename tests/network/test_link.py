"""The link itself: does it do to packets what it says?"""

import itertools
import socket
import time
from collections.abc import Iterator

import pytest

from tests.network.conditions import Conditions, Direction
from tests.network.link import CLIENT_ADDRESS, SERVER_ADDRESS, NetworkLink

COUNT = 20_000


def direction(**wanted: object) -> Direction:
    made = Direction(7)
    made.conditions = Conditions(**wanted)  # type: ignore[arg-type]
    return made


def test_a_share_is_lost_each_packet_by_itself() -> None:
    lossy = direction(loss=0.05)
    fates = [lossy.due_s(1000, 0.0) is None for _ in range(COUNT)]
    assert sum(fates) / COUNT == pytest.approx(0.05, abs=0.005)
    assert (lossy.dropped, lossy.passed) == (sum(fates), COUNT - sum(fates))
    pairs = sum(a and b for a, b in itertools.pairwise(fates))
    assert pairs / COUNT == pytest.approx(0.05**2, abs=0.002)


def test_bursts_lose_packets_in_a_row() -> None:
    bursty = direction(burst=(0.01, 0.3, 0.9))
    fates = [bursty.due_s(1000, 0.0) is None for _ in range(COUNT)]
    share = sum(fates) / COUNT
    assert share == pytest.approx(0.9 * 0.01 / 0.31, abs=0.008)
    assert sum(a and b for a, b in itertools.pairwise(fates)) / COUNT > 5 * share**2


def test_delay_and_jitter_keep_the_order() -> None:
    slow = direction(delay_s=0.05, jitter_s=0.01)
    due = [at_s for n in range(1000) if (at_s := slow.due_s(1000, n / 1000)) is not None]
    assert len(due) == 1000
    assert due == sorted(due)
    assert all(at_s - n / 1000 >= 0.05 for n, at_s in enumerate(due))
    assert max(at_s - n / 1000 for n, at_s in enumerate(due)) < 0.12


def test_a_rate_makes_a_queue_and_a_full_queue_drops() -> None:
    narrow = direction(rate_bps=80_000.0, queue_s=0.35)  # ten packets of 1000 bytes a second
    due = [narrow.due_s(1000, 0.0) for _ in range(10)]
    assert due[:4] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert due[4:] == [None] * 6
    assert narrow.due_s(1000, 5.0) == pytest.approx(5.1)


def test_a_cut_lets_nothing_pass() -> None:
    assert direction(cut=True).due_s(1, 0.0) is None


@pytest.fixture
def link() -> Iterator[NetworkLink]:
    made = NetworkLink()
    yield made
    made.close()


@pytest.mark.needs("namespaces")
def test_two_namespaces_hear_each_other_as_the_link_lets_them(link: NetworkLink) -> None:
    with link.client.entered():
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        client.bind((CLIENT_ADDRESS, 5000))
    with link.server.entered():
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind((SERVER_ADDRESS, 5000))
    with client, server:
        server.settimeout(60)
        link.set(to_server=Conditions(delay_s=0.2))
        sent_s = time.monotonic()
        client.sendto(b"one", (SERVER_ADDRESS, 5000))
        assert server.recv(100) == b"one"
        assert time.monotonic() - sent_s >= 0.2
        link.cut()
        client.sendto(b"two", (SERVER_ADDRESS, 5000))
        while link.counts()[0]["dropped"] == 0:
            time.sleep(0.01)
        link.set()
        client.sendto(b"three", (SERVER_ADDRESS, 5000))
        assert server.recv(100) == b"three"

import random

import pytest

from lipstream.realtime.api.connections import (
    BODY_BYTES_PER_S,
    BODY_S,
    HEAD_S,
    NEW_BURST,
    NEW_PER_S,
    WRITE_S,
    ConnectionDecision,
    Connections,
    ConnectionState,
    network_of,
)

LOOPBACK = "127.0.0.1"


def admitted(connections: Connections, numbers: range, address: str = LOOPBACK, now_s: float = 0.0) -> None:
    for number in numbers:
        assert connections.admit(number, address, now_s).admitted


def test_the_one_that_waited_longest_makes_way() -> None:
    connections = Connections(total=3, per_network=3)
    admitted(connections, range(3))
    assert connections.admit(3, LOOPBACK, 1.0) == ConnectionDecision(admitted=True, closes=0)
    connections.enter(1, ConnectionState.WORKING, 1.0)
    assert connections.admit(4, LOOPBACK, 1.0) == ConnectionDecision(admitted=True, closes=2)
    assert len(connections) == 3


def test_those_without_a_request_make_way_before_uploads_and_those_before_slow_readers() -> None:
    connections = Connections(total=4, per_network=4)
    admitted(connections, range(4))
    connections.enter(0, ConnectionState.SENDING, 1.0)
    connections.enter(1, ConnectionState.RECEIVING, 1.0, 10)
    connections.enter(2, ConnectionState.RECEIVING, 2.0, 10)
    connections.enter(1, ConnectionState.RECEIVING, 3.0, 10)  # goes on, so the other one is first
    closed = []
    for number in range(4, 8):
        closed.append(connections.admit(number, LOOPBACK, 4.0).closes)
        connections.enter(number, ConnectionState.WORKING, 4.0)
    assert closed == [3, 2, 1, 0]


def test_a_new_one_is_refused_where_all_are_at_work() -> None:
    connections = Connections(total=2, per_network=2)
    admitted(connections, range(2))
    for number in range(2):
        connections.enter(number, ConnectionState.WORKING, 0.0)
    assert connections.admit(2, LOOPBACK, 1.0) == ConnectionDecision(admitted=False)
    connections.leave(0)
    assert connections.admit(2, LOOPBACK, 1.0) == ConnectionDecision(admitted=True)
    closed = connections.take_closed()
    assert (closed.refused, closed.displaced) == (1, 0)
    assert not connections.take_closed()


def test_an_address_has_a_share_and_closes_its_own() -> None:
    connections = Connections(total=10, per_network=2)
    admitted(connections, range(2), "192.0.2.1")
    admitted(connections, range(2, 4), "192.0.2.2")
    assert connections.admit(4, "192.0.2.2", 1.0) == ConnectionDecision(admitted=True, closes=2)
    for number in (3, 4):
        connections.enter(number, ConnectionState.WORKING, 1.0)
    assert not connections.admit(5, "192.0.2.2", 1.0).admitted
    assert connections.admit(5, "192.0.2.3", 1.0) == ConnectionDecision(admitted=True)


def test_a_proxy_on_this_machine_may_have_all() -> None:
    connections = Connections(total=10, per_network=2)
    admitted(connections, range(10))
    assert connections.admit(10, LOOPBACK, 1.0) == ConnectionDecision(admitted=True, closes=0)


def test_an_address_that_speaks_for_many_may_have_all_while_it_does() -> None:
    ingress = "192.0.2.7"
    connections = Connections(total=1000, per_network=4)
    with connections.trusting(ingress), connections.trusting(ingress):
        admitted(connections, range(NEW_BURST + 50), ingress)
        assert all(connections.admit(900 + number, "192.0.2.8", 0.0).admitted for number in range(4))
    assert connections.admit(999, ingress, 1.0).closes is not None, "its share again"


def test_an_address_that_comes_again_and_again_is_refused_and_others_are_not() -> None:
    connections = Connections(total=10, per_network=2)
    came = sum(connections.admit(number, "192.0.2.1", number / 1000).admitted for number in range(5000))
    assert came == pytest.approx(NEW_BURST + 5 * NEW_PER_S, abs=2)
    assert connections.admit(5000, "192.0.2.2", 5.0).admitted
    admitted(connections, range(5001, 9000), LOOPBACK, 5.0)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("::1", "::1"),
        ("", ""),
        ("a name", "a name"),
    ],
)
def test_a_64_of_ipv6_is_one_client(address: str, network: str) -> None:
    assert network_of(address) == network


def test_a_head_has_its_time_from_the_connection_and_from_the_last_answer_on() -> None:
    connections = Connections(total=10, per_network=10)
    admitted(connections, range(2))
    connections.enter(0, ConnectionState.WAITING, HEAD_S - 1)  # half a head is none
    connections.enter(1, ConnectionState.WORKING, HEAD_S - 2)
    connections.enter(1, ConnectionState.WAITING, HEAD_S - 1)
    assert connections.take_overdue(HEAD_S - 0.1) == []
    assert connections.take_overdue(HEAD_S) == [0]
    assert connections.take_overdue(2 * HEAD_S - 1.1) == []
    assert connections.take_overdue(2 * HEAD_S - 1) == [1]
    assert len(connections) == 0
    assert connections.take_closed().overdue == 2


def test_a_body_has_half_a_minute_and_more_if_it_comes_fast_enough() -> None:
    connections = Connections(total=10, per_network=10)
    admitted(connections, range(3))
    for number in range(3):
        connections.enter(number, ConnectionState.RECEIVING, 0.0)
    for second in range(1, 200):
        now_s = float(second)
        connections.enter(0, ConnectionState.RECEIVING, now_s, 2 * BODY_BYTES_PER_S)
        connections.enter(1, ConnectionState.RECEIVING, now_s, BODY_BYTES_PER_S // 2)
        overdue = connections.take_overdue(now_s)
        assert overdue == [2] * (now_s == BODY_S) + [1] * (now_s == 2 * BODY_S)


def test_work_takes_what_it_takes_and_a_client_that_does_not_read_does_not() -> None:
    connections = Connections(total=10, per_network=10)
    admitted(connections, range(2))
    connections.enter(0, ConnectionState.WORKING, 0.0)
    connections.enter(1, ConnectionState.SENDING, 0.0)
    assert connections.take_overdue(WRITE_S) == [1]
    assert connections.take_overdue(1e6) == []


def test_the_count_is_right_whatever_happens() -> None:
    chance = random.Random(5)
    connections = Connections(total=20, per_network=6)
    there: set[int] = set()
    for step in range(5000):
        now_s = step / 10
        match chance.randrange(4):
            case 0 | 1:
                admission = connections.admit(step, f"192.0.2.{chance.randrange(5)}", now_s)
                there |= {step} if admission.admitted else set()
                there -= {admission.closes}
            case 2 if there:
                connections.enter(chance.choice(sorted(there)), chance.choice(list(ConnectionState)), now_s, 100)
            case 3 if there and chance.random() < 0.5:
                gone = chance.choice(sorted(there))
                connections.leave(gone)
                there.discard(gone)
        there -= set(connections.take_overdue(now_s))
        assert len(connections) == len(there) <= 20
        assert all(len(group) <= 6 for group in connections._networks.values())
        assert sum(map(len, connections._networks.values())) == len(connections._all) == len(there)

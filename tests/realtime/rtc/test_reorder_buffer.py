import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipstream.realtime.rtc.reorder_buffer import MAX_HELD, WARY_PACKETS, ReorderBuffer


def pushed(sequences: list[int]) -> list[list[int]]:
    order: ReorderBuffer[int] = ReorderBuffer()
    return [order.push(sequence % 65536, sequence) for sequence in sequences]


def flat(parts: list[list[int]]) -> list[int]:
    return [item for part in parts for item in part]


def test_packets_in_order_pass_at_once_over_the_wrap() -> None:
    assert pushed([65534, 65535, 65536, 65537]) == [[65534], [65535], [65536], [65537]]


def test_a_lost_packet_delays_nothing() -> None:
    assert pushed([1, 3, 4, 7, 8]) == [[1], [3], [4], [7], [8]]


def test_once_packets_overtake_each_other_swapped_pairs_are_put_right() -> None:
    assert pushed([1, 3, 2, 4, 6, 5, 7]) == [[1], [3], [], [4], [], [5, 6], [7]]


def test_where_packets_overtake_a_lost_one_is_given_up_after_a_short_wait() -> None:
    assert pushed([1, 3, 2, 4, 6, 7, 8]) == [[1], [3], [], [4], [], [6, 7], [8]]


def test_a_copy_is_no_sign_of_overtaking() -> None:
    assert pushed([1, 1, 3, 3, 5, 6]) == [[1], [], [3], [], [5], [6]]


def test_waiting_ends_when_packets_keep_their_order_again() -> None:
    calm = list(range(4, 4 + WARY_PACKETS))
    assert pushed([1, 3, 2, *calm, calm[-1] + 2])[-1] == [calm[-1] + 2]


def test_late_and_double_packets_are_dropped_and_counted() -> None:
    order: ReorderBuffer[int] = ReorderBuffer()
    assert [order.push(n, n) for n in (5, 5, 4, 6, 8, 8)] == [[5], [], [], [6], [8], []]
    assert order.late == 3


def test_a_sender_that_starts_again_is_followed() -> None:
    assert pushed([10, 12, 40000, 40001]) == [[10], [12], [40000], [40001]]
    assert pushed([1, 3, 2, 4, 6, 40000]) == [[1], [3], [], [4], [], [6, 40000]]


@given(st.integers(0, 65535), st.lists(st.sampled_from(["pass", "lose", "swap"]), max_size=80))
def test_what_comes_in_goes_out_once_and_in_order(start: int, fates: list[str]) -> None:
    sent = [start + n for n, fate in enumerate(fates) if fate != "lose"]
    for n in range(len(sent) - 1):
        if fates[n] == "swap":
            sent[n], sent[n + 1] = sent[n + 1], sent[n]
    order: ReorderBuffer[int] = ReorderBuffer()
    out = flat([order.push(sequence % 65536, sequence) for sequence in sent])
    assert out == sorted(set(out))
    assert len(out) + order.late + MAX_HELD > len(sent), "of all that came at most one packet waits"


@pytest.mark.parametrize("loss", [0.02, 0.05])
def test_at_random_loss_nearly_all_that_came_is_used(loss: float) -> None:
    rng = np.random.default_rng(1)
    sent = [n for n in range(5000) if rng.random() > loss]
    assert len(flat(pushed(sent))) >= 0.999 * len(sent)

"""Arrays that a thread uses again."""

import threading

import numpy as np

from lipstream.realtime.picture.scratch_arrays import into, scratch


def test_an_array_is_given_again_and_one_of_another_shape_shares_its_memory() -> None:
    wide = scratch("again", (4, 6))
    assert scratch("again", (4, 6)) is wide
    assert np.shares_memory(wide, scratch("again", (3, 2)))
    assert not np.shares_memory(wide, scratch("another", (4, 6)))
    assert into("again")((4, 6)) is wide


def test_a_larger_shape_replaces_all_smaller_ones() -> None:
    small, large = scratch("grows", (2, 2)), scratch("grows", (200, 200))
    assert not np.shares_memory(small, large)
    assert np.shares_memory(scratch("grows", (2, 2)), large)


def test_types_and_many_shapes_are_their_own() -> None:
    for height in range(1, 1500):
        array = scratch("faces", (height, 3), np.uint8)
        assert array.shape == (height, 3)
        assert array.dtype == np.uint8
    assert scratch("faces", (2, 3)).dtype == np.float32


def test_threads_share_nothing() -> None:
    found: list[np.ndarray] = []
    thread = threading.Thread(target=lambda: found.append(scratch("mine", (8, 8))))
    thread.start()
    thread.join()
    assert not np.shares_memory(found[0], scratch("mine", (8, 8)))

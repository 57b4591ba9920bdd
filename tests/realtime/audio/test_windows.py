import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

from lipstream.realtime.audio.windows import windows


@given(st.integers(1, 40), st.integers(1, 20), st.integers(0, 100), st.sampled_from([np.float32, np.float64]))
def test_windows_are_those_of_numpy(size: int, hop: int, more: int, dtype: type) -> None:
    signal: np.ndarray = np.arange(size + more, dtype=dtype)
    assert np.array_equal(windows(signal, size, hop), sliding_window_view(signal, size)[::hop])


def test_a_slice_has_its_own_windows_and_shares_its_memory() -> None:
    signal: np.ndarray = np.arange(100.0)[10:60]
    cut = windows(signal, 20, 15)
    assert cut[:, 0].tolist() == [10, 25, 40]
    assert np.shares_memory(cut, signal)


@pytest.mark.parametrize("signal", [np.zeros(7), np.zeros(100)[::2]], ids=["short", "apart"])
def test_what_has_no_windows_is_refused(signal: np.ndarray) -> None:
    with pytest.raises(ValueError):
        windows(signal, 8, 2)

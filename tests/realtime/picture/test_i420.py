import av
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lipstream.realtime.picture.i420 import bgr_to_i420, i420_to_bgr, planes


def test_planes_are_views() -> None:
    picture = np.zeros((12, 8), np.uint8)
    luma, blue, red = planes(picture)
    assert (luma.shape, blue.shape, red.shape) == ((8, 8), (4, 4), (4, 4))
    luma[:], blue[:], red[:] = 1, 2, 3
    assert list(np.unique(picture[:8])) == [1]
    assert list(picture.ravel()[64:80]) == [2] * 16
    assert list(picture.ravel()[80:]) == [3] * 16


@given(colour=st.tuples(*[st.integers(0, 255)] * 3))
def test_flat_colours_agree_with_ffmpeg(colour: tuple[int, int, int]) -> None:
    bgr = np.full((16, 16, 3), colour, np.uint8)
    theirs = av.VideoFrame.from_ndarray(bgr, format="bgr24").to_ndarray(format="yuv420p")
    assert np.abs(bgr_to_i420(bgr).astype(int) - theirs).max() <= 1


@given(colour=st.tuples(*[st.integers(0, 255)] * 3))
def test_flat_colours_survive_the_way_there_and_back(colour: tuple[int, int, int]) -> None:
    bgr = np.full((8, 8, 3), colour, np.uint8)
    assert np.abs(i420_to_bgr(bgr_to_i420(bgr)).astype(int) - bgr).max() <= 2


def test_a_rectangle_is_cut_where_it_was_asked_for() -> None:
    bgr = np.zeros((32, 32, 3), np.uint8)
    bgr[8:16, 20:28] = (30, 200, 90)
    cut = i420_to_bgr(bgr_to_i420(bgr), top=8, left=20, height=8, width=8)
    assert np.abs(cut.astype(int) - (30, 200, 90)).max() <= 2

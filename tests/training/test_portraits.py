import numpy as np

from training.portraits import _COLUMNS, _ROWS, _SIDE, as_rows


def test_frames_stand_in_the_order_in_which_they_come_and_show_the_box_alone() -> None:
    frames = np.zeros((60, 64, 80, 3), np.uint8)
    frames[:, 10:42, 20:52] = np.arange(60, dtype=np.uint8)[:, None, None, None] + 100
    rows = as_rows(frames, (20, 10, 32))
    assert rows.shape == (_ROWS * _SIDE, _COLUMNS * _SIDE, 3)
    seen = rows[_SIDE // 2 :: _SIDE, _SIDE // 2 :: _SIDE, 0].ravel()
    assert len(seen) == _ROWS * _COLUMNS
    assert (np.diff(seen.astype(int)) > 0).all()
    assert (seen[0], seen[-1]) == (100, 159)
    assert rows.min() >= 100

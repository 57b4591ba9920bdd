import numpy as np
import pytest

from realtime.compositor import Box, Compositor, MouthPainter, feather_mask
from realtime.i420 import bgr_to_i420, i420_to_bgr, planes
from realtime.lipsync.metadata import Region

REGION, CROP = Region(48, 96, 8, 88), 96
BOX = Box(60, 40, 192, 192)


def _picture(seed: int = 0, size: int = 320) -> np.ndarray:
    """A picture with fine detail."""
    rng = np.random.default_rng(seed)
    small = rng.integers(40, 200, (size // 4, size // 4, 3)).astype(np.uint8)
    return bgr_to_i420(small.repeat(4, axis=0).repeat(4, axis=1))


def _mouth(shade: int) -> np.ndarray:
    return np.full((REGION.height, REGION.width, 3), shade, np.uint8)


def test_an_unchanged_mouth_leaves_every_pixel_as_it_was() -> None:
    picture = _picture()
    before = picture.copy()
    MouthPainter(REGION, CROP).paint(picture, BOX, shown=_mouth(120), new=_mouth(120))
    np.testing.assert_array_equal(picture, before)


def test_a_new_mouth_replaces_the_old_inside_the_mask_and_nothing_outside() -> None:
    painter, picture = MouthPainter(REGION, CROP), _picture()
    before = picture.copy()
    painter.paint(picture, BOX, shown=_mouth(100), new=_mouth(230))
    changed = planes(picture)[0] != planes(before)[0]
    mask = painter.mask(BOX, changed.shape)
    assert not changed[~mask].any()
    centre = i420_to_bgr(picture, top=180, left=140, height=16, width=32)
    assert np.abs(centre.astype(int) - 230).max() <= 2, "where all differs, the prediction stands alone"
    for plane, old in zip(planes(picture)[1:], planes(before)[1:], strict=True):
        outside = ~(mask[0::2, 0::2] | mask[1::2, 1::2])
        np.testing.assert_array_equal(plane[outside], old[outside])


def test_half_the_weight_is_half_the_way() -> None:
    painter = MouthPainter(REGION, CROP)
    flat = bgr_to_i420(np.full((320, 320, 3), 100, np.uint8))
    levels = []
    for weight in (0.0, 0.5, 1.0):
        picture = flat.copy()
        painter.paint(picture, BOX, shown=_mouth(100), new=_mouth(200), weight=weight)
        levels.append(int(planes(picture)[0][200, 156]))
    assert levels[1] == pytest.approx((levels[0] + levels[2]) / 2, abs=1)
    assert levels[2] - levels[0] == pytest.approx(100 * 219 / 255, abs=1)


def test_rounding_has_no_bias() -> None:
    painter, flat = MouthPainter(REGION, CROP), bgr_to_i420(np.full((320, 320, 3), 100, np.uint8))
    shift = []
    for new in (90, 110):
        picture = flat.copy()
        painter.paint(picture, BOX, shown=_mouth(100), new=_mouth(new), weight=0.5)
        shift.append((planes(picture)[0].astype(float) - planes(flat)[0]).sum())
    assert abs(shift[0] + shift[1]) < 0.02 * abs(shift[0]), "as much is lost downwards as is won upwards"


def test_a_pattern_lands_where_the_crop_saw_it() -> None:
    """A mouth cut from a picture and painted back into an empty one lies on its old place."""
    picture = bgr_to_i420(np.full((320, 320, 3), 60, np.uint8))
    new = _mouth(60)
    new[20:24, 30:36] = 220
    MouthPainter(REGION, CROP).paint(picture, BOX, shown=_mouth(60), new=new)
    luma = planes(picture)[0]
    rows, columns = np.nonzero(luma > luma.min() + 60)
    scale = BOX.width / CROP
    assert rows.mean() + 0.5 == pytest.approx(BOX.y + (48 + 22) * scale, abs=0.6)
    assert columns.mean() + 0.5 == pytest.approx(BOX.x + (8 + 33) * scale, abs=0.6)


@pytest.mark.parametrize("box", [Box(0, 0, 96, 96), Box(2, 4, 200, 200), Box(120, 120, 200, 200), Box(10, 10, 98, 98)])
def test_boxes_at_the_edges_stay_inside_the_picture(box: Box) -> None:
    picture = _picture()
    MouthPainter(Region(0, 96, 0, 96), CROP).paint(
        picture, box, shown=np.zeros((96, 96, 3), np.uint8), new=np.full((96, 96, 3), 255, np.uint8)
    )


def test_the_mask_is_full_amid_the_mouth_and_empty_at_the_edge() -> None:
    mask = feather_mask(REGION)
    assert mask[18:30, 25:55].min() == 1
    assert max(mask[0].max(), mask[-1].max(), mask[:, 0].max(), mask[:, -1].max()) < 0.1


def test_cached_frames_are_never_written_to() -> None:
    frames = np.stack([_picture(1), _picture(2)])
    frames.flags.writeable = False
    rest = np.stack([_mouth(100), _mouth(100)])
    compositor = Compositor(frames, rest, (BOX, BOX), REGION, CROP)
    spoken = compositor.compose(1, _mouth(220), 1.0)
    assert (spoken != frames[1]).any()
    idle = compositor.compose(1, None, 0.0)
    np.testing.assert_array_equal(idle, frames[1])
    with pytest.raises(ValueError, match="read-only"):
        idle[0, 0] = 1
    assert compositor.mask(0).sum() > 0

import cv2
import numpy as np
import pytest

from lipstream.realtime.lipsync.metadata import Region
from lipstream.realtime.picture.i420 import bgr_to_i420, bgr_to_ycbcr, i420_to_bgr, planes
from lipstream.realtime.picture.mouth_painter import Box, MouthPainter, feather_mask, paste_mask

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


def _warped(picture: np.ndarray, box: Box, region: Region, shown: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Paint by the formula itself, every map a warp of what lies at the network's size."""
    out: np.ndarray = picture.astype(np.float64)
    change = bgr_to_ycbcr(new) - bgr_to_ycbcr(shown)
    ramp = np.clip((np.abs(change[..., 0]) - 6) / 18, 0, 1).astype(np.float32)
    changed = cv2.GaussianBlur(cv2.dilate(ramp, np.ones((3, 3), np.uint8)), (0, 0), 1.0)
    painted = change + changed[..., None] * bgr_to_ycbcr(shown)
    for place, (plane, old) in enumerate(zip(planes(out), planes(picture), strict=True)):
        step = 1 if place == 0 else 2
        x_scale, y_scale = box.width / CROP / step, box.height / CROP / step
        x = (region.left + 0.5) * x_scale - 0.5 + box.x / step
        y = (region.top + 0.5) * y_scale - 0.5 + box.y / step
        matrix = np.array([[x_scale, 0, x], [0, y_scale, y]])

        def up(
            small: np.ndarray, kind: int, matrix: np.ndarray = matrix, shape: tuple[int, ...] = old.shape
        ) -> np.ndarray:
            enlarged: np.ndarray = cv2.warpAffine(
                small, matrix, shape[::-1], flags=kind, borderMode=cv2.BORDER_REPLICATE
            )
            return enlarged

        mask = np.clip(up(feather_mask(region), cv2.INTER_LINEAR), 0, 1)
        kind = cv2.INTER_LINEAR if place else cv2.INTER_CUBIC
        wanted = old + mask * (up(painted[..., place], kind) - up(changed, kind) * old.astype(np.float32))
        touched = MouthPainter(region, CROP).mask(box, planes(picture)[0].shape)
        plane[:] = np.where(touched[::step, ::step] | touched[step - 1 :: step, step - 1 :: step], wanted, old)
    clipped: np.ndarray = np.clip(out, 0, 255)
    return clipped


@pytest.mark.parametrize("box", [Box(31, 23, 151, 213), Box(30, 23, 151, 210), Box(31, 22, 120, 97)])
@pytest.mark.parametrize("region", [Region(42, 96, 0, 96), Region(41, 93, 7, 90)])
def test_boxes_that_begin_and_end_anywhere_are_painted_by_the_same_formula(box: Box, region: Region) -> None:
    rng, picture = np.random.default_rng(box.width), _picture()
    shown, new = (
        cv2.resize(rng.integers(0, 255, (6, 9, 3)).astype(np.uint8), (region.width, region.height)) for _ in range(2)
    )
    formula = _warped(picture, box, region, shown, new)
    before = picture.copy()
    MouthPainter(region, CROP).paint(picture, box, shown=shown, new=new)
    for plane, wanted, limit in zip(planes(picture), planes(formula), (3, 8, 8), strict=True):
        difference = np.abs(plane - wanted)
        assert difference.max() < limit
        assert np.mean(difference > 1) < 0.01
    outside = np.ones(planes(picture)[0].shape, np.bool_)
    outside[box.y : box.y + box.height, box.x : box.x + box.width] = False
    np.testing.assert_array_equal(planes(picture)[0][outside], planes(before)[0][outside])


def test_a_published_mouth_is_whole_below_the_middle_and_has_no_edge() -> None:
    mask = paste_mask(Region(42, 96, 0, 96), CROP)
    assert (mask[0].max(), mask[-1].max(), mask[:, 0].max(), mask[:, -1].max()) == (0, 0, 0, 0)
    assert (mask[6:-5, 5:-5] == 1).all()
    assert np.abs(np.diff(mask, axis=0)).max() < 0.4


def test_on_an_even_colour_the_change_alone_is_painted_without_a_grid() -> None:
    region, box, shade = Region(42, 96, 0, 96), Box(40, 40, 176, 240), 150
    rows, columns = np.mgrid[: region.height, : region.width]
    darker = 60 * np.exp(-(((rows - 30) / 8) ** 2) - ((columns - 48) / 14) ** 2)
    shown = np.full((region.height, region.width, 3), shade, np.uint8)
    new = np.rint(shade - darker).astype(np.uint8)[..., None].repeat(3, axis=2)
    picture = bgr_to_i420(np.full((320, 256, 3), shade, np.uint8))
    painter, before = MouthPainter(region, CROP, (), "detector"), picture.copy()
    painter.paint(picture, box, shown=shown, new=new)
    place = painter.of(box)
    change = (bgr_to_ycbcr(new) - bgr_to_ycbcr(shown))[..., 0].astype(np.float32)
    smooth = place.luma_up(place.widen(change), cv2.INTER_CUBIC) * place.luma_mask
    luma, was = (place.luma_of(planes(each)[0], box).astype(np.float32) for each in (picture, before))
    assert np.abs(luma - was - smooth).max() < 1


@pytest.mark.parametrize("width", [64, 96, 98, 150, 192, 210, 212, 254])
@pytest.mark.parametrize("region", [Region(48, 96, 12, 84), Region(41, 93, 7, 90)])
def test_it_is_the_formula_to_one_step(width: int, region: Region) -> None:
    rng, picture = np.random.default_rng(width), _picture()
    box = Box(30, 22, width, width + 8)
    shown, new = (
        cv2.resize(rng.integers(0, 255, (6, 9, 3)).astype(np.uint8), (region.width, region.height)) for _ in range(2)
    )
    formula = _warped(picture, box, region, shown, new)
    MouthPainter(region, CROP).paint(picture, box, shown=shown, new=new)
    difference = np.abs(picture - formula)
    assert difference.max() < 3
    assert np.mean(difference > 1) < 0.001

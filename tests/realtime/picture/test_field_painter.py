"""Mouths of fields against the formula, computed pixel by pixel."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipstream.realtime.lipsync.fields import pack_fields, unpack_fields
from lipstream.realtime.lipsync.metadata import Region
from lipstream.realtime.picture.compositor import Compositor
from lipstream.realtime.picture.field_motion import (
    FLOW_SOFTNESS,
    HOLD_PX,
    close_over_teeth,
    lay_firmly,
    mix_fields,
)
from lipstream.realtime.picture.field_painter import FieldPainter
from lipstream.realtime.picture.i420 import BGR_TO_YCBCR, bgr_to_i420, planes
from lipstream.realtime.picture.mouth_painter import Box, Outline

REGION, CROP = Region(48, 96, 12, 84), 96
SHAPE = REGION.height, REGION.width


def _picture(width: int = 320, height: int = 320) -> np.ndarray:
    rng = np.random.default_rng(width + height)
    small = rng.integers(40, 200, (height // 4, width // 4, 3)).astype(np.uint8)
    return bgr_to_i420(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC))


def _still() -> np.ndarray:
    return pack_fields(np.zeros((*SHAPE, 2), np.float32), np.zeros((*SHAPE, 4), np.float32))


def _moved(seed: int, region: Region = REGION, scale: int = 1) -> np.ndarray:
    """Smooth random fields: a flow of up to 5 px of the crop, and paint that covers some of the region."""
    rng = np.random.default_rng(seed)
    size = region.width, region.height
    flow = cv2.resize(rng.uniform(-0.05, 0.05, (4, 5, 2)).astype(np.float32), size)
    size = scale * region.width, scale * region.height
    mask = cv2.resize(np.clip(rng.uniform(-1, 1.5, (4, 5)), 0, 1).astype(np.float32), size)[..., None]
    colour = cv2.resize(rng.uniform(0, 255, (4, 5, 3)).astype(np.float32), size)
    return pack_fields(flow, np.concatenate((255 * mask, colour * mask), axis=-1))


def _formula(picture: np.ndarray, box: Box, region: Region, mouth: np.ndarray, outline: Outline = ()) -> np.ndarray:
    """Paint by the formula itself: a loop over planes, everything else a warp in floats."""
    out: np.ndarray = picture.astype(np.float64)
    flow, paint = unpack_fields(mouth)
    flow = np.asarray(cv2.GaussianBlur(flow, (0, 0), FLOW_SOFTNESS, borderType=cv2.BORDER_REPLICATE))
    length = np.hypot(flow[..., :1], flow[..., 1:]) * CROP / HOLD_PX
    flow = np.asarray(flow * length**2 / (1 + length**2), np.float32)
    mask = paint[..., :1] / 255
    colours = paint[..., 1:] @ BGR_TO_YCBCR.T + mask * np.array([16, 128, 128], np.float32)
    painter = FieldPainter(region, CROP, outline)
    feather, touched = painter.feather, painter.mask(box, planes(picture)[0].shape)
    for place, (plane, old) in enumerate(zip(planes(out), planes(picture), strict=True)):
        step = 2 if place else 1
        rows, columns = np.mgrid[: old.shape[0], : old.shape[1]].astype(np.float32)
        u = ((columns + 0.5) * step - box.x) * CROP / box.width - region.left - 0.5
        v = ((rows + 0.5) * step - box.y) * CROP / box.height - region.top - 0.5
        kind = cv2.INTER_LINEAR if place else cv2.INTER_CUBIC

        def up(small: np.ndarray, kind: int = kind, u: np.ndarray = u, v: np.ndarray = v) -> np.ndarray:
            scale = np.float32(small.shape[0] / region.height)
            at = (scale * (u + np.float32(0.5)) - np.float32(0.5), scale * (v + np.float32(0.5)) - np.float32(0.5))
            return np.asarray(cv2.remap(small.astype(np.float32), *at, kind, borderMode=cv2.BORDER_REPLICATE))

        x, y = columns + up(flow[..., 0]) * box.width / step, rows + up(flow[..., 1]) * box.height / step
        sampled = np.asarray(cv2.remap(old, x, y, kind, borderMode=cv2.BORDER_REPLICATE), np.float64)
        soft = np.clip(up(feather, cv2.INTER_LINEAR), 0, 1)
        shown = sampled * (1 - np.clip(up(mask[..., 0]), 0, 1)) + up(colours[..., place])
        if place:
            place_of = painter.of(box).narrowed(*painter.of(box).painted())
            around = place_of.chroma_of(old, box)
            height, width = around.shape
            middle = around[height // 4 : height - height // 4, width // 4 : width - width // 4]
            tone = 128 + 0.2 * (middle.mean() - 128)
        if place == 1:  # no bluer than teeth, or than the sample
            shown = np.minimum(shown, np.maximum(sampled, tone))
        elif place == 2:  # no greener than teeth and no redder than lips
            shown = np.minimum(shown, np.maximum(sampled, middle.mean() + 2 * middle.std()))
            shown = np.maximum(shown, np.minimum(sampled, tone))
        wanted = old + soft * (shown - old)
        plane[:] = np.where(touched[::step, ::step] | touched[step - 1 :: step, step - 1 :: step], wanted, old)
    clipped: np.ndarray = np.clip(out, 0, 255)
    return clipped


@settings(max_examples=40)
@given(
    seed=st.integers(0, 999),
    x=st.integers(0, 60),
    y=st.integers(0, 60),
    width=st.integers(64, 230),
    height=st.integers(64, 230),
    region=st.sampled_from([REGION, Region(41, 93, 7, 90), Region(0, 96, 0, 96)]),
    scale=st.sampled_from([1, 2]),
)
def test_any_box_is_painted_by_the_formula(
    seed: int, x: int, y: int, width: int, height: int, region: Region, scale: int
) -> None:
    """Boxes of any place, size and parity, also at the picture's edges, whose pixels are repeated outward."""
    box, picture, mouth = Box(x, y, width, height), _picture(), _moved(seed, region, scale)
    wanted = _formula(picture, box, region, mouth)
    before = picture.copy()
    painter = FieldPainter(region, CROP)
    painter.paint(picture, box, rest=mouth, new=mouth)
    away = np.abs(picture - wanted)
    assert np.mean(away > 2) < 0.01
    outside = ~painter.mask(box, planes(picture)[0].shape)
    np.testing.assert_array_equal(planes(picture)[0][outside], planes(before)[0][outside])


def test_blue_paint_is_grey_where_the_clip_is_not_blue_itself() -> None:
    """A network that has not seen such skin paints teeth bluish."""
    picture = np.full((256 * 3 // 2, 256), 128, np.uint8)
    box, paint = Box(30, 22, 192, 192), np.zeros((REGION.height, REGION.width, 4), np.float32)
    paint[8:-8, 8:-8] = 255, 255, 230, 150
    mouth = pack_fields(np.zeros((REGION.height, REGION.width, 2), np.float32), paint)
    FieldPainter(REGION, CROP).paint(picture, box, rest=mouth, new=mouth)
    luma, blue, red = planes(picture)
    assert luma.max() > 180
    assert (blue.max(), red.min()) == (128, 128)
    picture[256:320] = 150
    FieldPainter(REGION, CROP).paint(picture, box, rest=mouth, new=mouth)
    assert planes(picture)[1].max() == 150


def test_teeth_have_a_little_of_the_skin_s_tint() -> None:
    picture = np.full((256 * 3 // 2, 256), 128, np.uint8)
    planes(picture)[1][:], planes(picture)[2][:] = 108, 153
    paint = np.zeros((REGION.height, REGION.width, 4), np.float32)
    paint[8:-8, 8:-8] = 255, 255, 230, 150
    mouth = pack_fields(np.zeros((REGION.height, REGION.width, 2), np.float32), paint)
    FieldPainter(REGION, CROP).paint(picture, Box(30, 22, 192, 192), rest=mouth, new=mouth)
    _, blue, red = planes(picture)
    assert (blue[75, 60], red[75, 60]) == (124, 133)


def test_paint_is_no_redder_than_the_lips_of_the_clip() -> None:
    """A network that has not seen such a smile paints lips that close over it bright red."""
    picture = np.full((256 * 3 // 2, 256), 128, np.uint8)
    lips = planes(picture)[2]
    lips[:], lips[74:80, 40:86] = 140, 156
    around = FieldPainter(REGION, CROP).of(Box(30, 22, 192, 192))
    paint = np.zeros((REGION.height, REGION.width, 4), np.float32)
    paint[8:-8, 8:-8] = 255, 60, 60, 220
    mouth = pack_fields(np.zeros((REGION.height, REGION.width, 2), np.float32), paint)
    FieldPainter(REGION, CROP).paint(picture, Box(30, 22, 192, 192), rest=mouth, new=mouth)
    red = around.chroma_of(planes(picture)[2], Box(30, 22, 192, 192))
    assert 146 <= red.max() <= 160


def test_an_even_box_is_the_formula_to_two_steps() -> None:
    for width in (96, 106, 192, 212, 224):
        box, picture, mouth = Box(30, 22, width, width), _picture(), _moved(width)
        wanted = _formula(picture, box, REGION, mouth)
        FieldPainter(REGION, CROP).paint(picture, box, rest=mouth, new=mouth)
        away = np.abs(picture - wanted)
        assert np.mean(away > 1) < 0.01
        assert away.max() < 8, "positions are rounded to 1/32 px where a plane is sampled"


def test_what_an_outline_leaves_out_is_not_computed() -> None:
    outline = ((0.25, 0.55), (0.75, 0.55), (0.7, 0.85), (0.5, 0.92), (0.3, 0.85))
    painter, whole = FieldPainter(REGION, CROP, outline), FieldPainter(REGION, CROP)
    for box in (Box(30, 22, 212, 212), Box(31, 23, 151, 149)):
        place = painter.of(box)
        narrow = place.narrowed(*place.painted())
        assert narrow.luma_mask.size < 0.85 * whole.of(box).luma_mask.size
        assert narrow.luma_mask.sum() == pytest.approx(place.luma_mask.sum())
        picture, mouth = _picture(), _moved(8)
        wanted = _formula(picture, box, REGION, mouth, outline)
        painter.paint(picture, box, rest=mouth, new=mouth)
        assert np.mean(np.abs(picture - wanted) > 2) < 0.01


def test_fields_that_change_nothing_leave_every_pixel_as_it_was() -> None:
    picture = _picture()
    before = picture.copy()
    FieldPainter(REGION, CROP).paint(picture, Box(60, 40, 212, 212), rest=_still(), new=_still())
    np.testing.assert_array_equal(picture, before)


def test_what_was_cut_is_put_back() -> None:
    painter, picture = FieldPainter(REGION, CROP), _picture()
    before, box = picture.copy(), Box(61, 43, 151, 149)
    pixels = painter.cut(picture, box)
    assert pixels.size == painter.size(box)
    painter.paint(picture, box, rest=_moved(1), new=_moved(1))
    assert (picture != before).any()
    painter.restore(picture, box, np.append(pixels, 7).astype(np.uint8))
    np.testing.assert_array_equal(picture, before)


def _drop(scale: int) -> tuple[np.ndarray, np.ndarray]:
    """A resting mouth, and one whose lower half lies 4 px of the crop deeper, with a dark gap above it."""
    flow, paint = (
        np.zeros((side * SHAPE[0], side * SHAPE[1], depth), np.float32) for side, depth in ((1, 2), (scale, 4))
    )
    rest = pack_fields(flow, paint)
    rows = np.arange(REGION.height)
    flow[..., 1] = -np.clip((rows - 12) / 4, 0, 1)[:, None] * 4 / CROP
    flow[..., 1] *= np.clip((44 - rows) / 12, 0, 1)[:, None]
    paint[scale * 12 : scale * 16, scale * 20 : scale * 52, 0] = 255
    return rest, pack_fields(flow, paint)


@pytest.mark.parametrize("scale", [1, 2])
def test_a_mouth_on_its_way_has_lips_on_their_way(scale: int) -> None:
    rest, wide = _drop(scale)
    gaps, depths = [], []
    for weight in (0.0, 0.25, 0.5, 0.75, 1.0):
        flow, paint = mix_fields(rest, wide, weight, CROP)
        gaps.append(float(paint[:, scale * 36, 0].sum()) / 255 / scale)
        depths.append(-float(flow[:, 36, 1].min()) * CROP)
    assert depths == pytest.approx([0, 1, 2, 3, 4], abs=0.25)
    assert gaps == sorted(gaps)
    assert gaps[0] == 0
    assert gaps[2] < 0.75 * gaps[4], "the gap is narrower, and not only fainter"
    assert mix_fields(rest, wide, 0.6, CROP)[1].max() == pytest.approx(255, abs=2)


@pytest.mark.parametrize("scale", [1, 2])
def test_a_fade_has_no_jump_in_it(scale: int) -> None:
    rest, wide = _moved(3, scale=scale), _moved(4, scale=scale)
    painter, box = FieldPainter(REGION, CROP), Box(60, 40, 192, 192)

    def shown(weight: float) -> np.ndarray:
        picture = _picture()
        painter.paint(picture, box, rest=rest, new=wide, weight=weight)
        return planes(picture)[0].astype(float)

    whole = np.abs(shown(1.0) - shown(0.0)).mean()
    steps = [np.abs(shown((n + 1) / 20) - shown(n / 20)).mean() for n in range(20)]
    assert max(steps) < 0.35 * whole


def test_a_compositor_shows_fields_over_the_clip_s_own_frame() -> None:
    source, box = _picture(), Box(60, 40, 192, 192)
    painter, rest = FieldPainter(REGION, CROP), _moved(5)
    resting = source.copy()
    painter.paint(resting, box, rest=rest, new=rest)
    frames, under = np.stack([resting]), np.stack([painter.cut(source, box)])
    frames.flags.writeable = False
    compositor = Compositor(frames, np.stack([rest]), (box,), REGION, CROP, under=under)
    np.testing.assert_array_equal(compositor.compose(0, None, 0.0), resting)
    wanted = source.copy()
    painter.paint(wanted, box, rest=rest, new=_moved(6))
    np.testing.assert_array_equal(compositor.compose(0, _moved(6), 1.0), wanted)
    np.testing.assert_array_equal(compositor.compose(0, rest, 1.0), resting)
    assert compositor.mask(0)[planes(wanted)[0] != planes(source)[0]].all()


def test_dark_paint_over_bared_teeth_covers_them_or_leaves_them() -> None:
    def laid(mask: float, colour: tuple[int, int, int]) -> np.ndarray:
        paint = np.rint([[(255 * mask, *(mask * channel for channel in colour))]]).astype(np.uint8)
        covered: np.ndarray = lay_firmly(paint)[0, 0].astype(float)
        return covered

    gap, lips, teeth = (50, 40, 60), (90, 80, 190), (230, 235, 240)
    np.testing.assert_allclose(laid(0.65, gap), (255, *gap), atol=1.5)
    np.testing.assert_allclose(laid(0.15, gap), 0, atol=0.5)
    np.testing.assert_allclose(laid(0.0, gap), 0)
    for colour in (lips, teeth):
        np.testing.assert_allclose(laid(0.4, colour), (102, *(0.4 * channel for channel in colour)), atol=1)
    shares = [float(laid(mask / 100, gap)[0]) for mask in range(101)]
    assert min(np.diff(shares)) >= 0, "more mask covers no less"
    assert max(np.diff(shares)) < 14, "no step that one would see from frame to frame"


def test_lips_that_skip_teeth_skip_what_is_left_of_them() -> None:
    """A strip of four rows is hidden by a flow that skips only three of them."""
    flow = np.zeros((*SHAPE, 2), np.float32)
    flow[12:, 10:60, 1] = np.clip((40 - np.arange(12, 48)) / 20, 0, 1)[:, None] * 3 / CROP
    shown = np.arange(48) + CROP * flow[:, 30, 1]
    assert shown[12] == pytest.approx(15)
    closed = close_over_teeth(flow, CROP)
    further = np.arange(48) + CROP * closed[:, 30, 1]
    assert further[12] == pytest.approx(16.35, abs=0.01)
    np.testing.assert_array_equal(further[:12], shown[:12])
    np.testing.assert_allclose(further[25:], shown[25:], atol=1e-4)
    assert min(np.diff(further)) > 0, "no row is shown twice"
    np.testing.assert_array_equal(closed[..., 0], flow[..., 0])
    opens = np.zeros_like(flow)
    opens[12:, :, 1] = -np.clip((40 - np.arange(12, 48)) / 20, 0, 1)[:, None] * 3 / CROP
    np.testing.assert_array_equal(close_over_teeth(opens, CROP), opens)


def test_only_a_compositor_of_bared_teeth_lays_paint_firmly() -> None:
    source, box, rest, mouth = _picture(), Box(60, 40, 192, 192), _still(), _still()
    mouth[20:28, 20:50, 4:] = 128, 20, 20, 25  # half a mask of something dark
    frames, under = np.stack([source]), np.stack([FieldPainter(REGION, CROP).cut(source, box)])
    shown = [
        Compositor(frames, rest[None], (box,), REGION, CROP, under=under, bares_teeth=bares).compose(0, mouth, 1.0)
        for bares in (False, True)
    ]
    inside = slice(40 + 2 * 70, 40 + 2 * 74), slice(60 + 2 * 40, 60 + 2 * 54)
    own, usual, firm = (planes(picture)[0][inside].astype(float) for picture in (source, *shown))
    assert usual.std() == pytest.approx(own.std() / 2, rel=0.3), "the clip shines through by half"
    assert firm.std() < 0.4 * usual.std(), "and hardly any more"

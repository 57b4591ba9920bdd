"""Mouths of fields against the formula, computed pixel by pixel."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipstream.realtime.lipsync.fields import pack_fields, unpack_fields
from lipstream.realtime.lipsync.metadata import Region
from lipstream.realtime.picture.compositor import Compositor
from lipstream.realtime.picture.field_painter import FLOW_SOFTNESS, HOLD_PX, FieldPainter, mix_fields
from lipstream.realtime.picture.i420 import BGR_TO_YCBCR, bgr_to_i420, planes
from lipstream.realtime.picture.mouth_painter import Box

REGION, CROP = Region(48, 96, 12, 84), 96
SHAPE = REGION.height, REGION.width


def _picture(width: int = 320, height: int = 320) -> np.ndarray:
    rng = np.random.default_rng(width + height)
    small = rng.integers(40, 200, (height // 4, width // 4, 3)).astype(np.uint8)
    return bgr_to_i420(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC))


def _still() -> np.ndarray:
    return pack_fields(np.zeros((*SHAPE, 2), np.float32), np.zeros((*SHAPE, 4), np.float32))


def _moved(seed: int, region: Region = REGION) -> np.ndarray:
    """Smooth random fields: a flow of up to 5 px of the crop, and paint that covers some of the region."""
    rng = np.random.default_rng(seed)
    size = region.width, region.height
    flow = cv2.resize(rng.uniform(-0.05, 0.05, (4, 5, 2)).astype(np.float32), size)
    mask = cv2.resize(np.clip(rng.uniform(-1, 1.5, (4, 5)), 0, 1).astype(np.float32), size)[..., None]
    colour = cv2.resize(rng.uniform(0, 255, (4, 5, 3)).astype(np.float32), size)
    return pack_fields(flow, np.concatenate((255 * mask, colour * mask), axis=-1))


def _formula(picture: np.ndarray, box: Box, region: Region, mouth: np.ndarray) -> np.ndarray:
    """Paint by the formula itself: a loop over planes, everything else a warp in floats."""
    out: np.ndarray = picture.astype(np.float64)
    flow, paint = unpack_fields(mouth)
    flow = np.asarray(cv2.GaussianBlur(flow, (0, 0), FLOW_SOFTNESS, borderType=cv2.BORDER_REPLICATE))
    length = np.hypot(flow[..., :1], flow[..., 1:]) * CROP / HOLD_PX
    flow = np.asarray(flow * length**2 / (1 + length**2), np.float32)
    mask = paint[..., :1] / 255
    colours = paint[..., 1:] @ BGR_TO_YCBCR.T + mask * np.array([16, 128, 128], np.float32)
    feather = FieldPainter(region, CROP).feather
    touched = FieldPainter(region, CROP).mask(box, planes(picture)[0].shape)
    for place, (plane, old) in enumerate(zip(planes(out), planes(picture), strict=True)):
        step = 2 if place else 1
        rows, columns = np.mgrid[: old.shape[0], : old.shape[1]].astype(np.float32)
        u = ((columns + 0.5) * step - box.x) * CROP / box.width - region.left - 0.5
        v = ((rows + 0.5) * step - box.y) * CROP / box.height - region.top - 0.5
        kind = cv2.INTER_LINEAR if place else cv2.INTER_CUBIC

        def up(small: np.ndarray, kind: int = kind, u: np.ndarray = u, v: np.ndarray = v) -> np.ndarray:
            return np.asarray(cv2.remap(small.astype(np.float32), u, v, kind, borderMode=cv2.BORDER_REPLICATE))

        x, y = columns + up(flow[..., 0]) * box.width / step, rows + up(flow[..., 1]) * box.height / step
        sampled = np.asarray(cv2.remap(old, x, y, kind, borderMode=cv2.BORDER_REPLICATE), np.float64)
        soft = np.clip(up(feather, cv2.INTER_LINEAR), 0, 1)
        wanted = old + soft * (sampled * (1 - np.clip(up(mask[..., 0]), 0, 1)) + up(colours[..., place]) - old)
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
)
def test_any_box_is_painted_by_the_formula(seed: int, x: int, y: int, width: int, height: int, region: Region) -> None:
    """Boxes of any place, size and parity, also at the picture's edges, whose pixels are repeated outward."""
    box, picture, mouth = Box(x, y, width, height), _picture(), _moved(seed, region)
    wanted = _formula(picture, box, region, mouth)
    before = picture.copy()
    painter = FieldPainter(region, CROP)
    painter.paint(picture, box, rest=mouth, new=mouth)
    away = np.abs(picture - wanted)
    assert np.mean(away > 2) < 0.01
    outside = ~painter.mask(box, planes(picture)[0].shape)
    np.testing.assert_array_equal(planes(picture)[0][outside], planes(before)[0][outside])


def test_an_even_box_is_the_formula_to_two_steps() -> None:
    for width in (96, 106, 192, 212, 224):
        box, picture, mouth = Box(30, 22, width, width), _picture(), _moved(width)
        wanted = _formula(picture, box, REGION, mouth)
        FieldPainter(REGION, CROP).paint(picture, box, rest=mouth, new=mouth)
        away = np.abs(picture - wanted)
        assert np.mean(away > 1) < 0.01
        assert away.max() < 8, "positions are rounded to 1/32 px where a plane is sampled"


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


def _drop() -> tuple[np.ndarray, np.ndarray]:
    """A resting mouth, and one whose lower half lies 4 px of the crop deeper, with a dark gap above it."""
    flow, paint = np.zeros((*SHAPE, 2), np.float32), np.zeros((*SHAPE, 4), np.float32)
    rows = np.arange(REGION.height)
    flow[..., 1] = -np.clip((rows - 12) / 4, 0, 1)[:, None] * 4 / CROP
    flow[..., 1] *= np.clip((44 - rows) / 12, 0, 1)[:, None]
    paint[12:16, 20:52, 0] = 255
    return _still(), pack_fields(flow, paint)


def test_a_mouth_on_its_way_has_lips_on_their_way() -> None:
    rest, wide = _drop()
    gaps, depths = [], []
    for weight in (0.0, 0.25, 0.5, 0.75, 1.0):
        flow, paint = mix_fields(rest, wide, weight, CROP)
        gaps.append(float(paint[:, 36, 0].sum()) / 255)
        depths.append(-float(flow[:, 36, 1].min()) * CROP)
    assert depths == pytest.approx([0, 1, 2, 3, 4], abs=0.25)
    assert gaps == sorted(gaps)
    assert gaps[0] == 0
    assert gaps[2] < 0.75 * gaps[4], "the gap is narrower, and not only fainter"
    assert mix_fields(rest, wide, 0.6, CROP)[1].max() == pytest.approx(255, abs=2)


def test_a_fade_has_no_jump_in_it() -> None:
    rest, wide = _moved(3), _moved(4)
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

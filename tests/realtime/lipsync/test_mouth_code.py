"""Steadiness and articulation of codes that are mouths: bounds, identity, monotony, streams."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lipstream.realtime.lipsync.articulation import MOST_ARTICULATION
from lipstream.realtime.lipsync.mouth_code import (
    ACTIONS,
    CLOSED_MM,
    MOST_SKIPPED,
    MOST_STREAMS,
    SCALED_MM,
    SPREAD,
    MouthShaper,
    SpokenFrame,
    articulate,
    opening_mm,
    steady,
)

CHANNELS = 16

codes = arrays(np.float32, (CHANNELS,), elements=st.floats(0, 6, width=32))
amounts = st.floats(0.5, 1.5, width=32)


def of_actions(**strengths: float) -> np.ndarray:
    """Return the code of a mouth from the strengths of its actions."""
    code = np.zeros(CHANNELS, np.float32)
    for name, strength in strengths.items():
        code[ACTIONS.index(name)] = strength / SPREAD[ACTIONS.index(name)]
    return code


OPEN = of_actions(jawOpen=0.4, mouthLowerDown=0.2)
CLOSED = of_actions(jawOpen=0.2, mouthClose=0.2, mouthPress=0.35)


def articulated(code: np.ndarray, amount: float) -> np.ndarray:
    found: np.ndarray = articulate(code[None], np.array([amount], np.float32))[0]
    return found


@given(codes)
def test_an_articulation_of_one_leaves_every_code_as_it_is(code: np.ndarray) -> None:
    assert articulated(code, 1.0).tobytes() == code.tobytes()


@given(codes, amounts)
def test_a_code_stays_between_its_least_and_its_most_articulation(code: np.ndarray, amount: float) -> None:
    found = articulated(code, amount)
    assert np.all(found >= code * min(amount, 1.0) * np.float32(0.999999))
    assert np.all(found <= code * max(amount, 1.0) * np.float32(1.000001))


@given(codes, amounts, amounts)
def test_more_articulation_never_closes_a_mouth(code: np.ndarray, one: float, other: float) -> None:
    less, more = (opening_mm(articulated(code, amount)) for amount in sorted((one, other)))
    assert more >= less - 1e-3 or less < 0


@given(codes, codes, amounts)
def test_the_wider_mouth_stays_the_wider_one(one: np.ndarray, other: np.ndarray, amount: float) -> None:
    narrow, wide = sorted((one, other), key=lambda code: float(opening_mm(code)))
    assert opening_mm(articulated(wide, amount)) >= opening_mm(articulated(narrow, amount)) - 1e-3


@given(codes, amounts)
def test_lips_that_close_are_left_as_they_were_heard(code: np.ndarray, amount: float) -> None:
    if opening_mm(code) <= SCALED_MM[0]:
        assert np.array_equal(articulated(code, amount), code)


def test_a_closure_stays_shut_and_a_vowel_goes_as_far_as_asked() -> None:
    for amount in (0.5, 1.0, 1.5):
        assert opening_mm(articulated(CLOSED, amount)) < 0
        assert opening_mm(articulated(OPEN, amount)) == pytest.approx(amount * opening_mm(OPEN), rel=1e-5)


@given(codes, codes, st.integers(1, MOST_SKIPPED))
def test_a_steadied_code_lies_between_the_one_before_and_the_heard_one(
    code: np.ndarray, before: np.ndarray, frames: int
) -> None:
    found = steady(code, before, frames)
    slack = 1e-5
    assert np.all(found >= np.minimum(code, before) - slack)
    assert np.all(found <= np.maximum(code, before) + slack)


@given(codes, codes, st.integers(1, MOST_SKIPPED))
def test_closures_pass_the_filter_at_once(code: np.ndarray, before: np.ndarray, frames: int) -> None:
    if opening_mm(code) < CLOSED_MM:
        assert np.array_equal(steady(code, before, frames), code)


def test_small_movements_are_calmed_and_large_ones_are_not() -> None:
    small, large = OPEN * np.float32(1.02), OPEN * np.float32(0.4)
    assert np.abs(steady(small, OPEN, 1) - OPEN).max() < 0.35 * np.abs(small - OPEN).max()
    assert np.array_equal(steady(large, OPEN, 1), large)


def test_the_longer_ago_a_mouth_was_the_less_it_holds() -> None:
    code = OPEN * np.float32(1.02)
    away = [float(np.abs(code - steady(code, OPEN, frames)).max()) for frames in (1, 2, 3)]
    assert away[0] > away[1] > away[2] > 0


def shaped(shaper: MouthShaper, code: np.ndarray, *frames: SpokenFrame) -> np.ndarray:
    found, last = shaper.shape(np.repeat(code[None], len(frames), axis=0), frames)
    shaper.keep(last)
    return found


def spoken(frame: int, *, stream: int = 1, continues: bool = True, articulation: float = 1.0) -> SpokenFrame:
    return SpokenFrame(stream, frame, continues, articulation)


NEAR = OPEN * np.float32(1.02)


def test_a_stream_is_calmed_by_its_own_last_mouth_alone() -> None:
    shaper = MouthShaper()
    assert np.array_equal(shaped(shaper, OPEN, spoken(10))[0], OPEN)
    assert np.array_equal(shaped(shaper, NEAR, spoken(11, stream=2))[0], NEAR)
    assert not np.array_equal(shaped(shaper, NEAR, spoken(11))[0], NEAR)


@pytest.mark.parametrize(
    ("frame", "continues"), [(10, True), (9, True), (11, False), (11 + MOST_SKIPPED, True)], ids=str
)
def test_what_does_not_follow_begins_anew(frame: int, continues: bool) -> None:
    shaper = MouthShaper()
    shaped(shaper, OPEN, spoken(10))
    assert np.array_equal(shaped(shaper, NEAR, spoken(frame, continues=continues))[0], NEAR)


def test_a_batch_that_failed_gives_the_same_mouths_when_it_comes_again_in_parts() -> None:
    heard = np.stack([NEAR, OPEN, NEAR, OPEN])
    frames = [spoken(frame) for frame in range(11, 15)]
    shaper = MouthShaper()
    shaped(shaper, OPEN, spoken(10))
    whole, _ = shaper.shape(heard, frames)  # it could not be drawn: not kept
    parts = []
    for part in (slice(0, 2), slice(2, 4)):
        found, last = shaper.shape(heard[part], frames[part])
        shaper.keep(last)
        parts.append(found)
    assert np.array_equal(np.concatenate(parts), whole)


@given(st.lists(codes, min_size=1, max_size=12), st.integers(1, 11))
def test_batches_of_any_size_give_the_same_mouths(heard: list[np.ndarray], size: int) -> None:
    frames = [spoken(frame) for frame in range(len(heard))]
    whole, _ = MouthShaper().shape(np.stack(heard), frames)
    shaper, parts = MouthShaper(), []
    for start in range(0, len(heard), size):
        found, last = shaper.shape(np.stack(heard[start : start + size]), frames[start : start + size])
        shaper.keep(last)
        parts.append(found)
    assert np.array_equal(np.concatenate(parts), whole)


def test_each_mouth_of_a_batch_has_its_own_articulation() -> None:
    frames = [
        spoken(1, stream=number, articulation=amount) for number, amount in enumerate((0.5, 1.0, MOST_ARTICULATION))
    ]
    found = shaped(MouthShaper(), OPEN, *frames)
    assert np.allclose(found, OPEN * np.array([[0.5], [1.0], [1.5]], np.float32))


def test_the_streams_that_drew_least_recently_are_forgotten() -> None:
    shaper = MouthShaper()
    shaped(shaper, OPEN, *(spoken(10, stream=number) for number in range(MOST_STREAMS)))
    shaped(shaper, OPEN, spoken(11, stream=0))
    shaped(shaper, OPEN, spoken(10, stream=MOST_STREAMS))
    assert np.array_equal(shaped(shaper, NEAR, spoken(11, stream=1))[0], NEAR)
    assert not np.array_equal(shaped(shaper, NEAR, spoken(12, stream=0))[0], NEAR)


def test_a_code_with_few_channels_is_shaped_too() -> None:
    few = OPEN[:8]
    assert articulate(few[None], np.array([1.5], np.float32)).shape == (1, 8)
    assert steady(few, few, 1).shape == (8,)

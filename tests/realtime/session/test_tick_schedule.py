import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipstream.realtime.session.tick_schedule import GROUP, TICK_S, begin, next_tick, tick_of
from lipstream.realtime.timeline import BLOCKS_PER_FRAME, FRAME_RATE_HZ, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME

times = st.floats(1, 1e6)
windows = st.integers(0, 3 * SAMPLES_PER_FRAME)


def begun(count: int, now_s: float, window: int, mouths_in_time: int) -> list[float]:
    epochs: list[float] = []
    for number in range(count):
        epochs.append(begin(now_s + 0.013 * number, window, epochs, mouths_in_time))
    return epochs


@given(times)
def test_a_tick_follows_its_place_on_the_grid_within_a_tick(now_s: float) -> None:
    due_s = next_tick(now_s)
    assert now_s < due_s < now_s + 1.06 * TICK_S
    assert 0 < due_s / TICK_S - round(due_s / TICK_S) < 0.1


@given(times, windows, st.integers(1, 20))
def test_windows_of_a_new_session_end_on_the_grid(now_s: float, window: int, mouths_in_time: int) -> None:
    epoch_s = begin(now_s, window, (), mouths_in_time)
    places = (epoch_s + window / SAMPLE_RATE_HZ) / TICK_S
    assert places == pytest.approx(round(places), abs=1e-3)
    assert now_s - 1 / FRAME_RATE_HZ - TICK_S < epoch_s < now_s + 1e-6, "to what seconds are exact in binary"


@given(times, windows, st.integers(1, 20), st.integers(1, 4 * GROUP))
def test_no_tick_gets_more_than_a_group_before_every_tick_has_one(
    now_s: float, window: int, mouths_in_time: int, count: int
) -> None:
    group = min(GROUP, mouths_in_time)
    ticks = [tick_of(epoch_s, window) for epoch_s in begun(count, now_s, window, mouths_in_time)]
    assert len(set(ticks)) == min(BLOCKS_PER_FRAME, -(-count // group))
    full_rounds = -(-count // (group * BLOCKS_PER_FRAME))
    assert max(ticks.count(tick) for tick in ticks) <= group * full_rounds


def test_two_groups_have_half_a_frame_between_them_and_a_free_place_is_filled_first() -> None:
    epochs = begun(2 * GROUP, 100.0, 33, GROUP)
    ticks = [tick_of(epoch_s, 33) for epoch_s in epochs]
    assert ticks == [ticks[0]] * GROUP + [(ticks[0] + BLOCKS_PER_FRAME // 2) % BLOCKS_PER_FRAME] * GROUP
    del epochs[1]
    assert tick_of(begin(101.0, 33, epochs, GROUP), 33) == ticks[0]

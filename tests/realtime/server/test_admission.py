import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipstream.realtime.server.admission import (
    CORES_LIMIT,
    FIRST_MOUTH_PX,
    LOOP_LIMIT,
    PAINT_S_PER_PX,
    WORKER_LIMIT,
    Admission,
)
from lipstream.realtime.timeline import FRAME_RATE_HZ

seconds = st.floats(0, 0.2)


def measured(cores: int, picture_s: float, loop_s: float, mouth_s: float) -> Admission:
    admission = Admission(cores)
    for _ in range(20):
        admission.note_server(pictures=100, spoken=100, cpu_s=100 * picture_s, loop_s=100 * loop_s)
        admission.note_mouths(100, 100 * mouth_s, 100 * mouth_s)
    return admission


@given(st.integers(1, 64), seconds, seconds, seconds, st.integers(1, 4))
def test_as_many_are_admitted_as_fit_if_all_speak(
    cores: int, picture_s: float, loop_s: float, mouth_s: float, workers: int
) -> None:
    admission = measured(cores, picture_s, loop_s, mouth_s)
    admission.render_workers = workers

    def loads(count: int) -> tuple[float, float, float]:
        return (
            count * FRAME_RATE_HZ * (picture_s + mouth_s) / (CORES_LIMIT * cores),
            count * FRAME_RATE_HZ * loop_s / LOOP_LIMIT,
            count * FRAME_RATE_HZ * mouth_s / (WORKER_LIMIT * workers),
        )

    possible = admission.possible
    assert possible == 1 or max(loads(possible)) <= 1.001
    if max(picture_s, loop_s, mouth_s) > 1e-5:
        assert max(loads(possible + 1)) > 0.999, "no room is left unused"
    assert admission.admits(possible - 1)
    assert not admission.admits(possible)


@given(st.integers(1, 16), seconds, seconds, seconds, st.floats(1, 4))
def test_dearer_sessions_are_never_more(cores: int, picture_s: float, loop_s: float, mouth_s: float, by: float) -> None:
    cheap = measured(cores, picture_s, loop_s, mouth_s)
    dear = measured(cores, picture_s * by, loop_s * by, mouth_s * by)
    assert dear.possible <= cheap.possible
    assert measured(cores + 1, picture_s, loop_s, mouth_s).possible >= cheap.possible


@given(st.lists(st.tuples(st.integers(0, 50), st.floats(0, 1)), max_size=40))
def test_the_cost_stays_within_what_was_seen(batches: list[tuple[int, float]]) -> None:
    admission = Admission(2)
    before = admission.session_s
    for mouths, took_s in batches:
        admission.note_mouths(mouths, took_s, took_s)
    seen = [took_s / mouths for mouths, took_s in batches if mouths]
    change = (admission.session_s - before) / FRAME_RATE_HZ
    bounds = [each - 0.004 for each in seen] or [0.0]
    assert min(bounds) - 1e-9 <= change <= max(*bounds, 0.0) + 1e-9 if len(seen) > 1 else abs(change - bounds[0]) < 1e-9


def test_pictures_at_rest_say_nothing_of_speech() -> None:
    admission = Admission(2)
    before = admission.session_s
    admission.note_server(pictures=1000, spoken=100, cpu_s=0.1, loop_s=0.1)
    admission.note_server(pictures=0, spoken=0, cpu_s=1.0, loop_s=1.0)
    assert admission.session_s == before


def test_a_machine_that_becomes_slow_takes_fewer_and_then_more_again() -> None:
    admission = measured(2, 0.004, 0.001, 0.003)
    calm = admission.possible
    for _ in range(10):
        admission.note_mouths(50, 50 * 0.012, 50 * 0.012)
    assert admission.possible < calm / 2
    for _ in range(40):
        admission.note_mouths(50, 50 * 0.003, 50 * 0.003)
    assert admission.possible == pytest.approx(calm, abs=1)


def test_a_worker_of_many_threads_is_full_by_the_time_it_takes() -> None:
    admission = Admission(64)
    admission.note_mouths(1000, 1000 * 0.08, 1000 * 0.01)
    assert admission.possible == int(WORKER_LIMIT / (FRAME_RATE_HZ * 0.01))


@given(st.integers(1, 1000), st.floats(1e-5, 0.2))
def test_mouths_in_a_while_are_as_many_as_fit_but_one_at_least(mouths: int, took_s: float) -> None:
    admission = Admission(2)
    admission.note_mouths(mouths, mouths * took_s, mouths * took_s)
    fit = admission.mouths_in(0.01)
    assert fit >= 1
    assert fit == 1 or fit * took_s <= 0.01001
    assert (fit + 1) * took_s > 0.00999


def test_the_first_session_is_always_admitted() -> None:
    assert measured(1, 10, 10, 10).admits(0)


@given(st.integers(1, 16), seconds, st.integers(0, 30), st.floats(0, 1e6), st.floats(0, 1e6))
def test_a_larger_mouth_is_never_admitted_before_a_smaller(
    cores: int, picture_s: float, sessions: int, a_px: float, b_px: float
) -> None:
    admission = measured(cores, picture_s, picture_s / 2, picture_s)
    small, large = sorted((a_px, b_px))
    assert admission.admits(sessions, small) or not admission.admits(sessions, large)
    assert admission.admits(sessions) == admission.admits(sessions, FIRST_MOUTH_PX)
    assert admission.admits(0, large), "alone it makes no other late"


def test_a_large_face_needs_room_beside_small_ones_but_not_beside_its_like() -> None:
    admission = Admission(1)
    large_px = 1_000_000
    more_s = PAINT_S_PER_PX * (large_px - FIRST_MOUTH_PX)
    admission.note_mouths(1000, 0.001, 0.001)
    admission.note_server(pictures=1000, spoken=1000, cpu_s=4.0, loop_s=0.1, mouth_px=FIRST_MOUTH_PX)
    assert admission.possible == 8
    assert admission.admits(7)
    assert not admission.admits(7, large_px)
    assert admission.admits(4, large_px) == (5 * 0.004 + more_s < CORES_LIMIT / FRAME_RATE_HZ)
    admission.note_server(pictures=1000, spoken=1000, cpu_s=20.0, loop_s=0.1, mouth_px=large_px)
    assert admission.possible == 1
    admission.note_server(pictures=1000, spoken=1000, cpu_s=4.0, loop_s=0.1, mouth_px=large_px)
    assert admission.admits(7, large_px), "its cost is in the measurement already"

"""Runs and waits are read from the kernel's scheduler events."""

import itertools
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.schedule_picture import draw_schedule
from benchmarks.scheduling import IDLE, Span, schedule
from benchmarks.trace import _held_up_by

HEADER = ["# tracer: nop", "#", "# entries-in-buffer/entries-written: 495/495   #P:2"]


def switch(core: int, at_s: float, before: int, state: str, after: int) -> str:
    return (
        f"          python-{before}   [{core:03}] d..2. {at_s:.6f}: sched_switch: prev_comm=a b pid=1 "
        f"prev_pid={before} prev_prio=120 prev_state={state} ==> next_comm=python next_pid={after} next_prio=139"
    )


def wakeup(at_s: float, thread: int, kind: str = "sched_wakeup") -> str:
    return f"            bash-9   [001] dNh3. {at_s:.6f}: {kind}: comm=x y pid={thread} prio=120 target_cpu=001"


def test_a_woken_thread_waits_until_a_core_takes_it_and_a_displaced_one_again() -> None:
    lines = [
        *HEADER,
        switch(0, 10.1, IDLE, "R", 7),
        wakeup(10.2, 8),
        switch(0, 10.3, 7, "R+", 8),  # 7 is displaced
        wakeup(10.35, 8),  # runs already
        switch(0, 10.5, 8, "S", 7),
        switch(0, 10.6, 7, "S", IDLE),
        wakeup(10.9, 9, "sched_wakeup_new"),
    ]
    found = schedule(lines, 10.0, 11.0)
    assert found.runs == {
        0: [
            Span(IDLE, 0, 10.0, 10.1),
            Span(7, 0, 10.1, 10.3),
            Span(8, 0, 10.3, 10.5),
            Span(7, 0, 10.5, 10.6),
            Span(IDLE, 0, 10.6, 11.0),
        ]
    }
    assert found.waits == [Span(8, 0, 10.2, 10.3), Span(7, 0, 10.3, 10.5), Span(9, -1, 10.9, 11.0)]


def test_who_ran_meanwhile_is_told_by_part_and_an_idle_core_is_the_schedulers() -> None:
    lines = [
        switch(0, 10.0, IDLE, "R", 7),
        switch(1, 10.0, 5, "S", IDLE),
        wakeup(10.1, 8),
        switch(0, 10.2, 7, "S", 6),
        switch(0, 10.25, 6, "S", 8),
    ]
    found = schedule(lines, 10.0, 10.5)
    (wait,) = found.waits
    assert found.meanwhile_s(wait) == pytest.approx({7: 0.1, 6: 0.05, IDLE: 0.15})
    assert _held_up_by(wait, found, {7: "loop", 8: "worker"}) == "an idle core 150.0, loop 100.0, others 50.0"


@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, 4), st.integers(0, 4), st.sampled_from(["S", "R", "R+", "D", "Z"])),
        max_size=40,
    )
)
def test_a_core_runs_one_thread_at_a_time_from_the_beginning_to_the_end(
    switches: list[tuple[int, int, int, str]],
) -> None:
    lines = [
        switch(core, 1 + at / 100, before, state, after) for at, (core, before, after, state) in enumerate(switches)
    ]
    found = schedule(lines, 1.0, 2.0)
    for runs in found.runs.values():
        assert sum(run.seconds for run in runs) == pytest.approx(1.0)
        assert all(before.end_s == after.begin_s for before, after in itertools.pairwise(runs))
    assert all(1.0 <= wait.begin_s < wait.end_s <= 2.0 for wait in found.waits)


def test_the_picture_has_a_row_for_each_thread_and_marks_waits() -> None:
    lines = [switch(0, 10.0, IDLE, "R", 7), wakeup(10.1, 8), switch(0, 10.2, 7, "S", 8), switch(0, 10.4, 8, "S", 3)]
    drawn = ET.fromstring(
        draw_schedule(schedule(lines, 10.0, 11.0), {7: "loop", 8: "worker", 5: "clients"}, 10.0, 11.0)
    )
    texts = [element.text for element in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert [text for text in texts if text in ("loop", "worker", "clients", "others")].count("loop") == 2, "and legend"
    assert texts.count("clients") == 1, "a thread that never ran has no row"
    colours = [element.get("fill") for element in drawn.iter("{http://www.w3.org/2000/svg}rect")]
    assert colours.count("#d62728") == 2, "one wait, and the legend"

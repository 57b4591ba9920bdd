"""When a child is started again: the rule alone, and the watch over stand-ins for children."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipstream.realtime.workers import silence, supervisor
from lipstream.realtime.workers.processor_wait import processor_wait_s
from lipstream.realtime.workers.silence import HANG_S, LONGEST_S
from lipstream.realtime.workers.supervisor import RESTART_DELAYS_S, STABLE_S, WATCH_S, Fault, RestartPolicy, Supervisor

TIMES = st.floats(0, 1e6)


@given(TIMES, TIMES, st.booleans(), st.one_of(st.none(), TIMES))
def test_a_process_that_ended_is_gone_whatever_else_is_known(
    started_s: float, now_s: float, ready: bool, owes_since_s: float | None
) -> None:
    policy = RestartPolicy()
    policy.note_start(started_s)
    fault = policy.fault(now_s, alive=False, ready=ready, start_timeout_s=60, owes_since_s=owes_since_s)
    assert fault is Fault.GONE


@given(TIMES, st.floats(0, 1000), st.floats(0.1, 500))
def test_one_that_is_not_ready_hangs_after_its_time_to_start(start_s: float, after_s: float, limit_s: float) -> None:
    policy = RestartPolicy()
    policy.note_start(start_s)
    now_s = start_s + after_s
    fault = policy.fault(now_s, alive=True, ready=False, start_timeout_s=limit_s, owes_since_s=None)
    assert fault is (Fault.HANGS if now_s - start_s > limit_s else None)


def hangs_after_s(
    *, waits_share: float = 0.0, look_s: float = WATCH_S, answers: bool = False, most_s: float = 2 * LONGEST_S
) -> float | None:
    """Return the age of a request at which its child counts as hung; ``None`` if it does not in time.

    Args:
        waits_share: Share of the time for which the child waits for a processor.
        look_s: Interval between two looks.
        answers: Whether the child answers each second and owes the next answer at once.
    """
    policy, began_s, now_s = RestartPolicy(), 1000.0, 1000.0
    policy.note_start(0)
    while (age_s := now_s - began_s) < most_s:
        owes_since_s = began_s + age_s // 1 if answers else began_s
        if policy.fault(
            now_s,
            alive=True,
            ready=True,
            start_timeout_s=1,
            owes_since_s=owes_since_s,
            waited_s=7.0 + age_s * waits_share,
        ):
            return age_s
        now_s += look_s
    return None


def test_one_that_is_ready_hangs_when_it_owes_an_answer_for_long() -> None:
    assert hangs_after_s() == pytest.approx(HANG_S, abs=2 * WATCH_S)
    assert hangs_after_s(answers=True) is None


def test_one_that_owes_nothing_does_not_hang_and_its_next_silence_begins_anew() -> None:
    policy = RestartPolicy()
    policy.note_start(0)

    def fault(now_s: float, owes_since_s: float | None) -> Fault | None:
        return policy.fault(now_s, alive=True, ready=True, start_timeout_s=1, owes_since_s=owes_since_s)

    looks = [step * WATCH_S for step in range(round(0.8 * HANG_S / WATCH_S))]
    assert not any(fault(100 + after_s, 100) for after_s in looks)
    assert not any(fault(200 + after_s, None) for after_s in looks)
    assert not any(fault(300 + after_s, 300) for after_s in looks)


def test_one_that_gets_no_processor_is_starved_and_does_not_hang() -> None:
    assert hangs_after_s(waits_share=0.95, most_s=10 * HANG_S - 1) is None


def test_one_that_runs_in_a_circle_hangs_by_the_time_for_which_it_ran_and_at_last_however_little() -> None:
    assert hangs_after_s(waits_share=0.5) == pytest.approx(2 * HANG_S, abs=3 * WATCH_S)
    assert hangs_after_s(waits_share=0.99) == pytest.approx(LONGEST_S, abs=2 * WATCH_S)


def test_looks_of_a_server_that_was_late_itself_count_for_little() -> None:
    """Of each second between two looks, 0.2 count: the child's answer may lie there unread."""
    assert hangs_after_s(look_s=1.0) == pytest.approx(HANG_S / (2 * WATCH_S), abs=1.01)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells for how long a process waited")
def test_a_process_that_is_stopped_waits_for_no_processor_and_one_of_many_that_run_does() -> None:
    core = min(os.sched_getaffinity(0))
    busy = f"import os\nos.sched_setaffinity(0, {{{core}}})\nprint(flush=True)\nwhile True: pass"
    both = [subprocess.Popen([sys.executable, "-c", busy], stdout=subprocess.PIPE) for _ in range(2)]
    try:
        for process in both:
            assert process.stdout is not None
            process.stdout.readline()
        first_s = processor_wait_s(both[0].pid)
        assert first_s is not None
        while (processor_wait_s(both[0].pid) or 0.0) < first_s + 0.05:  # the two share a core
            time.sleep(0.01)
        both[0].send_signal(signal.SIGSTOP)
        os.waitpid(both[0].pid, os.WUNTRACED)
        stopped_s, other = processor_wait_s(both[0].pid), psutil.Process(both[1].pid)
        ran_s = other.cpu_times().user
        while other.cpu_times().user < ran_s + 0.1:
            time.sleep(0.01)
        assert processor_wait_s(both[0].pid) == stopped_s
    finally:
        for process in both:
            process.kill()
            process.communicate()
    assert processor_wait_s(both[0].pid) is None
    assert processor_wait_s(None) is None


@given(st.lists(st.floats(0, 2 * STABLE_S), max_size=30))
def test_delays_grow_with_failures_in_a_row_and_begin_again_after_a_stable_run(lives_s: list[float]) -> None:
    policy, now_s, in_a_row = RestartPolicy(), 0.0, 0
    for life_s in lives_s:
        policy.note_start(now_s)
        failed_s = now_s + life_s
        in_a_row = 0 if failed_s - now_s >= STABLE_S else in_a_row + 1
        assert policy.is_stable(failed_s) == (in_a_row == 0)
        delay_s = policy.next_delay_s(failed_s)
        assert delay_s == RESTART_DELAYS_S[min(in_a_row, len(RESTART_DELAYS_S) - 1)]
        now_s = failed_s + delay_s


class StandIn:
    """A child without a process.

    Attributes:
        start_errors: Raised by the next starts, one each; ``None`` for a start that works.
    """

    label, start_timeout_s = "a stand-in", 60.0

    def __init__(self) -> None:
        self.pid: int | None = None
        self.alive, self.ready = False, False
        self.owes_since_s: float | None = None
        self.wanted = True
        self.starts = self.stops = 0
        self.start_errors: list[Exception | None] = []
        self.stop_error: Exception | None = None
        self.faults: list[Fault] = []

    async def start_child(self) -> None:
        self.starts += 1
        if error := self.start_errors.pop(0) if self.start_errors else None:
            raise error
        self.alive = self.ready = True

    async def stop_child(self) -> None:
        self.stops += 1
        self.alive = self.ready = False
        error, self.stop_error = self.stop_error, None
        if error:
            raise error

    def take_fault(self, fault: Fault, *, stable: bool) -> bool:
        assert not stable
        self.faults.append(fault)
        return self.wanted


Watch = Callable[[StandIn], Supervisor]


@pytest.fixture
async def watch(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watch]:
    monkeypatch.setattr(supervisor, "WATCH_S", 0.001)
    monkeypatch.setattr(supervisor, "RESTART_DELAYS_S", (0.0,))
    begun: list[Supervisor] = []

    def begin(process: StandIn) -> Supervisor:
        begun.append(Supervisor(process))
        begun[-1].begin()
        return begun[-1]

    yield begin
    for one in begun:
        await one.end()
        await one.end()


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("error", [OSError("no processes left"), EOFError("unexpected EOF"), ValueError("anything")])
async def test_a_start_that_fails_in_any_way_is_tried_again(
    watch: Watch, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    process = StandIn()
    process.start_errors = [error, None, error, error]
    watch(process)
    await _until(lambda: process.ready)
    assert process.starts == 2
    process.alive = False
    await _until(lambda: process.starts == 5 and process.ready)
    assert process.faults == [Fault.GONE] * 4
    assert sum("cannot be started" in record.message for record in caplog.records) == 3


async def test_one_that_cannot_be_stopped_properly_is_replaced_all_the_same(
    watch: Watch, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(silence, "HANG_S", 0.01)
    process = StandIn()
    watch(process)
    await _until(lambda: process.ready)
    process.stop_error, process.owes_since_s = BufferError("in use"), asyncio.get_running_loop().time()
    await _until(lambda: process.starts == 2)
    process.owes_since_s = None
    assert process.faults[0] is Fault.HANGS
    assert any("cannot be stopped" in record.message for record in caplog.records)


async def test_one_that_is_not_wanted_any_more_is_left(watch: Watch) -> None:
    process = StandIn()
    supervising = watch(process)
    await _until(lambda: process.ready)
    process.wanted = process.alive = False
    await _until(lambda: len(process.faults) == 1)
    await asyncio.sleep(0.02)
    assert process.starts == 1
    await supervising.end()
    assert process.stops == 2


async def test_a_child_that_waits_for_its_next_start_delays_no_other(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = StandIn(), StandIn()
    for process in (first, second):
        watch(process)
    await _until(lambda: first.ready and second.ready)
    monkeypatch.setattr(supervisor, "RESTART_DELAYS_S", (3600.0,))
    first.alive = False
    await _until(lambda: first.faults == [Fault.GONE])
    monkeypatch.setattr(supervisor, "RESTART_DELAYS_S", (0.0,))
    second.alive = False
    await _until(lambda: second.starts == 2)
    assert first.starts == 1

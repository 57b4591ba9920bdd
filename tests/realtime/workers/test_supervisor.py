"""When a child is started again: the rule alone, and the watch over stand-ins for children."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipstream.realtime.workers import supervisor
from lipstream.realtime.workers.supervisor import HANG_S, RESTART_DELAYS_S, STABLE_S, Fault, RestartPolicy, Supervisor

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


@given(TIMES, st.floats(0, 10 * HANG_S))
def test_one_that_is_ready_hangs_only_while_it_owes_answers(now_s: float, silent_s: float) -> None:
    policy = RestartPolicy()
    policy.note_start(0)
    since_s = now_s - silent_s
    at_work = policy.fault(now_s, alive=True, ready=True, start_timeout_s=1, owes_since_s=since_s)
    assert at_work is (Fault.HANGS if now_s - since_s > HANG_S else None)
    assert policy.fault(now_s, alive=True, ready=True, start_timeout_s=1, owes_since_s=None) is None


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
    watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    process = StandIn()
    watch(process)
    await _until(lambda: process.ready)
    process.stop_error, process.owes_since_s = BufferError("in use"), float("-inf")
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

import asyncio
import dataclasses
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lipstream.realtime.errors import AvatarError, UnavailableError
from lipstream.realtime.packets import RenderJob
from lipstream.realtime.workers.render_client import RenderWorker
from lipstream.realtime.workers.render_pool import RenderWorkers
from lipstream.realtime.workers.render_warm_up import TRIED_BATCHES
from lipstream.realtime.workers.shared_memory import SLOTS
from tests.realtime.fakes import make_store, order_file, worker_settings

LOUD = np.zeros((80, 16), np.float32)
OnBatch = Callable[[int, float, float], None]
StartWorker = Callable[..., Coroutine[Any, Any, RenderWorker]]


@pytest.fixture
async def start_worker(tmp_path: Path) -> AsyncIterator[StartWorker]:
    workers: list[RenderWorker] = []

    async def start(
        predictor: str = "FakePredictor", on_batch: OnBatch | None = None, *, quick_start: bool = False
    ) -> RenderWorker:
        store = make_store(tmp_path, {"ann": 60, "bob": 120})
        settings = dataclasses.replace(worker_settings(store, predictor), quick_start=quick_start)
        worker = RenderWorker(settings, on_batch=on_batch)
        workers.append(worker)
        await worker.start()
        for avatar in ("ann", "bob"):
            await worker.load_avatar(avatar)
        return worker

    yield start
    for worker in workers:
        await worker.close()
        await worker.close()


async def _until(condition: Callable[[], bool], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def test_sessions_get_their_own_mouths(start_worker: StartWorker) -> None:
    worker = await start_worker()
    mouths: dict[str, dict[int, np.ndarray]] = {"ann": {}, "bob": {}}
    streams = {name: worker.open_stream(name, mouths[name].__setitem__) for name in mouths}
    for frame in range(10):
        for stream in streams.values():
            stream.submit(RenderJob(frame, frame % 20, 1.0, LOUD))
    worker.flush()
    await _until(lambda: all(len(m) == 10 for m in mouths.values()))
    shades = {name: np.mean([mouth.mean() for mouth in seen.values()]) for name, seen in mouths.items()}
    assert shades["bob"] - shades["ann"] == pytest.approx(70, abs=4), "60 of luma are 70 of BGR"
    assert worker.counts.refused == 0


async def test_each_session_has_its_own_articulation_from_the_next_mouth_on(start_worker: StartWorker) -> None:
    worker = await start_worker("SpeakingPredictor")
    mouths: dict[float, dict[int, np.ndarray]] = {0.5: {}, 1.0: {}, 1.5: {}}
    streams = {
        amount: worker.open_stream("ann", seen.__setitem__, articulation=amount) for amount, seen in mouths.items()
    }
    for stream in streams.values():
        stream.submit(RenderJob(0, 0, 1.0, LOUD))
    streams[0.5].articulation = 1.5
    streams[0.5].submit(RenderJob(1, 0, 1.0, LOUD))
    worker.flush()
    await _until(lambda: [len(seen) for seen in mouths.values()] == [2, 1, 1])
    rest = float(mouths[1.0][0].mean()) - 40
    assert [float(seen[0].mean()) - rest for seen in mouths.values()] == pytest.approx([20, 40, 60], abs=1)
    assert float(mouths[0.5][1].mean()) - rest == pytest.approx(60, abs=1)


async def test_what_mouths_cost_is_known_before_anybody_speaks(start_worker: StartWorker) -> None:
    costs: list[tuple[int, float, float]] = []
    worker = await start_worker(on_batch=lambda *cost: costs.append(cost))
    ((tried, cpu_s, took_s),) = costs
    assert tried == sum(TRIED_BATCHES)
    assert cpu_s >= 0
    assert took_s > 0
    worker.open_stream("ann", lambda *_: None).submit(RenderJob(0, 0, 1.0, LOUD))
    worker.flush()
    await _until(lambda: len(costs) == 2)
    assert costs[1][0] == 1


async def test_a_quick_start_draws_single_mouths_and_then_completes_the_predictor(start_worker: StartWorker) -> None:
    costs: list[tuple[int, float, float]] = []
    worker = await start_worker("LatePredictor", on_batch=lambda *cost: costs.append(cost), quick_start=True)
    assert costs[0][0] == len(TRIED_BATCHES), "single mouths"
    shades: list[float] = []
    stream = worker.open_stream("ann", lambda _, mouth: shades.append(float(mouth.mean())))
    while not shades or shades[-1] < 250:
        drawn = len(shades)
        stream.submit(RenderJob(drawn, 0, 1.0, LOUD))
        worker.flush()
        await _until(lambda: len(shades) > drawn)  # noqa: B023 (awaited at once)
    assert all(shade > 250 or shade < 200 for shade in shades)


async def test_a_closed_stream_hears_nothing_and_slots_come_back(start_worker: StartWorker) -> None:
    worker = await start_worker()
    heard: list[int] = []
    closed = worker.open_stream("ann", lambda frame, _: heard.append(-frame - 1))
    stream = worker.open_stream("ann", lambda frame, _: heard.append(frame))
    for frame in range(SLOTS + 10):
        (closed if frame < SLOTS - 1 else stream).submit(RenderJob(frame, 0, 1.0, LOUD))
    closed.close()
    worker.flush()
    await _until(lambda: heard == [SLOTS - 1])
    assert worker.counts.refused == 10
    for frame in range(SLOTS):
        stream.submit(RenderJob(frame, 0, 1.0, LOUD))
    worker.flush()
    await _until(lambda: len(heard) == SLOTS + 1)
    assert worker.counts.refused == 10


@pytest.mark.parametrize("fault", ["kill", "stop", "die", "hang"])
async def test_it_is_started_again(start_worker: StartWorker, fault: str, tmp_path: Path) -> None:
    order = order_file(tmp_path / "store")
    worker = await start_worker("FragilePredictor")
    heard: list[int] = []
    stream = worker.open_stream("bob", lambda frame, _: heard.append(frame))
    assert worker.pid is not None
    if fault in ("kill", "stop"):
        os.kill(worker.pid, signal.SIGKILL if fault == "kill" else signal.SIGSTOP)
    else:
        order.write_text(fault)
    stream.submit(RenderJob(1, 0, 1.0, LOUD))
    worker.flush()
    await _until(lambda: worker.counts.restarts == 1 and worker.ready)
    stream.submit(RenderJob(2, 0, 1.0, LOUD))
    worker.flush()
    await _until(lambda: 2 in heard)


async def test_a_device_short_of_memory_gets_smaller_batches_and_then_no_more_sessions(
    start_worker: StartWorker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = order_file(tmp_path / "store")
    worker = await start_worker("TightPredictor")
    heard: list[int] = []
    stream = worker.open_stream("ann", lambda frame, _: heard.append(frame))

    async def ask(first: int, count: int) -> None:
        for frame in range(first, first + count):
            stream.submit(RenderJob(frame, 0, 1.0, LOUD))
        worker.flush()
        await _until(lambda: not worker.under_way)

    order.write_text("3")
    await ask(0, 16)
    assert heard == list(range(16)), "in smaller batches, and none is lost"
    assert (worker.counts.short, worker.is_short) == (0, False)
    order.write_text("0")
    await ask(16, 4)
    assert len(heard) == 16
    assert (worker.counts.short, worker.counts.lost, worker.is_short) == (4, 4, True)
    order.write_text("")
    await ask(20, 4)
    assert heard[16:] == list(range(20, 24))
    assert worker.counts.restarts == 0
    monkeypatch.setattr("lipstream.realtime.workers.render_client.SHORT_S", 0.0)
    assert not worker.is_short


async def test_one_job_that_fails_takes_no_other_along(start_worker: StartWorker, tmp_path: Path) -> None:
    order = order_file(tmp_path / "store")
    worker = await start_worker("TightPredictor")
    heard: list[str] = []
    streams = [worker.open_stream(name, lambda *_, name=name: heard.append(name)) for name in ("ann", "bob")]
    order.write_text("bob")
    for frame in range(4):
        for stream in streams:
            stream.submit(RenderJob(frame, 0, 1.0, LOUD))
    worker.flush()
    await _until(lambda: not worker.under_way)
    assert heard == ["ann"] * 4
    assert worker.counts.lost == 4
    assert worker.counts.restarts == 0
    for frame in range(4, 24):  # nothing else any more: then it is the device
        streams[1].submit(RenderJob(frame, 0, 1.0, LOUD))
    worker.flush()
    await _until(lambda: worker.counts.restarts == 1 and worker.ready)


async def test_what_cannot_be_loaded_is_told(start_worker: StartWorker, tmp_path: Path) -> None:
    worker = await start_worker()
    with pytest.raises(AvatarError, match="no avatar 'eve'"):
        await worker.load_avatar("eve")
    with pytest.raises(AvatarError, match="no avatar 'eve'"):
        await worker.load_avatar("eve")
    failing = RenderWorker(worker_settings(make_store(tmp_path / "other", {"a": 1}), "no_such_predictor"))
    with pytest.raises(UnavailableError, match="no_such_predictor"):
        await failing.start()
    await failing.close()


async def test_of_several_workers_those_that_can_start_go_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = make_store(tmp_path, {"a": 1})
    usual, broken = (worker_settings(store, kind) for kind in ("FakePredictor", "no_such_predictor"))
    workers = RenderWorkers([dataclasses.replace(broken, device="cuda:0"), dataclasses.replace(usual, device="cuda:1")])
    await workers.start()
    assert [worker.device for worker in workers.members] == ["cuda:1"]
    assert len(workers.pids) == 1
    assert any("cuda:0 is left out" in record.message for record in caplog.records)
    await workers.close()
    none = RenderWorkers([broken, broken])
    with pytest.raises(UnavailableError, match="no_such_predictor"):
        await none.start()
    assert none.pids == []
    await none.close()


async def test_an_avatar_is_loaded_while_one_worker_is_away_which_loads_it_when_it_is_back(tmp_path: Path) -> None:
    store = make_store(tmp_path, {"ann": 60, "bob": 120})
    workers = RenderWorkers([worker_settings(store, "FakePredictor")] * 2)
    await workers.start()
    try:
        first, second = workers.members
        await workers.load_avatar("ann")
        os.kill(first.pid or 0, signal.SIGKILL)
        await _until(lambda: not first.ready)
        await workers.load_avatar("bob")
        assert workers.place() is second
        await _until(lambda: first.ready and not first.is_loading)
        heard: list[int] = []
        stream = first.open_stream("bob", lambda frame, _: heard.append(frame))
        stream.submit(RenderJob(3, 0, 1.0, LOUD))
        workers.flush()
        await _until(lambda: heard == [3])
        stream.close()
        stream.close()
        assert first.streams == 0
    finally:
        await workers.close()


async def test_a_worker_that_does_not_start_in_time_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lipstream.realtime.workers.render_client.START_TIMEOUT_S", 0.0)
    worker = RenderWorker(worker_settings(make_store(tmp_path, {"ann": 60}), "FakePredictor"))
    with pytest.raises(UnavailableError, match="did not start in time") as told:
        await worker.start()
    assert told.value.reason == "renderer"
    assert not worker.ready
    assert worker.pid is None


async def test_a_machine_that_can_start_no_process_is_asked_again(
    start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    worker = await start_worker()
    start, left = worker._child.start, [OSError("no memory")] * 2

    async def refuse(*arguments: object) -> None:
        if left:
            raise left.pop()
        await start(*arguments)

    monkeypatch.setattr(worker._child, "start", refuse)
    os.kill(worker.pid or 0, signal.SIGKILL)
    await _until(lambda: not left and worker.ready, 60)
    assert worker.counts.restarts == 3
    assert sum("cannot be started" in record.message for record in caplog.records) == 2

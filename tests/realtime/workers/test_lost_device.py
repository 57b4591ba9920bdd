"""What becomes of render workers whose card fails: real worker processes, a card that fails when it is told to."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest

from lipstream.realtime.errors import SettingsError
from lipstream.realtime.packets import RenderJob
from lipstream.realtime.workers.render_client import RenderWorker
from lipstream.realtime.workers.render_jobs import MouthStream
from lipstream.realtime.workers.render_pool import RenderWorkers
from lipstream.realtime.workers.render_worker import MOST_SHORT, WorkerSettings
from tests.realtime.fakes import make_store, order_file, worker_settings

LOUD = np.zeros((80, 16), np.float32)


async def _until(condition: Callable[[], bool], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


def _settings(root: Path, device: str = "cuda:0") -> WorkerSettings:
    settings = worker_settings(make_store(root, {"ann": 60}), "load_failing_card")
    return dataclasses.replace(settings, device=device, precision="fp16")


class _FailingCard:
    """A worker on a card, and a session of it."""

    def __init__(self, root: Path) -> None:
        self.moves = 0
        self.costs: list[int] = []
        self.worker = RenderWorker(
            _settings(root), on_batch=lambda mouths, *_: self.costs.append(mouths), on_moved=self._moved
        )
        self.order = order_file(root / "store")
        self.heard: list[int] = []
        self.stream: MouthStream | None = None

    def _moved(self) -> None:
        self.moves += 1

    async def ask(self, frame: int) -> None:
        if self.stream is None:
            self.stream = self.worker.open_stream("ann", lambda frame, _: self.heard.append(frame))
        self.stream.submit(RenderJob(frame, 0, 1.0, LOUD))
        self.worker.flush()

    async def is_drawing(self, frame: int) -> None:
        """Ask until a mouth comes."""
        async with asyncio.timeout(30):
            while frame not in self.heard:
                if self.worker.ready and not self.worker.is_loading and not self.worker.under_way:
                    await self.ask(frame)
                await asyncio.sleep(0.02)


@pytest.fixture
async def card(tmp_path: Path) -> AsyncIterator[_FailingCard]:
    card = _FailingCard(tmp_path)
    await card.worker.start()
    await card.worker.load_avatar("ann")
    yield card
    await card.worker.close()


async def test_a_fault_alone_is_got_over_by_a_new_process_on_the_same_card(card: _FailingCard) -> None:
    await card.is_drawing(0)
    card.order.write_text("lost")
    await card.ask(1)
    await _until(lambda: card.worker.counts.restarts == 1)
    await card.is_drawing(2)
    assert card.worker.device == "cuda:0"
    assert (card.moves, card.worker.counts.restarts) == (0, 1)


async def test_an_avatar_that_was_being_loaded_is_loaded_by_the_next_process(tmp_path: Path) -> None:
    card = _FailingCard(tmp_path)
    try:
        await card.worker.start()
        card.order.write_text("lost")
        async with asyncio.timeout(60):
            await card.worker.load_avatar("ann")
        assert card.worker.counts.restarts == 1
        await card.is_drawing(0)
    finally:
        await card.worker.close()


async def test_a_card_that_is_gone_gives_way_to_the_cpu_and_costs_are_learned_again(
    card: _FailingCard, caplog: pytest.LogCaptureFixture
) -> None:
    await card.is_drawing(0)
    card.order.write_text("gone")
    card.costs.clear()
    await card.ask(1)
    await card.is_drawing(2)
    assert card.worker.device == "cpu"
    assert card.moves == 1
    assert len(card.costs) >= 2, "that of the first mouths on the new device, too"
    messages = [record.message for record in caplog.records]
    assert sum("are drawn on cpu from now on" in message for message in messages) == 1
    assert sum("the driver went away" in message for message in messages) == 1


async def test_a_card_that_fails_twice_soon_after_its_start_is_left_for_good(
    card: _FailingCard, caplog: pytest.LogCaptureFixture
) -> None:
    for fault in (1, 2):
        await card.is_drawing(fault * 10)
        card.order.write_text("lost")
        await card.ask(fault)
        await _until(lambda: card.worker.counts.restarts == fault)  # noqa: B023 (awaited here)
    await card.is_drawing(3)
    assert card.worker.device == "cpu"
    assert any("cuda:0 failed 2 times in a row" in record.message for record in caplog.records)


async def test_a_card_whose_memory_never_has_room_for_one_mouth_is_left(card: _FailingCard) -> None:
    await card.is_drawing(-1)
    card.order.write_text("full")
    for frame in range(MOST_SHORT):
        await card.ask(frame)
        await _until(lambda: not card.worker.under_way)
    await _until(lambda: card.worker.counts.restarts == 1)
    assert card.worker.counts.short >= MOST_SHORT - 1
    card.order.write_text("")
    await card.is_drawing(1000)


async def test_a_card_that_is_asked_for_and_not_there_ends_the_start(tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    order_file(settings.store).write_text("gone")
    worker = RenderWorker(settings)
    with pytest.raises(SettingsError, match="asked for, but it is gone"):
        await worker.start()
    await worker.close()


async def test_where_any_device_may_be_used_the_cpu_takes_the_place_of_all_cards(tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    order_file(settings.store).write_text("gone")
    cards = [settings, dataclasses.replace(settings, device="cuda:1")]
    with pytest.raises(SettingsError):
        await RenderWorkers(cards).start()
    workers = RenderWorkers(cards, spare=settings.on_cpu())
    try:
        await workers.start()
        assert [worker.device for worker in workers.members] == ["cpu"]
    finally:
        await workers.close()


async def test_new_sessions_go_where_a_card_draws(tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    workers = RenderWorkers([settings.on_cpu(), settings])
    try:
        await workers.start()
        await workers.load_avatar("ann")
        for _ in range(3):
            workers.place().open_stream("ann", lambda *_: None)
        assert [worker.streams for worker in workers.members] == [0, 3]
        assert (workers.up, workers.on_card) == (2, 1)
    finally:
        await workers.close()

"""A call whose card goes away: real peers, a real worker process, a card that fails when it is told to."""

import pytest

from benchmarks.signals import TimelineSource
from lipstream.realtime.server import rendering as module
from lipstream.realtime.test_client.click_track import voice
from tests.loopback.conftest import Callers, Serve, until
from tests.realtime.fakes import order_file


async def test_a_call_outlives_its_card(serve: Serve, callers: Callers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "devices_of", lambda _: ("cuda",))
    sessions = await serve("load_failing_card")
    (worker,) = sessions.workers.members
    assert worker.device == "cuda"
    _, session = await callers.call(sessions)
    session.speech.source = TimelineSource(session.clock, voice)
    await until(lambda: session.playout.counts.rendered > 30, "speech")
    order_file(sessions.store.root).write_text("gone")
    await until(lambda: worker.counts.restarts and worker.ready and not worker.is_loading, "the worker on the CPU")
    assert worker.device == "cpu"
    spoken = session.playout.counts.rendered
    await until(lambda: session.playout.counts.rendered > spoken + 30, "lips")
    assert session.state == "live"
    assert sessions.unready_reason() is None

"""Two render workers, as a server with two cards has them: real peers, real worker processes."""

import os
import signal

import pytest

from benchmarks.signals import TimelineSource
from lipstream.realtime.errors import NotFoundError, UnavailableError
from lipstream.realtime.server import rendering as module
from lipstream.realtime.test_client.click_track import voice
from tests.loopback.conftest import Callers, Serve, until


@pytest.fixture(autouse=True)
def _two_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "devices_of", lambda _: ("cuda:0", "cuda:1"))  # painted mouths need no card


async def test_sessions_are_placed_where_the_fewest_are_and_each_worker_draws_for_its_own(
    serve: Serve, callers: Callers
) -> None:
    sessions = await serve()
    first, second = sessions.workers.members
    assert first.pid != second.pid
    assert [first.device, second.device] == ["cuda:0", "cuda:1"]
    await until(lambda: sessions.admission.render_workers == 2, "an admission that counts both")
    calls = [await callers.call(sessions) for _ in range(3)]
    assert [first.streams, second.streams] == [2, 1]
    for _, session in calls:
        session.speech.source = TimelineSource(session.clock, voice)
    await until(lambda: all(s.playout.counts.rendered > 30 for _, s in calls), "speech")
    assert second.counts.jobs > 30
    assert sessions.workers.counts.jobs == first.counts.jobs + second.counts.jobs
    await sessions.switch(calls[1][1].id, "bob")
    assert [first.streams, second.streams] == [2, 1], "a session that shows another avatar stays with its worker"
    for _, session in (calls[0], calls[2]):
        await sessions.delete(session.id)
    assert [first.streams, second.streams] == [0, 1]
    await callers.call(sessions)
    assert [first.streams, second.streams] == [1, 1]


async def test_a_worker_that_ends_takes_no_lips_but_its_own_and_gets_no_new_session_until_it_is_back(
    serve: Serve, callers: Callers
) -> None:
    sessions = await serve()
    first, second = sessions.workers.members
    calls = [await callers.call(sessions) for _ in range(2)]
    for _, session in calls:
        session.speech.source = TimelineSource(session.clock, voice)
    lost, kept = (session.playout.counts for _, session in calls)
    await until(lambda: min(lost.rendered, kept.rendered) > 30, "speech")
    repeated = kept.repeated
    os.kill(first.pid or 0, signal.SIGKILL)
    await until(lambda: not first.ready, "the end of the worker")
    assert sessions.workers.up == 1
    assert sessions.unready_reason() is None, "the other one takes sessions"
    assert sessions.workers.place() is second
    await until(lambda: first.ready, "the new worker")
    spoken = lost.rendered
    await until(lambda: lost.rendered > spoken + 30, "lips")
    assert kept.repeated - repeated <= 25, "the other one's pictures have their lips meanwhile"
    assert (first.counts.restarts, second.counts.restarts) == (1, 0)


async def test_a_newcomer_goes_to_the_worker_of_the_session_that_made_room(serve: Serve, callers: Callers) -> None:
    sessions = await serve(max_sessions=2)
    first, second = sessions.workers.members
    _, (caller, waits) = [await callers.call(sessions) for _ in range(2)]
    await caller.close()
    await until(lambda: waits.lost_s is not None, "its loss")
    await callers.call(sessions)
    assert sessions.count == 2
    assert [first.streams, second.streams] == [1, 1]


async def test_a_session_that_ended_while_its_new_face_was_loaded_keeps_no_place(
    serve: Serve, callers: Callers
) -> None:
    sessions = await serve()
    _, session = await callers.call(sessions)
    bob = await sessions.avatars.get("bob")
    await sessions.delete(session.id)
    with pytest.raises(NotFoundError):
        session.switch(bob)
    assert [worker.streams for worker in sessions.workers.members] == [0, 0]


async def test_without_any_worker_no_session_is_taken(serve: Serve) -> None:
    sessions = await serve()
    for worker in sessions.workers.members:
        os.kill(worker.pid or 0, signal.SIGKILL)
    await until(lambda: not sessions.workers.up, "the end of both")
    assert sessions.unready_reason() == "renderer"
    with pytest.raises(UnavailableError):
        sessions.workers.place()
    await until(lambda: sessions.workers.up == 2, "both again")

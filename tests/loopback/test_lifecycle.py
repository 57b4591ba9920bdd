"""Sessions come, wait, come back and end; what is lost or over the limit is told so, and nothing is left behind."""

import asyncio
import gc
import os
import signal
from pathlib import Path

import numpy as np
import psutil
import pytest

from benchmarks.signals import TimelineSource
from lipstream.realtime.errors import NotFoundError, OfferError, UnavailableError
from lipstream.realtime.server.admission import Admission
from lipstream.realtime.session.session import Session
from lipstream.realtime.session.speech_pipeline import first_block_samples
from lipstream.realtime.session.tick_schedule import GROUP, TICK_S
from lipstream.realtime.test_client.call_recording import decode_pictures
from lipstream.realtime.test_client.caller import Caller
from lipstream.realtime.test_client.click_track import voice
from lipstream.realtime.timeline import BLOCKS_PER_FRAME, SAMPLE_RATE_HZ
from tests.loopback.conftest import MOUTH, SHADES, Callers, Serve, until
from tests.realtime.fakes import metadata

SHARED_MEMORY = Path("/dev/shm")


async def test_one_over_the_limit_is_told_so(serve: Serve, callers: Callers) -> None:
    sessions = await serve(max_sessions=1)
    _, session = await callers.call(sessions)
    with pytest.raises(UnavailableError) as refused:
        await sessions.create("ann", await (await callers.dial()).offer())
    assert (refused.value.status, refused.value.reason) == (503, "full")
    assert sessions.unready_reason() == "full"
    sent = session.playout.counts.idle
    await until(lambda: session.playout.counts.idle > sent + 5, "pictures of the one that is there")


async def test_sessions_begin_on_the_grid_and_full_collections_skip_what_was_imported(serve: Serve) -> None:
    sessions = await serve(max_sessions=5)
    for _ in range(5):
        session, _ = await sessions.create("ann", None)
        place = (session.clock.epoch_s + first_block_samples(metadata().look_ahead_samples) / SAMPLE_RATE_HZ) / TICK_S
        assert place == pytest.approx(round(place), abs=1e-6)
        await asyncio.sleep(0.003)
    assert gc.get_freeze_count() > 0
    await sessions.close()
    assert gc.get_freeze_count() == 0


async def test_frames_are_decided_in_groups_so_that_their_mouths_make_one_batch(serve: Serve) -> None:
    sessions = await serve(max_sessions=2 * GROUP)
    sessions.admission = _costing(0.001)
    begun = [(await sessions.create("ann", None))[0] for _ in range(2 * GROUP)]
    first, second = ({session.decides_at for session in half} for half in (begun[:GROUP], begun[GROUP:]))
    assert len(first) == len(second) == 1
    assert abs(first.pop() - second.pop()) == BLOCKS_PER_FRAME // 2, "half a frame between two groups"
    await sessions.delete(begun[1].id)
    again, _ = await sessions.create("ann", None)
    assert again.decides_at == begun[0].decides_at, "a place that has become free is filled first"


@pytest.mark.parametrize(("mouth_s", "ticks"), [(0.0045, 2), (0.009, 4)])  # two or one in half of the time there is
async def test_costly_mouths_are_spread_over_the_ticks_of_a_frame(serve: Serve, mouth_s: float, ticks: int) -> None:
    sessions = await serve(max_sessions=BLOCKS_PER_FRAME)
    sessions.admission = _costing(mouth_s)
    begun = [(await sessions.create("ann", None))[0] for _ in range(BLOCKS_PER_FRAME)]
    assert len({session.decides_at for session in begun}) == ticks


def _costing(mouth_s: float) -> Admission:
    """Return an admission that has room for the test's sessions on any machine."""
    admission = Admission(64)
    admission.note_mouths(1000, 1000 * mouth_s, 1000 * mouth_s)
    return admission


async def test_a_refused_offer_leaves_no_session(serve: Serve) -> None:
    sessions = await serve(max_sessions=1)
    for offer in ("", "v=0\r\n", "nonsense", "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\n"):
        with pytest.raises(OfferError):
            await sessions.create("ann", offer)
    with pytest.raises(NotFoundError):
        await sessions.create("eve", None)
    assert sessions.count == 0
    assert sessions.unready_reason() is None


async def test_an_offer_that_never_connects_is_freed_with_its_session(serve: Serve, callers: Callers) -> None:
    sessions = await serve(connect_s=0.5)
    udp = _udp_sockets()
    session, _ = await sessions.create("ann", await (await callers.dial()).offer())
    assert sessions.count == 1
    await until(lambda: sessions.count == 0, "the session's end")
    with pytest.raises(NotFoundError):
        sessions.get(session.id)
    await callers.hang_up()
    await until(lambda: _udp_sockets() == udp, "the sockets' end")


async def test_a_session_without_an_offer_is_freed(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lipstream.realtime.server.sessions.UNCLAIMED_S", 0.2)
    sessions = await serve()
    await sessions.create("ann", None)
    await until(lambda: sessions.count == 0, "the session's end")


async def test_a_lost_peers_session_waits_and_its_owner_comes_back(serve: Serve, callers: Callers) -> None:
    sessions = await serve(silence_s=1.0)
    caller, session = await callers.call(sessions)
    clock = session.clock
    for lose in (Caller.close, Caller.vanish):
        await lose(caller)
        await until(lambda: session.state == "waiting", "notice")
        sent = session.playout.counts.idle
        await asyncio.sleep(0.3)
        assert session.playout.counts.idle <= sent + 1, "there is no client to see a picture"
        assert sessions.live == 0
        assert sessions.get(session.id) is session
        caller = await callers.call_back(session)
        assert session.clock is clock
        spoken = session.playout.counts.rendered
        session.speech.source = TimelineSource(clock, voice)
        await until(lambda: session.playout.counts.rendered > spoken + 10, "speech after the return")  # noqa: B023 (awaited here)


async def test_a_new_offer_takes_the_place_of_the_old_one(serve: Serve, callers: Callers) -> None:
    sessions = await serve()
    first, session = await callers.call(sessions)
    await callers.call_back(session)
    await until(lambda: not first.connected, "the first one's end")
    assert session.state == "live"
    with pytest.raises(OfferError):
        await session.answer("nonsense")
    assert session.state == "live", "a bad offer changes nothing"


async def test_the_oldest_waiting_session_yields(serve: Serve, callers: Callers) -> None:
    sessions = await serve(max_sessions=2)
    calls = [await callers.call(sessions) for _ in range(2)]
    waiting = [session for _, session in calls]
    for caller, session in reversed(calls):
        await caller.close()
        await until(lambda: session.lost_s is not None, "notice")  # noqa: B023 (awaited here)
    assert sessions.unready_reason() is None
    await callers.call(sessions)
    assert sessions.get(waiting[0].id) is waiting[0]
    with pytest.raises(NotFoundError):
        sessions.get(waiting[1].id)
    assert sessions.count == 2


async def test_a_caller_who_is_lost_before_the_next_tick_is_waited_for(
    serve: Serve, callers: Callers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Session, "tick", lambda *_: None)
    sessions = await serve()
    caller = await callers.dial()
    session, answer = await sessions.create("ann", await caller.offer())
    await caller.accept(answer or "")
    await until(lambda: session.state == "live", "connection")
    await caller.close()
    await until(lambda: session.state == "waiting", "its loss")
    assert sessions.get(session.id) is session
    assert session.lost_s is not None


async def test_nobody_is_waited_for_for_ever(serve: Serve, callers: Callers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lipstream.realtime.server.sessions.WAITING_S", 0.2)
    sessions = await serve()
    caller, _ = await callers.call(sessions)
    await caller.close()
    await until(lambda: sessions.count == 0, "the session's end")


async def test_closing_leaves_nothing_behind(serve: Serve, callers: Callers) -> None:
    left: list[tuple[int, int]] = []
    for _ in range(2):  # what the first start leaves on purpose (the resource tracker) is there before the second ends
        sessions = await serve()
        _, session = await callers.call(sessions, sound=voice(0, 48000))
        await until(lambda: session.playout.counts.rendered > 10, "speech")  # noqa: B023 (awaited here)
        worker, memory = sessions.workers.pids[0], sessions.workers.members[0]._jobs.memory
        assert memory is not None
        assert (SHARED_MEMORY / memory.name).exists()
        name = memory.name
        await sessions.close()
        await callers.hang_up()
        assert not (SHARED_MEMORY / name).exists()
        assert not psutil.pid_exists(worker or 0)
        left.append((_udp_sockets(), _sockets_and_pipes()))
    assert left[0] == left[1]
    assert left[1][0] == 0


async def test_a_killed_worker_takes_no_session_along(
    serve: Serve, callers: Callers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lipstream.realtime.workers.supervisor.RESTART_DELAYS_S", (0.2,))  # long enough to be seen
    sessions = await serve()
    calls = [await callers.call(sessions, avatar) for avatar in SHADES]
    for _, session in calls:
        session.speech.source = TimelineSource(session.clock, voice)
    await until(lambda: all(s.playout.counts.rendered > 20 for _, s in calls), "speech")
    spoken = [session.playout.counts.rendered for _, session in calls]
    os.kill(sessions.workers.pids[0], signal.SIGKILL)
    await until(lambda: sessions.unready_reason() == "renderer", "report that no worker draws")
    await until(lambda: sessions.workers.counts.restarts == 1, "the new worker")
    await until(
        lambda: all(s.playout.counts.rendered > n + 30 for n, (_, s) in zip(spoken, calls, strict=True)), "lips"
    )
    assert [session.state for _, session in calls] == ["live", "live"]
    await callers.hang_up()
    for (caller, session), shade in zip(calls, SHADES.values(), strict=True):
        pictures = list(decode_pictures(caller.recording.picture))
        assert len(pictures) > 10, "pictures went on"
        mouths = np.array([picture.luma[MOUTH].mean() - shade for picture in pictures])
        assert mouths.min() > -6, "no mouth of an ended session"
        repeated = session.playout.counts.repeated
        assert repeated > 2
        shut = np.flatnonzero(mouths < 6)
        assert np.any(np.diff(shut) == 1), "at rest meanwhile"


async def test_too_many_sessions_make_a_slow_worker_refuse_not_restart(serve: Serve, callers: Callers) -> None:
    sessions = await serve("tests.loopback.slow:SlowPredictor")
    calls = [await callers.call(sessions) for _ in range(3)]
    for _, session in calls:
        session.speech.source = TimelineSource(session.clock, voice)
    jobs = sessions.workers.counts.jobs
    await until(lambda: sessions.workers.counts.jobs > jobs + 300, "jobs")
    assert sessions.workers.counts.restarts == 0
    assert sessions.workers.counts.refused > 0
    assert [session.state for _, session in calls] == ["live"] * 3


def _udp_sockets() -> int:
    return len(psutil.Process().net_connections("udp"))


def _sockets_and_pipes() -> int:
    links = [str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return sum(link.startswith(("socket:", "pipe:", "anon_inode:")) for link in links)

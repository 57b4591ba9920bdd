"""A fault of one part leaves the others working: real peers, a real worker process, and injected faults."""

import asyncio
import json
import logging
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.signals import TimelineSource
from lipstream.realtime.errors import AvatarError, NotFoundError
from lipstream.realtime.server.sessions import Sessions
from lipstream.realtime.session.session import Session
from lipstream.realtime.settings import Settings
from lipstream.realtime.test_client.call_recording import decode_pictures
from lipstream.realtime.test_client.click_track import voice
from lipstream.realtime.timeline import FRAME_RATE_HZ
from tests.loopback.conftest import MOUTH, SHADES, Callers, Serve, until
from tests.realtime.rtc.loopback import Client


def mouths(caller: Any, shade: int) -> np.ndarray:
    """Return how open the mouth is in each picture, by its frame on the sender's time; a frame lost is as the last."""
    pictures = list(decode_pictures(caller.recording.picture))
    frames = np.array([(p.timestamp - pictures[0].timestamp) % (1 << 32) // 3600 for p in pictures])
    seen = np.array([p.luma[MOUTH].mean() - shade for p in pictures])
    return seen[np.searchsorted(frames, np.arange(frames[-1] + 1), side="right") - 1]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_worker_that_is_killed_or_hangs_is_replaced_while_everybody_looks_on(
    serve: Serve, callers: Callers, how: signal.Signals
) -> None:
    sessions = await serve()
    calls = [await callers.call(sessions, avatar) for avatar in SHADES]
    for _, session in calls:
        session.speech.source = TimelineSource(session.clock, voice)
    await until(lambda: all(s.playout.counts.rendered > 30 for _, s in calls), "speech")
    os.kill(sessions.workers.pids[0], how)
    spoken = [s.playout.counts.rendered for _, s in calls]
    await until(lambda: sessions.workers.counts.restarts == 1, "the new worker")
    await until(
        lambda: all(s.playout.counts.rendered > n + 40 for n, (_, s) in zip(spoken, calls, strict=True)), "lips"
    )
    assert [s.state for _, s in calls] == ["live", "live"]
    await callers.hang_up()
    for (caller, _), shade in zip(calls, SHADES.values(), strict=True):
        opened = mouths(caller, shade) > 30
        rest = np.flatnonzero(~opened & (np.cumsum(opened) > 20))  # after it had spoken
        runs = np.split(rest, np.flatnonzero(np.diff(rest) > 1) + 1)
        pause = max(runs, key=len)
        print(f"{how.name}: lips at rest for {len(pause) / FRAME_RATE_HZ:.2f} s")
        assert len(pause) > 5


def _pictures(session: Session) -> int:
    counts = session.playout.counts
    return counts.rendered + counts.repeated + counts.idle + counts.dropped


async def test_a_worker_that_is_killed_loads_the_built_in_network_again_in_time(
    server_store: Path, callers: Callers
) -> None:
    sessions = Sessions(Settings(store=server_store, picture_workers=0))
    try:
        await sessions.start()
        avatar = min(manifest.id for manifest in sessions.store.list())
        calls = [(await callers.call(sessions, avatar))[1] for _ in range(2)]
        for session in calls:
            session.speech.source = TimelineSource(session.clock, voice)
        await until(lambda: all(s.playout.counts.rendered > 30 for s in calls), "speech")
        os.kill(sessions.workers.pids[0], signal.SIGKILL)
        killed = [_pictures(session) for session in calls]
        rested: dict[str, int] = {}
        for session in calls:
            await until(lambda: session.playout._spoken == 0, "rest")  # noqa: B023 (awaited here)
            rested[session.id] = _pictures(session)
        await until(lambda: sessions.workers.counts.restarts == 1 and sessions.workers.up, "the new worker")
        spoken = [session.playout.counts.rendered for session in calls]
        await until(lambda: all(s.playout.counts.rendered > n for s, n in zip(calls, spoken, strict=True)), "lips")
        assert [session.state for session in calls] == ["live", "live"]
        for session, at in zip(calls, killed, strict=True):
            rest_s, back_s = ((count - at) / FRAME_RATE_HZ for count in (rested[session.id], _pictures(session)))
            print(f"built-in network: mouth at rest after {rest_s:.2f} s, lips back after {back_s:.2f} s")
            assert rest_s < back_s
    finally:
        await sessions.close()


def _score(pid: int) -> int:
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


async def test_a_picture_worker_that_is_killed_costs_a_picture(serve: Serve, callers: Callers) -> None:
    sessions = await serve(picture_workers=1)
    caller, session = await callers.call(sessions)
    encoded = session.broadcast.encoded
    await until(lambda: sum(encoded.values()) > 60 and sessions.pictures.seconds, "pictures of the worker")
    ended_first = [_score(pid) for pid in (sessions.pictures.pids[0], sessions.workers.pids[0])]
    assert min(ended_first) > _score(os.getpid()), "when memory runs out, a worker goes before the server"
    os.kill(sessions.pictures.pids[0], signal.SIGKILL)
    await until(lambda: sessions.pictures.restarts == 1 and sessions.pictures.up, "another worker")
    seconds, keys = sessions.pictures.seconds, sum(session.broadcast.key_frames.values())
    await until(lambda: sessions.pictures.seconds > seconds, "pictures of the other worker")
    codec = session.broadcast.codecs[0]
    made = encoded[codec]
    await until(lambda: encoded[codec] > made + 25, "pictures")
    assert session.state == "live"
    made = encoded[codec]
    await callers.hang_up()
    assert keys >= 2
    assert len(list(decode_pictures(caller.recording.picture))) > made - 25, "all but the first can be decoded"


async def test_an_avatar_whose_preparation_dies_is_left_out_and_calls_go_on(serve: Serve, callers: Callers) -> None:
    sessions = await serve("FaintingPredictor")
    _, session = await callers.call(sessions)
    with pytest.raises(AvatarError, match="'bob' could not be prepared: its process ended"):
        await sessions.create("bob", None)
    assert [sessions.avatars.state(avatar) for avatar in SHADES] == ["ready", "failed"]
    session.speech.source = TimelineSource(session.clock, voice)
    await until(lambda: session.playout.counts.rendered > 10, "speech")
    assert sessions.workers.counts.restarts == 0


async def test_a_worker_that_stands_still_for_300_ms_leaves_sound_and_lips_together(
    serve: Serve, callers: Callers
) -> None:
    sessions = await serve()
    _, session = await callers.call(sessions)
    session.speech.source = TimelineSource(session.clock, voice)
    counts = session.playout.counts
    await until(lambda: counts.rendered > 30, "speech")
    pid, repeated = sessions.workers.pids[0], counts.repeated
    os.kill(pid, signal.SIGSTOP)
    await until(lambda: counts.repeated >= repeated + 7, "0.3 s without mouths")
    os.kill(pid, signal.SIGCONT)
    resumed, at = counts.rendered, _pictures(session)
    await until(lambda: counts.rendered > resumed + 5, "lips")
    after = _pictures(session) - at
    offsets = list(session.playout.av_offset_ms)[-5:]
    print(f"lips after {after / FRAME_RATE_HZ:.2f} s; A/V {min(offsets):.1f}..{max(offsets):.1f} ms")
    assert -60 < min(offsets) <= max(offsets) < 40
    assert sessions.workers.counts.restarts == 0


def _break_tick(session: Session) -> None:
    def fail(*_: object) -> None:
        raise ValueError("the words of somebody")

    session.speech._animator.push = fail  # type: ignore[method-assign, assignment]


def _break_picture(session: Session) -> None:
    def fail(*_: object) -> Any:
        raise ValueError("the words of somebody")

    session.playout.compositor.compose = fail  # type: ignore[method-assign, assignment]


def _break_mouth(session: Session) -> None:
    def fail(*_: object) -> None:
        raise ValueError("the words of somebody")

    session.mouths._on_mouth = fail


def _break_microphone(session: Session) -> None:
    def fail(*_: object) -> None:
        raise ValueError("the words of somebody")

    session.speech.microphone.push = fail  # type: ignore[method-assign, assignment]


async def test_a_fault_ends_its_own_session_which_is_told_and_no_other(
    serve: Serve, callers: Callers, caplog: pytest.LogCaptureFixture
) -> None:
    sessions = await serve()
    _, other = await callers.call(sessions, "bob")
    for number, broken in enumerate((_break_tick, _break_picture, _break_mouth, _break_microphone), 1):
        caplog.clear()
        await _broken(sessions, broken, other, caplog)
        assert _ended(sessions, "failed") == number
        assert sessions.unready_reason() is None


def _ended(sessions: Sessions, why: str) -> float:
    (family,) = sessions.meters.sessions_ended.collect()
    return next(s.value for s in family.samples if s.name.endswith("_total") and s.labels["why"] == why)


async def _broken(
    sessions: Sessions, broken: Callable[[Session], None], other: Session, caplog: pytest.LogCaptureFixture
) -> None:
    client = Client()
    try:
        session, answer = await sessions.create("ann", await client.offer())
        assert answer is not None
        await client.accept(answer)
        await until(lambda: session.state == "live" and client.channel.readyState == "open", "connection")
        if broken is not _break_microphone:
            session.speech.source = TimelineSource(session.clock, voice)
        underruns = other.playout.counts.underruns
        begun_s = time.monotonic()
        with caplog.at_level(logging.ERROR):
            broken(session)
            await until(lambda: sessions.count == 1, "its end")
            noticed_s = time.monotonic() - begun_s
            await until(lambda: client.pc.connectionState == "closed", "the client's notice")
        messages = [json.loads(message) for message in client.messages]
        assert [m["code"] for m in messages if m["type"] == "error"] == ["session_failed"]
        assert all("ValueError" not in str(m) and "somebody" not in str(m) for m in messages)
        missing = other.playout.counts.underruns - underruns
        print(f"{broken.__name__}: noticed after {noticed_s:.2f} s; {missing} packets of the other missing")
        with pytest.raises(NotFoundError):
            sessions.get(session.id)
        assert sum("ends by a fault" in record.message for record in caplog.records) == 1
        left = other.playout.counts.idle
        await until(lambda: other.playout.counts.idle > left + 10, "pictures of the other")
        assert other.state == "live"
    finally:
        await client.close()


async def test_a_step_of_the_wall_clock_changes_nothing(
    serve: Serve, callers: Callers, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = await serve(silence_s=2.0)
    caller, session = await callers.call(sessions)
    session.speech.source = TimelineSource(session.clock, voice)
    counts = session.playout.counts
    await until(lambda: counts.rendered > 30, "speech")
    wall = time.time
    for step_s in (3600.0, -3600.0):
        monkeypatch.setattr(time, "time", lambda step_s=step_s: wall() + step_s)
        spoken = counts.rendered
        await until(lambda: counts.rendered > spoken + 60, "speech after the step")  # noqa: B023 (awaited here)
        assert session.state == "live"
        second, answer = await sessions.create("bob", await (late := await callers.dial()).offer())
        assert answer is not None
        await callers.connect(late, second, answer)
        await sessions.delete(second.id)
    monkeypatch.undo()
    await callers.hang_up()
    stream = caller.recording.picture
    pictures = np.array([p.timestamp for p in stream.packets if p.marker])
    steps = np.diff(pictures) % (1 << 32) // 3600
    assert (steps >= 1).all()
    assert steps.max() < 60 * FRAME_RATE_HZ, "no picture is an hour off"
    reports = np.array([(stamp / stream.rate, ntp_s) for stamp, ntp_s in stream.reports])
    drift = (reports[:, 1] - reports[:, 0]) - (reports[0, 1] - reports[0, 0])
    assert len(reports) > 3
    assert np.abs(drift).max() < 0.002, "the reports stay on one line"
    offsets = list(session.playout.av_offset_ms)
    assert np.abs(offsets).max() < 60_000, "no picture is an hour off"


async def test_clients_are_told_that_the_server_drains(serve: Serve) -> None:
    sessions = await serve()
    client = Client()
    try:
        session, answer = await sessions.create("ann", await client.offer())
        assert answer is not None
        await client.accept(answer)
        await until(lambda: session.state == "live" and client.channel.readyState == "open", "connection")
        sessions.drain()
        sessions.announce_drain(7.0)
        await until(lambda: client.messages, "the message")
        assert {"type": "draining", "seconds": 7.0} in [json.loads(message) for message in client.messages]
        assert session.state == "draining"
        left = session.playout.counts.idle
        await until(lambda: session.playout.counts.idle > left + 10, "pictures")
    finally:
        await client.close()
        await asyncio.sleep(0)

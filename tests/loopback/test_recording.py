"""Sessions as files: what is recorded, when it ends, and what a killed server leaves behind."""

import asyncio
import json
import math
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest

from benchmarks.signals import TimelineSource
from lipstream.realtime.api.app import create_app
from lipstream.realtime.errors import UnavailableError
from lipstream.realtime.picture.watermark import draw_mark
from lipstream.realtime.server.sessions import Sessions
from lipstream.realtime.session.session import Session
from lipstream.realtime.sinks import recording as recording_module
from lipstream.realtime.sinks import sink as sink_module
from lipstream.realtime.test_client.click_track import clicks
from lipstream.realtime.timeline import FRAME_RATE_HZ, SOUND_RATE_HZ
from tests.loopback.conftest import Callers, Serve, until
from tests.loopback.played import check_sync, decoded
from tests.server_process import ServerProcess


def record(sessions: Sessions, session: Session) -> Any:
    return session.sinks.record(sessions.store.root / "recordings", {"comment": "Made by AI"}, session.avatar_id)


def transcript(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_a_session_that_nobody_calls_is_recorded_in_sync(serve: Serve) -> None:
    sessions = await serve("FlashPredictor")
    session, _ = await sessions.create("ann", None)
    session.speech.source = TimelineSource(session.clock, clicks)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(create_app(sessions)), base_url="http://127.0.0.1:8080"
    ) as client:
        url = f"/api/sessions/{session.id}/recording"
        assert (await client.get(url)).status_code == 404
        begun = await client.post(url)
        assert begun.status_code == 201
        assert (await client.post(url)).status_code == 409
        assert (await client.get(f"/api/sessions/{session.id}")).json()["recorded"]
        recording = session.sinks.recording
        await until(lambda: recording.stats()["seconds"] >= 2, "two seconds")
        time.sleep(0.5)  # noqa: ASYNC251 (the whole server stands still)
        await until(lambda: recording.stats()["seconds"] >= 9, "seven more")
        ended = (await client.delete(url)).json()
        assert ended["state"] == "ended"
        assert (await client.get(url)).json() == ended
        assert (await client.delete(url)).status_code == 404
    path = sessions.store.root / "recordings" / begun.json()["file"]
    assert path.name.startswith(session.id)
    assert path.stat().st_mode & 0o077 == 0
    assert path.stat().st_size == ended["bytes"]

    heard, pictures, keys, facts = decoded(str(path))
    assert "Ann" in facts["comment"]
    assert "AIGC" in facts
    assert [round(p.media_s * FRAME_RATE_HZ, 3) for p in pictures] == list(range(len(pictures)))
    assert len(pictures) == round(ended["seconds"] * FRAME_RATE_HZ)
    assert {n for n, key in enumerate(keys) if key} == set(range(0, len(keys), 2 * FRAME_RATE_HZ))
    assert ended["repeated_pictures"] >= 8, "the stall is filled in"
    assert heard.samples.size / SOUND_RATE_HZ == pytest.approx(len(pictures) / FRAME_RATE_HZ, abs=0.1)
    check_sync(heard, pictures, at_least=3, what="recorded")
    mark = draw_mark(sessions.settings.mark, 128, 128)
    assert pictures[0].luma[mark.rows, mark.columns].max() > 180

    lines = transcript(path.with_suffix(".jsonl"))
    assert (lines[0]["type"], lines[-1]["type"]) == ("recording_started", "recording_ended")
    await until(lambda: not session.sinks.running, "its end")


async def test_a_transcript_tells_what_happened_when_but_not_what_was_said(serve: Serve) -> None:
    sessions = await serve()
    session, _ = await sessions.create("ann", None)
    recording = record(sessions, session)
    await until(lambda: recording.stats()["seconds"] >= 0.5, "half a second")
    session.tell({"type": "caption", "sample": 16_000, "text": "a secret"})
    sample = session.speech.interrupt()
    session.fail("a fault")
    await until(lambda: session.closed and not recording.running, "the end")
    lines = transcript(recording.transcript)
    assert "secret" not in recording.transcript.read_text()
    assert [line["type"] for line in lines] == [
        "recording_started", "caption", "interrupted", "error", "recording_ended"]  # fmt: skip
    interrupted = lines[2]
    assert interrupted["sample"] == sample
    assert 0 < interrupted["at_s"] <= recording.stats()["seconds"] + 0.5
    assert lines[3]["code"] == "session_failed"
    assert recording.stats()["state"] == "ended"
    assert decoded(str(recording.path))[1]


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_full_disk_ends_the_recording_and_nothing_else(
    serve: Serve, callers: Callers, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = await serve()
    caller, session = await callers.call(sessions)
    events: list[Any] = []
    session.listeners.add(events.append)
    recording = record(sessions, session)
    await until(lambda: recording.stats()["bytes"] > 0, "the first fragment")
    with largest_file(recording.stats()["bytes"] + 1000):
        await until(lambda: not recording.running, "the end")
    figures = recording.stats()
    assert (figures["state"], figures["reason"]) == ("failed", "disk_full")
    told = [event for event in events if event["type"] == "recording_ended"]
    assert [event["reason"] for event in told] == ["disk_full"]
    assert transcript(recording.transcript)[-1]["reason"] == "disk_full"
    assert len(decoded(str(recording.path))[1]) >= 2 * FRAME_RATE_HZ, "what fitted can be played"
    packets = len(caller.recording.picture.packets)
    await until(lambda: len(caller.recording.picture.packets) > packets + 25, "pictures")
    assert session.state == "live"
    monkeypatch.setattr(recording_module, "RESERVE_BYTES", 1 << 60)
    with pytest.raises(UnavailableError, match="No space left"):
        record(sessions, session)
    session.listeners.clear()


async def test_a_session_is_recorded_twice_within_a_second(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "strftime", lambda *_: "20300101T000000Z")
    sessions = await serve()
    session, _ = await sessions.create("ann", None)
    names = []
    for _ in range(3):
        recording = record(sessions, session)
        names.append(recording.path.name)
        assert recording.transcript.stem == recording.path.stem
        await session.sinks.stop_recording()
    assert names == [f"{session.id}-20300101T000000Z{suffix}.mp4" for suffix in ("", "-2", "-3")]


@pytest.mark.parametrize("refused", [".mp4", ".jsonl"])
async def test_a_recording_that_cannot_begin_leaves_neither_file_nor_descriptor(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    sessions = await serve()
    session, _ = await sessions.create("ann", None)
    create, before = recording_module._create, psutil.Process().num_fds()

    def refuse(path: Path) -> int:
        if path.suffix == refused:
            raise PermissionError(13, "Permission denied")
        return create(path)

    monkeypatch.setattr(recording_module, "_create", refuse)
    with pytest.raises(UnavailableError, match="cannot be written: Permission denied"):
        record(sessions, session)
    assert list((sessions.store.root / "recordings").iterdir()) == []
    assert psutil.Process().num_fds() == before


async def test_a_disk_that_hangs_delays_nobody(serve: Serve, callers: Callers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sink_module.Sink, "most_units", 30)
    sessions = await serve()
    caller, session = await callers.call(sessions)
    recording = record(sessions, session)
    await until(lambda: recording.stats()["seconds"] > 0, "its beginning")
    disk = recording._file._file

    hangs, goes_on = threading.Event(), threading.Event()

    class Slow:
        def write(self, data: memoryview) -> int:
            hangs.set()
            goes_on.wait()
            return int(disk.write(data))

    recording._file._file = Slow()
    try:
        await until(hangs.is_set, "a write that hangs")
        packets = len(caller.recording.picture.packets)
        await until(lambda: recording.stats()["lost_units"] > 20, "lost units")
        await until(lambda: len(caller.recording.picture.packets) > packets + 25, "pictures meanwhile")
        assert recording._queue.qsize() <= 30
        recording._file._file = disk
    finally:
        goes_on.set()
    await until(lambda: recording.stats()["repeated_pictures"] > 0, "what was lost is filled in")


async def test_another_avatar_is_fitted_into_the_size_that_was_begun_with(serve: Serve) -> None:
    sessions = await serve()
    session, _ = await sessions.create("ann", None)
    recording = record(sessions, session)
    await until(lambda: recording.stats()["seconds"] >= 0.2, "its beginning")
    compositor = session.playout.compositor

    class Wider:
        def compose(self, *_: Any) -> np.ndarray:
            return np.full((96 * 3 // 2, 192), 128, np.uint8)

    session.playout.compositor = Wider()  # type: ignore[assignment]
    shown = recording.stats()["seconds"]
    await until(lambda: recording.stats()["seconds"] >= shown + 0.5, "its pictures")
    session.playout.compositor = compositor
    await sessions.delete(session.id)
    last = decoded(str(recording.path))[1][-5].luma
    assert last.shape == (128, 128)
    assert last[:20].mean() < 30
    assert last[40:88].mean() == pytest.approx(128, abs=4)


def test_a_killed_server_leaves_a_file_that_plays(start_server: Callable[..., ServerProcess]) -> None:
    server = start_server()
    session = server.post("/api/sessions", {})
    url = f"{session['urls']['self']}/recording"
    begun = server.post(url, {})
    deadline = time.monotonic() + 60
    while (seconds := server.get(url)["seconds"]) < 5:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    server.stop(signal.SIGKILL)
    _, pictures, _, facts = decoded(str(server.store / "recordings" / begun["file"]))
    assert len(pictures) >= (seconds - 2.2) * FRAME_RATE_HZ
    assert "comment" in facts
    assert transcript(server.store / "recordings" / begun["transcript"])[0]["type"] == "recording_started"


async def test_stored_recordings_are_listed_fetched_in_parts_and_deleted(serve: Serve) -> None:
    sessions = await serve()
    session, _ = await sessions.create("ann", None)
    app = create_app(sessions)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8080") as client:
        assert (await client.get("/api/recordings")).json() == {"count": 0, "bytes": 0, "recordings": []}
        route = f"/api/sessions/{session.id}/recording"
        first = (await client.post(route)).json()
        recording = session.sinks.recording
        await until(lambda: recording.stats()["seconds"] >= 2, "two seconds")
        name = first["file"].removesuffix(".mp4")
        (running,) = (await client.get("/api/recordings")).json()["recordings"]
        assert (running["name"], running["running"]) == (name, True)
        for method, path in (("GET", f"{name}.mp4"), ("GET", f"{name}.jsonl"), ("DELETE", name)):
            assert (await client.request(method, f"/api/recordings/{path}")).status_code == 409
        await client.delete(route)
        second = (await client.post(route)).json()  # perhaps within the same second
        assert second["file"] != first["file"]
        await client.delete(route)

        whole = (sessions.store.root / "recordings" / first["file"]).read_bytes()
        answer = await client.get(f"/api/recordings/{first['file']}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "video/mp4")
        assert answer.content == whole
        part = await client.get(f"/api/recordings/{first['file']}", headers={"Range": "bytes=100-299"})
        assert (part.status_code, part.content) == (206, whole[100:300])
        assert part.headers["content-range"] == f"bytes 100-299/{len(whole)}"
        beyond = await client.get(f"/api/recordings/{first['file']}", headers={"Range": f"bytes={len(whole)}-"})
        assert beyond.status_code == 416
        lines = await client.get(f"/api/recordings/{first['transcript']}")
        assert json.loads(lines.text.splitlines()[0])["type"] == "recording_started"

        listed = (await client.get("/api/recordings", params={"limit": 1, "offset": 1})).json()
        assert (listed["count"], len(listed["recordings"])) == (2, 1)
        assert (await client.get("/api/recordings", params={"limit": 1001})).status_code == 400
        assert (await client.delete(f"/api/recordings/{name}")).status_code == 204
        assert (await client.delete(f"/api/recordings/{name}")).status_code == 404
        assert (await client.get(f"/api/recordings/{first['transcript']}")).status_code == 404
        assert (await client.get("/api/recordings")).json()["count"] == 1


async def test_a_recording_ends_at_its_longest_time_and_when_nobody_is_there(serve: Serve) -> None:
    sessions = await serve()
    session, _ = await sessions.create("ann", None)
    loop = asyncio.get_running_loop()
    limits = ((math.inf, recording_module.UNATTENDED_S, "unattended"), (60.0, 60.0, "longest"))
    for longest_s, ends_after_s, reason in limits:
        recording = session.sinks.record(sessions.store.root / "recordings", {}, "ann", longest_s=longest_s)
        began_s = loop.time()
        await until(lambda: session.sinks.recording.stats()["seconds"] > 0, "pictures")
        session.limit_recording(began_s + ends_after_s - 1)
        assert recording.running
        session.limit_recording(began_s + ends_after_s + 1)
        await until(lambda: not session.sinks.is_recorded, "the end")
        assert (recording.stats()["state"], recording.stats()["reason"]) == ("ended", reason)
        assert transcript(recording.transcript)[-1]["reason"] == reason


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_a_recording_without_a_transcript_leaves_nothing(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = await serve()
    session, _ = await sessions.create("ann", None)
    create = recording_module._create

    def refuse(path: Path) -> int:
        if path.suffix == ".jsonl":
            raise PermissionError(13, "Permission denied")
        return create(path)

    monkeypatch.setattr(recording_module, "_create", refuse)
    before = open_files()
    for _ in range(20):
        with pytest.raises(UnavailableError, match="Permission denied"):
            record(sessions, session)
    assert open_files() < before + 10
    assert not list((sessions.store.root / "recordings").iterdir())

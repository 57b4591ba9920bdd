"""Sessions as live streams: by RTMP to a real server, played back by FFmpeg; and what all streams have in common."""

import asyncio
import contextlib
import itertools
import logging
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from benchmarks.signals import TimelineSource
from lipstream.realtime.api.app import create_app
from lipstream.realtime.errors import SettingsError
from lipstream.realtime.server import standing_session as channel_module
from lipstream.realtime.server.sessions import Sessions
from lipstream.realtime.settings import read_settings
from lipstream.realtime.sinks import backoff
from lipstream.realtime.sinks import destination as destination_module
from lipstream.realtime.test_client.click_track import clicks
from lipstream.realtime.timeline import FRAME_RATE_HZ
from tests.loopback.conftest import Serve, Stand, until
from tests.loopback.played import check_sync, decoded
from tests.loopback.rtmp_server import KEY, RtmpServer, play, rtmp_server
from tests.server_process import free_port
from tests.test_deploy import certificate

__all__ = ["certificate"]

needs_rtmp = pytest.mark.needs("nginx-rtmp", "ffmpeg")


@pytest.fixture
def rtmp(tmp_path: Path) -> Iterator[RtmpServer]:
    with rtmp_server(tmp_path) as server:
        yield server


@needs_rtmp
async def test_a_stream_is_played_in_sync_at_25_pictures_a_second(
    serve: Serve, rtmp: RtmpServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    sessions = await serve("FlashPredictor")
    session, _ = await sessions.create("ann", None)
    session.speech.source = TimelineSource(session.clock, clicks)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(create_app(sessions)), base_url="http://127.0.0.1:8080"
    ) as client:
        url = f"/api/sessions/{session.id}/streams"
        begun = await client.post(url, json={"url": rtmp.url})
        assert begun.status_code == 201
        assert begun.json()["to"] == f"rtmp://127.0.0.1:{rtmp.port}"
        assert (await client.post(url, json={"url": rtmp.url})).status_code == 409
        await until(lambda: session.sinks.streams.live == 1, "the stream")
        assert (await client.get(f"/api/sessions/{session.id}")).json()["streams"] == {"count": 1, "live": 1}
        await until(lambda: session.sinks.streams.stats()[0]["seconds"] > 1, "something to be played")
        playing = asyncio.create_task(play(rtmp.url, tmp_path / "played.mkv", 6))
        await asyncio.sleep(2.5)
        time.sleep(0.5)  # noqa: ASYNC251 (the whole server stands still)
        path = await playing
        (running,) = (await client.get(url)).json()
        assert running["repeated_pictures"] >= 8, "the stall is filled in"
        assert running["lost_tags"] == 0
        ended = (await client.delete(f"{url}/{begun.json()['id']}")).json()
        assert ended["state"] == "ended"
        assert (await client.delete(f"{url}/{begun.json()['id']}")).status_code == 404
    heard, pictures, keys, _ = decoded(str(path))
    times = np.array([picture.media_s for picture in pictures])
    # FFmpeg keeps nothing from before the first key frame, which may be two seconds off.
    assert len(pictures) >= 3 * FRAME_RATE_HZ
    assert np.abs(np.diff(times) - 1 / FRAME_RATE_HZ).max() <= 0.0011, "milliseconds are the finest that FLV knows"
    assert {b - a for a, b in itertools.pairwise(n for n, key in enumerate(keys) if key)} == {2 * FRAME_RATE_HZ}
    check_sync(heard, pictures, at_least=3, what="played back from RTMP")
    assert KEY not in caplog.text
    assert KEY not in str(running) + str(ended)


@needs_rtmp
async def test_a_server_that_restarts_gets_its_stream_back(
    serve: Serve, rtmp: RtmpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backoff, "FIRST_WAIT_S", 0.2)
    sessions = await serve("FlashPredictor")
    session, _ = await sessions.create("ann", None)
    session.speech.source = TimelineSource(session.clock, clicks)
    events: list[str] = []
    session.listeners.add(lambda event: events.append(event["type"]))
    rtmp.stop()
    stream = session.sinks.streams.add(rtmp.url, {})
    await until(lambda: stream.state == "waiting", "a try that fails")
    assert stream.reason == "connection refused"
    rtmp.start()
    await until(lambda: stream.links == 1, "the first link")
    await until(lambda: session.sinks.streams.stats()[0]["seconds"] >= 1, "a second of it")
    rtmp.stop()
    await until(lambda: stream.state == "waiting", "the loss")
    encoded_s = session.sinks.streams.stats()[0]["seconds"]
    await until(lambda: session.sinks.streams.stats()[0]["seconds"] >= encoded_s + 0.5, "the session goes on")
    rtmp.start()
    await until(lambda: stream.links == 2, "the second link")
    assert events.count("stream_lost") >= 2
    back_s = session.sinks.streams.stats()[0]["seconds"]
    await until(lambda: session.sinks.streams.stats()[0]["seconds"] >= back_s + 4, "four seconds more")
    await session.sinks.streams.remove(stream.id)
    heard, pictures, keys, _ = decoded(str(rtmp.received()))
    assert keys[0]
    assert len(pictures) >= FRAME_RATE_HZ, "of four seconds, and the key frame may be two of them off"
    check_sync(heard, pictures, at_least=1, what="after a restart")
    session.listeners.clear()
    assert events[-1] == "stream_ended"
    assert not session.sinks.running


@needs_rtmp
async def test_two_broken_links_cost_the_viewer_less_than_two_seconds_each(serve: Serve, rtmp: RtmpServer) -> None:
    carried: list[asyncio.StreamWriter] = []

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", rtmp.port)
        carried[:] = [writer, inner_writer]
        await asyncio.gather(_copy(reader, inner_writer), _copy(inner_reader, writer))

    front = await asyncio.start_server(carry, "127.0.0.1", 0)
    sessions = await serve("FlashPredictor")
    session, _ = await sessions.create("ann", None)
    streams = session.sinks.streams
    stream = streams.add(f"rtmp://127.0.0.1:{front.sockets[0].getsockname()[1]}/live/{KEY}", {})
    for links in (1, 2, 3):
        await until(lambda links=links: stream.links == links, "a link")  # type: ignore[misc]
        await asyncio.sleep(3.5)
        if links < 3:
            for writer in carried:
                writer.transport.abort()
    lasted_s = streams.stats()[0]["seconds"]
    await streams.close()
    front.close()
    await front.wait_closed()
    files = rtmp.all_received()
    assert len(files) == 3
    told = [decoded(str(path)) for path in files]
    assert all(keys[0] for _, _, keys, _ in told)
    seen_s = sum(len(pictures) for _, pictures, _, _ in told) / FRAME_RATE_HZ
    print(f"missed by two breaks: {lasted_s - seen_s:.2f} s of {lasted_s:.1f}")
    assert 0 < lasted_s - seen_s <= 2 * 2.0


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
    writer.close()


@needs_rtmp
async def test_over_tls_only_a_trusted_server_is_told_the_key(
    serve: Serve,
    rtmp: RtmpServer,
    certificate: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backoff, "LONGEST_WAIT_S", 0.2)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", rtmp.port)
        await asyncio.gather(_copy(reader, inner_writer), _copy(inner_reader, writer))

    front = await asyncio.start_server(carry, "127.0.0.1", 0, ssl=context)
    port = front.sockets[0].getsockname()[1]
    sessions = await serve()
    session, _ = await sessions.create("ann", None)
    stream = session.sinks.streams.add(f"rtmps://localhost:{port}/live/{KEY}", {})
    await until(lambda: stream.state == "waiting", "its refusal")
    assert stream.reason == "this machine does not trust the server's certificate"
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    await until(lambda: stream.state == "live", "the stream")
    await session.sinks.streams.close()
    front.close()
    await front.wait_closed()


async def test_an_address_that_leads_nowhere_costs_nothing_and_is_not_repeated(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(destination_module, "CONNECT_S", 0.3)
    silent = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", free_port())
    sessions = await serve()
    session, _ = await sessions.create("ann", None)
    host, port = silent.sockets[0].getsockname()[:2]
    stream = session.sinks.streams.add(f"rtmp://{host}:{port}/live/{KEY}", {})
    await until(lambda: stream.state == "waiting", "giving up on it")
    assert stream.reason == "no answer in time"
    await session.sinks.streams.remove(stream.id)
    silent.close()
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(create_app(sessions)), base_url="http://127.0.0.1:8080"
    ) as client:
        for url in (
            f"rtmp://host/{KEY}",
            f"ftp://host/app/{KEY}",
            f"srt://host?passphrase={KEY}",
            30 * f"{KEY}://" * 9,
        ):
            refused = await client.post(f"/api/sessions/{session.id}/streams", json={"url": url})
            assert refused.status_code == 400
            assert KEY not in refused.text
    assert not session.sinks.running


async def test_a_channel_begins_comes_back_and_makes_way(
    serve: Serve, stand: Stand, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel_module, "_LOOK_S", 0.1)
    caplog.set_level(logging.INFO)
    sessions = await serve(push=(f"rtmp://127.0.0.1:{free_port()}/live/{KEY}",))
    assert KEY not in repr(sessions.settings)
    running = stand(sessions)
    await until(lambda: any(session.sinks.running for session in sessions.all()), "its session")
    (first,) = sessions.all()
    first.fail("a fault")
    await until(lambda: sessions.all() and sessions.all() != [first], "another one")
    sessions.drain()
    await until(lambda: running.done() and not sessions.count, "its end")
    assert KEY not in caplog.text


def test_an_address_of_the_settings_is_checked_before_anything_starts(tmp_path: Path) -> None:
    config = tmp_path / "lipstream.toml"
    config.write_text(f'push = ["rtmp://host/app/{KEY}", "rtmp://host/{KEY}"]\n')
    settings = read_settings(["--config", str(config)], {"LIPSTREAM_STORE": str(tmp_path)})
    with pytest.raises(SettingsError, match="push, address 2: an RTMP address must end with") as refused:
        create_app(Sessions(settings))
    assert KEY not in refused.value.message
    assert read_settings(["--push", "srt://a:1?streamid=x,y rtmp://b/c/d"], {}).push == (
        "srt://a:1?streamid=x,y", "rtmp://b/c/d")  # fmt: skip

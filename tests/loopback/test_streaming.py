"""Sessions as live streams: by RTMP to a real server, played back by FFmpeg."""

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
from realtime.app import create_app
from realtime.channel import Channel
from realtime.errors import SettingsError
from realtime.probe.clicks import clicks, voice
from realtime.probe.recording import Heard, decode_pictures, decode_sound
from realtime.sessions import Sessions
from realtime.settings import read_settings
from realtime.sinks import destination as destination_module
from realtime.sinks import srt_process
from realtime.timeline import FRAME_RATE_HZ, SAMPLE_RATE_HZ, SOUND_PER_SAMPLE, SOUND_RATE_HZ
from tests.loopback.conftest import Serve, until
from tests.loopback.rtmp_server import KEY, RtmpServer, play, rtmp_server
from tests.loopback.test_recording import LIMIT_MS, content_offsets_ms, decoded
from tests.loopback.whip_server import TOKEN, whip_server
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
    session.floor.source = TimelineSource(session.clock, clicks)
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
        await until(lambda: session.sinks.streams.figures()[0]["seconds"] > 3, "something to be played")
        playing = asyncio.create_task(play(rtmp.url, tmp_path / "played.mkv", 7))
        await asyncio.sleep(3)
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
    assert len(pictures) >= 4 * FRAME_RATE_HZ
    assert np.abs(np.diff(times) - 1 / FRAME_RATE_HZ).max() <= 0.0011, "milliseconds are the finest that FLV knows"
    assert {b - a for a, b in itertools.pairwise(n for n, key in enumerate(keys) if key)} == {2 * FRAME_RATE_HZ}
    offsets = content_offsets_ms(heard, pictures)
    print(f"sound before lips, played back from RTMP: {np.median(offsets):.1f} ms, of {len(offsets)}")
    assert len(offsets) >= 3
    assert np.percentile(np.abs(offsets), 95) <= LIMIT_MS
    assert KEY not in caplog.text
    assert KEY not in str(running) + str(ended)


@needs_rtmp
async def test_a_server_that_restarts_gets_its_stream_back(
    serve: Serve, rtmp: RtmpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(destination_module, "FIRST_WAIT_S", 0.2)
    sessions = await serve("FlashPredictor")
    session, _ = await sessions.create("ann", None)
    session.floor.source = TimelineSource(session.clock, clicks)
    events: list[str] = []
    session.listeners.add(lambda event: events.append(event["type"]))
    rtmp.stop()
    stream = session.sinks.streams.add(rtmp.url, {})
    await until(lambda: stream.state == "waiting", "a try that fails")
    assert stream.reason == "connection refused"
    rtmp.start()
    await until(lambda: stream.links == 1, "the first link")
    await until(lambda: session.sinks.streams.figures()[0]["seconds"] >= 3, "three seconds of it")
    rtmp.stop()
    await until(lambda: stream.state == "waiting", "the loss")
    encoded_s = session.sinks.streams.figures()[0]["seconds"]
    await asyncio.sleep(1)
    assert session.sinks.streams.figures()[0]["seconds"] >= encoded_s + 0.5, "the session goes on"
    rtmp.start()
    await until(lambda: stream.links == 2, "the second link")
    assert events.count("stream_lost") >= 2
    heard, pictures, keys, _ = decoded(str(await play(rtmp.url, tmp_path / "again.mkv", 4)))
    assert keys[0]
    assert len(pictures) >= FRAME_RATE_HZ, "of four seconds, and the key frame may be two of them off"
    assert np.percentile(np.abs(content_offsets_ms(heard, pictures)), 95) <= LIMIT_MS
    await session.sinks.streams.remove(stream.id)
    session.listeners.clear()
    assert events[-1] == "stream_ended"
    assert not session.sinks.running


@needs_rtmp
async def test_over_tls_only_a_trusted_server_is_told_the_key(
    serve: Serve,
    rtmp: RtmpServer,
    certificate: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(destination_module, "LONGEST_WAIT_S", 0.2)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", rtmp.port)
        await asyncio.gather(copy(reader, inner_writer), copy(inner_reader, writer))

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()

    front = await asyncio.start_server(carry, "127.0.0.1", 0, ssl=context)
    port = front.sockets[0].getsockname()[1]
    sessions = await serve()
    session, _ = await sessions.create("ann", None)
    stream = session.sinks.streams.add(f"rtmps://localhost:{port}/live/{KEY}", {})
    await until(lambda: stream.state == "waiting", "its refusal")
    assert stream.reason == "its certificate is not one that this machine trusts"
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    await until(lambda: stream.state == "live", "the stream")
    await session.sinks.streams.close()
    front.close()
    await front.wait_closed()


async def test_a_server_that_takes_nothing_delays_nobody(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(destination_module, "STALL_S", 1.0)
    monkeypatch.setattr(destination_module, "CONNECT_S", 1.0)
    silent = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", free_port())
    sessions = await serve()
    session, _ = await sessions.create("ann", None)
    host, port = silent.sockets[0].getsockname()[:2]
    stream = session.sinks.streams.add(f"rtmp://{host}:{port}/live/{KEY}", {})
    await until(lambda: stream.state == "waiting", "giving up on it")
    assert stream.reason == "no answer in time"
    await session.sinks.streams.close()
    silent.close()


async def test_what_is_no_address_is_refused_and_not_repeated(serve: Serve) -> None:
    sessions = await serve()
    session, _ = await sessions.create("ann", None)
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


@pytest.mark.needs("srt")
async def test_a_stream_by_srt_comes_back_and_is_in_sync(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(destination_module, "LONGEST_WAIT_S", 0.3)
    port, secret = free_port(), "a long passphrase"
    sessions = await serve("FlashPredictor")
    session, _ = await sessions.create("ann", None)
    session.floor.source = TimelineSource(session.clock, clicks)
    query = f"streamid=live/{KEY}&passphrase={secret.replace(' ', '%20')}&latency=200"
    stream = session.sinks.streams.add(f"srt://127.0.0.1:{port}?{query}", {})
    await until(lambda: stream.state == "waiting", "a try that finds nobody")
    assert "no connection" in stream.reason
    for links in (1, 2):
        path = tmp_path / f"{links}.ts"
        with path.open("wb") as received:
            listener = await asyncio.create_subprocess_exec(
                *("srt-live-transmit", "-q", f"srt://127.0.0.1:{port}?mode=listener&passphrase={secret}", "file://con"),
                stdout=received, stderr=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
        await until(lambda links=links: stream.links == links, "the stream")
        await until(lambda path=path: path.stat().st_size > 150_000, "some seconds of it")
        listener.kill()
        await listener.wait()
        heard, pictures, _, _ = decoded(str(path), options={"fflags": "discardcorrupt"})
        offsets = content_offsets_ms(heard, pictures)
        print(f"sound before lips, received by SRT: {np.median(offsets):.1f} ms, of {len(offsets)}")
        assert len(offsets) >= 2
        assert np.percentile(np.abs(offsets), 95) <= LIMIT_MS
        assert np.abs(np.diff([picture.media_s for picture in pictures]) - 1 / FRAME_RATE_HZ).max() <= 0.0011
    await session.sinks.streams.close()
    assert KEY not in caplog.text + str(session.sinks.streams.figures())
    assert secret not in caplog.text


def test_without_libsrt_the_way_to_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(srt_process.ctypes.util, "find_library", lambda _: None)
    with pytest.raises(srt_process.SrtError, match="apt-get install libsrt"):
        srt_process.SrtSocket("srt://127.0.0.1:9000")


async def test_an_sfu_is_published_to_by_whip_and_again_after_it_was_lost(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(destination_module, "LONGEST_WAIT_S", 0.2)
    sessions = await serve("FlashPredictor")
    session, _ = await sessions.create("ann", None)
    session.floor.source = TimelineSource(session.clock, clicks)
    async with whip_server() as whip:
        unknown = session.sinks.streams.add(f"http://127.0.0.1:{whip.port}/whip", {})
        stream = session.sinks.streams.add(f"http://{TOKEN}@127.0.0.1:{whip.port}/whip", {})
        await until(lambda: unknown.state == "waiting", "the refusal")
        assert unknown.reason == "the server refuses with status 401"
        await session.sinks.streams.remove(unknown.id)
        for links in (1, 2):
            await until(lambda links=links: stream.links == links, "the publication")
            receiver = whip.receivers[-1]
            await until(lambda receiver=receiver: len(receiver.recording.picture.packets) > 90, "pictures")
            await until(lambda receiver=receiver: receiver.recording.picture.reports, "reports")
            if links == 1:
                await receiver.close()
        heard = decode_sound(receiver.recording.sound)
        offsets = content_offsets_ms(heard, list(decode_pictures(receiver.recording.picture)))
        print(f"sound before lips, received by WHIP: {np.median(offsets):.1f} ms, of {len(offsets)}")
        assert len(offsets) >= 2
        assert np.percentile(np.abs(offsets), 95) <= LIMIT_MS
        ended = await session.sinks.streams.remove(stream.id)
        assert ended.state == "ended"
        assert whip.deleted >= 1
    assert not session.sinks.running
    assert TOKEN not in caplog.text


async def test_a_channel_begins_comes_back_and_makes_way(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    sessions = await serve(push=(f"rtmp://127.0.0.1:{free_port()}/live/{KEY}",))
    assert KEY not in repr(sessions.settings)
    running = asyncio.create_task(Channel(sessions).run())
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
    with pytest.raises(SettingsError, match="push, address 2: an RTMP address ends with") as refused:
        create_app(Sessions(settings))
    assert KEY not in refused.value.message
    assert read_settings(["--push", "srt://a:1?streamid=x,y rtmp://b/c/d"], {}).push == (
        "srt://a:1?streamid=x,y", "rtmp://b/c/d")  # fmt: skip


class Saying:
    """A voice between two places of the timeline."""

    def __init__(self) -> None:
        self.begins = self.ends = 1 << 40

    def __call__(self, start: int, count: int) -> np.ndarray:
        position = np.arange(start, start + count)
        loud = (position >= self.begins * SOUND_PER_SAMPLE) & (position < self.ends * SOUND_PER_SAMPLE)
        return voice(start, count) * loud.astype(np.float32)


def spoken_s(heard: Heard) -> float:
    """Return how long a voice is heard."""
    loud = np.flatnonzero(np.abs(heard.samples) > 0.1 * np.abs(heard.samples).max())
    return float(loud[-1] - loud[0]) / SOUND_RATE_HZ


@needs_rtmp
async def test_an_interruption_leaves_no_word_in_any_sink(serve: Serve, rtmp: RtmpServer, tmp_path: Path) -> None:
    """How long the voice is heard, less how long it had been leaving when it was interrupted."""
    sessions = await serve()
    session, _ = await sessions.create("ann", None)
    saying = Saying()
    session.floor.source = TimelineSource(session.clock, saying)
    async with whip_server() as whip:
        recording = session.sinks.record(tmp_path, {}, "ann")
        streamed = session.sinks.streams.add(rtmp.url, {})
        published = session.sinks.streams.add(f"http://{TOKEN}@127.0.0.1:{whip.port}/whip", {})
        await until(lambda: streamed.state == published.state == "live", "both streams")
        await until(lambda: session.sinks.streams.figures()[0]["seconds"] > 3, "something to be played")
        (receiver,) = whip.receivers
        playing = asyncio.create_task(play(rtmp.url, tmp_path / "played.mkv", 8))
        await asyncio.sleep(2.5)
        saying.begins = session.playout.sound_end // SOUND_PER_SAMPLE + SAMPLE_RATE_HZ // 5
        now_s = asyncio.get_running_loop().time
        await until(lambda: session.clock.left(now_s()) > saying.begins + 1.7 * SAMPLE_RATE_HZ, "speech")
        saying.ends = session.playout.sound_end // SOUND_PER_SAMPLE
        left = session.clock.left(now_s())
        session.floor.interrupt()
        path = await playing
        heard = {
            "WHIP": decode_sound(receiver.recording.sound),
            "RTMP": decoded(str(path))[0],
        }
        await session.sinks.close()
        heard["recording"] = decoded(str(recording.path))[0]
    tails_ms = {sink: 1000 * spoken_s(sound) - (left - saying.begins) / 16 for sink, sound in heard.items()}
    print("interrupt to silence, ms:", {sink: round(tail_ms, 1) for sink, tail_ms in tails_ms.items()})
    assert len(tails_ms) == 3
    assert all(-50 < tail_ms <= 100 for tail_ms in tails_ms.values())

"""Live streams by SRT and by WHIP: to a listener of Haivision's, and to a WHIP server."""

import asyncio
import ctypes.util
from pathlib import Path

import av
import numpy as np
import pytest

from benchmarks.signals import TimelineSource
from lipstream.realtime.sinks import backoff, srt_process
from lipstream.realtime.test_client.call_recording import decode_pictures, decode_sound
from lipstream.realtime.test_client.click_track import clicks
from lipstream.realtime.timeline import FRAME_RATE_HZ
from tests.loopback.conftest import WAIT_S, Serve, until
from tests.loopback.played import check_sync, decoded
from tests.loopback.rtmp_server import KEY
from tests.loopback.srt_listener import listen_for_srt
from tests.loopback.whip_server import TOKEN, whip_server
from tests.server_process import free_port


def received_s(path: Path) -> float:
    """Return the length of the sound in an MPEG-TS file that is being written, s."""
    try:
        with av.open(str(path)) as container:
            times = [float(p.pts * p.time_base) for p in container.demux(audio=0) if p.pts is not None and p.time_base]
    except (av.FFmpegError, IndexError):  # nothing of it is there yet
        return 0.0
    return max(times, default=0.0) - min(times, default=0.0)


@pytest.mark.needs("srt")
async def test_a_stream_by_srt_comes_back_and_is_in_sync(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(backoff, "LONGEST_WAIT_S", 0.3)
    port, secret = free_port(), "a long passphrase"
    sessions = await serve("FlashPredictor")
    session, _ = await sessions.create("ann", None)
    session.speech.source = TimelineSource(session.clock, clicks)
    query = f"streamid=#!::r=live/{KEY},m=publish&passphrase={secret.replace(' ', '%20')}&latency=700&pkt_size=1316"
    for links in (1, 2):
        path = tmp_path / f"{links}.ts"
        with path.open("wb") as received:
            listener = await listen_for_srt(f"srt://127.0.0.1:{port}?mode=listener&passphrase={secret}", received)
        if links == 1:
            stream = session.sinks.streams.add(f"srt://127.0.0.1:{port}?{query}", {})
        await until(lambda: stream.links == links, "the stream")  # noqa: B023 (awaited here)
        await until(lambda: path.stat().st_size > 0, "the first of it")  # noqa: B023 (awaited here)
        if links == 1:
            listener.terminate()
            await listener.wait()
    async with asyncio.timeout(WAIT_S):
        while await asyncio.to_thread(received_s, path) < 3:
            await asyncio.sleep(0.2)
    await session.sinks.streams.close()
    await asyncio.wait_for(listener.wait(), 60)
    heard, pictures, _, _ = decoded(str(path))
    check_sync(heard, pictures, at_least=2, what="received by SRT")
    assert np.abs(np.diff([picture.media_s for picture in pictures]) - 1 / FRAME_RATE_HZ).max() <= 0.0011
    assert KEY not in caplog.text + str(session.sinks.streams.stats())
    assert secret not in caplog.text


@pytest.mark.needs("srt")
def test_who_does_not_listen_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(srt_process, "_REFUSED_MS", 300)
    with pytest.raises(srt_process.SrtError, match="no connection"):
        srt_process.SrtSocket(f"srt://127.0.0.1:{free_port()}")


def test_without_libsrt_the_way_to_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes.util, "find_library", lambda _: None)
    with pytest.raises(srt_process.SrtError, match="apt-get install libsrt"):
        srt_process.SrtSocket("srt://127.0.0.1:9000")


async def test_an_sfu_is_published_to_by_whip_and_again_after_it_was_lost(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(backoff, "LONGEST_WAIT_S", 0.2)
    sessions = await serve("FlashPredictor")
    session, _ = await sessions.create("ann", None)
    session.speech.source = TimelineSource(session.clock, clicks)
    async with whip_server() as whip:
        unknown = session.sinks.streams.add(f"http://127.0.0.1:{whip.port}/whip", {})
        stream = session.sinks.streams.add(f"http://{TOKEN}@127.0.0.1:{whip.port}/whip", {})
        await until(lambda: unknown.state == "waiting", "the refusal")
        assert unknown.reason == "the server refuses with status 401"
        await session.sinks.streams.remove(unknown.id)
        for links, pictures in ((1, 5), (2, 90)):
            await until(lambda: stream.links == links, "the publication")  # noqa: B023 (awaited here)
            got = whip.receivers[-1].recording.picture
            await until(lambda: len(got.packets) > pictures and got.reports, "pictures")  # noqa: B023 (awaited here)
            if links == 1:
                await whip.receivers[-1].close()
        receiver = whip.receivers[-1]
        heard = decode_sound(receiver.recording.sound)
        check_sync(heard, list(decode_pictures(got)), at_least=2, what="received by WHIP")
        ended = await session.sinks.streams.remove(stream.id)
        assert ended.state == "ended"
        assert whip.deleted >= 1
    assert not session.sinks.running
    assert TOKEN not in caplog.text

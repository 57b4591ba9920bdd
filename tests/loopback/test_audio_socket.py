"""Programs that speak: over a real WebSocket, to a real server, heard by a real peer."""

import asyncio
import contextlib
import json
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from lipstream.realtime.api.app import create_app
from lipstream.realtime.api.http_server import WEBSOCKET_FRAME_BYTES, HttpServer, server_config
from lipstream.realtime.audio.pcm_queue import PcmQueue
from lipstream.realtime.server.sessions import Sessions
from lipstream.realtime.speaker import Speaker
from tests.loopback.conftest import Callers, Serve, until
from tests.realtime.audio.test_pcm_queue import tone
from tests.realtime.synthesis.test_odd_sound import wave
from tests.server_process import free_port

Web = Callable[[Sessions], Any]


@contextlib.asynccontextmanager
async def web(sessions: Sessions) -> AsyncIterator[str]:
    """Serve some sessions by HTTP; yield the address."""
    config = server_config(create_app(sessions), sessions.settings, port=free_port(), log_level="error")
    server = HttpServer(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    task = asyncio.create_task(server._serve())
    await until(lambda: server.started, "the server")
    try:
        yield f"http://127.0.0.1:{config.port}"
    finally:
        server.should_exit = True
        await task


def speech(rate_hz: int, seconds: float) -> bytes:
    """Return a buzz with a syllable's rise and fall, which the voice detector takes for speech."""
    at = np.arange(round(rate_hz * seconds)) / rate_hz
    buzz = sum(np.sin(2 * np.pi * 140 * k * at) / k for k in range(1, 20))
    envelope = 0.5 + 0.5 * np.sin(2 * np.pi * 4 * at)
    return (5_000 * buzz * envelope).astype("<i2").tobytes()


async def told(events: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    await until(lambda: any(event["type"] == kind for event in events), kind)
    return next(event for event in events if event["type"] == kind)


async def test_a_program_speaks_and_hears_what_became_of_it(serve: Serve, callers: Callers) -> None:
    sessions = await serve()
    _, session = await callers.call(sessions)
    events: list[dict[str, Any]] = []

    async def listen(speaker: Speaker) -> None:
        async for event in speaker:
            events.append(event)  # noqa: PERF401 (others look at the list while it grows)

    async with web(sessions) as server:
        async with Speaker(server, session.id, rate_hz=24_000) as speaker:
            listening = asyncio.create_task(listen(speaker))
            await speaker.say(speech(24_000, 1.0))
            await speaker.end_of_speech()
            started, ended = await told(events, "speech_started"), await told(events, "speech_ended")
            assert 0.7 < (ended["sample"] - started["sample"]) / 16_000 < 1.3
            await until(lambda: session.speech.heard_ms(asyncio.get_running_loop().time()) >= 990, "all of it heard")
            heard = [event["heard_ms"] for event in events if event["type"] == "playout"]
            assert heard == sorted(heard)
            assert sessions.workers.counts.jobs > 0, "mouths are asked for, though few may be in time"
            assert session.playout.counts.rendered + session.playout.counts.repeated > 0
        await listening
        await until(lambda: session.speech.source is session.speech.microphone, "the microphone's turn")
        assert not session.listeners


async def test_a_program_speaks_though_nobody_watches(serve: Serve) -> None:
    sessions = await serve()
    session, _ = await sessions.create(None, None)
    assert session.state == "waiting"
    async with web(sessions) as server:
        async with Speaker(server, session.id) as speaker:
            await until(lambda: session.state == "live", "the program")
            await speaker.say(speech(16_000, 1.0))
            await speaker.end_of_speech()
            async for event in speaker:
                if event["type"] == "speech_ended":
                    break
            await speaker.say(speech(16_000, 1.0))
        program = session.speech.selector.program
        assert program
        await until(lambda: not program.level, "the sound that the program has left")
        await until(lambda: session.speech.source is session.speech.microphone, "the microphone's turn")
        assert session.state == "waiting"
    assert session.lost_s is not None


async def test_an_interrupt_says_how_much_was_heard_and_what_follows_is_spoken(serve: Serve, callers: Callers) -> None:
    sessions = await serve()
    _, session = await callers.call(sessions)
    async with web(sessions) as server, Speaker(server, session.id) as speaker:
        said_s = time.monotonic()
        await speaker.say(speech(16_000, 5.0))
        await until(lambda: session.speech.heard_ms(asyncio.get_running_loop().time()) > 500, "half a second")
        await speaker.interrupt()
        events = aiter(speaker)
        while (event := await anext(events))["type"] != "interrupted":
            pass
        assert 500 < event["heard_ms"] < 1000 * (time.monotonic() - said_s)
        assert isinstance(session.speech.source, PcmQueue)
        assert session.speech.source.level == 0
        read = session.speech.source.read
        assert read == pytest.approx(event["heard_ms"] * 48, abs=48)  # what was cut off never counts as heard
        await speaker.say(speech(16_000, 0.2))
        await until(
            lambda: isinstance(session.speech.source, PcmQueue) and session.speech.source.read > read, "new words"
        )


async def test_one_that_sends_as_fast_as_it_can_is_slowed_down_to_speech(serve: Serve, callers: Callers) -> None:
    sessions = await serve()
    _, session = await callers.call(sessions)
    async with web(sessions) as server:
        url = server.replace("http", "ws") + f"/api/sessions/{session.id}/audio?rate=8000"
        async with connect(url) as socket:
            piece = speech(8_000, 4.0)

            async def flood() -> None:
                for _ in range(150):  # ten minutes
                    await socket.send(piece)

            flooding = asyncio.create_task(flood())
            await asyncio.sleep(1.5)
            assert not flooding.done()
            assert isinstance(session.speech.source, PcmQueue)
            assert session.speech.source.level < 20 * 48_000
            flooding.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await flooding
            assert "credit" in await socket.recv()
            socket.transport.abort()  # dies in the middle of a word
        async with Speaker(server, session.id) as speaker:  # and the next one is served
            await speaker.say(speech(16_000, 0.1))
            source = session.speech.source
            await until(lambda: source.level == 0, "its words")


async def test_a_second_program_takes_over(serve: Serve, callers: Callers) -> None:
    sessions = await serve()
    _, session = await callers.call(sessions)
    async with web(sessions) as server, Speaker(server, session.id) as first, Speaker(server, session.id) as second:
        assert [event async for event in first if event["type"] != "playout"] == []
        with pytest.raises(ConnectionClosed):
            await first.say(tone(16_000, 5.0))
        await second.say(tone(16_000, 0.1))


async def refused(url: str, **options: Any) -> bool:
    try:
        async with connect(url, **options) as socket:
            await socket.recv()
    except (InvalidStatus, ConnectionClosed):
        return True
    return False


async def test_what_makes_no_sense_is_refused(serve: Serve, callers: Callers) -> None:
    sessions = await serve()
    _, session = await callers.call(sessions)
    base64 = b64encode(speech(16_000, 0.5)).decode()
    async with web(sessions) as server:
        url = server.replace("http", "ws") + f"/api/sessions/{session.id}/audio"
        for query in ("7999", "96000", "fast", "-8000", "", "24000.5", "²", "9" * 5000):
            async with connect(f"{url}?rate={quote(query)}") as socket:
                with pytest.raises(ConnectionClosed) as closed:
                    await socket.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 4400
            assert "is not a number from 8000 to 48000" in closed.value.rcvd.reason
        assert await refused(url.replace(session.id, "unknown"))
        assert await refused(url, origin="http://evil.example")
        assert session.speech.source is session.speech.microphone
        async with connect(url) as socket:
            for text in ("", "no json", "[]", '{"type": "dance"}'):
                await socket.send(text)
                while (answer := json.loads(await socket.recv()))["type"] != "error":
                    pass
                assert answer["message"]
            for text in (base64, json.dumps({"type": "input_audio_buffer.append", "audio": base64})):
                await socket.send(text)
                while (answer := json.loads(await socket.recv()))["type"] != "error":
                    pass
                assert "binary frames" in answer["message"]
            with contextlib.suppress(ConnectionClosed):
                await socket.send(b"x" * (WEBSOCKET_FRAME_BYTES + 1))
                while True:
                    await socket.recv()
        await until(lambda: not session.listeners, "its end")


async def test_a_wav_file_is_heard_at_its_own_rate_and_told_once(serve: Serve, callers: Callers) -> None:
    sessions = await serve()
    _, session = await callers.call(sessions)
    sound = np.repeat(np.frombuffer(speech(24_000, 0.5), "<i2"), 2).tobytes()
    file = wave(sound, channels=2, rate_hz=24_000)
    async with web(sessions) as server:
        url = server.replace("http", "ws") + f"/api/sessions/{session.id}/audio?rate=16000.0"
        async with connect(url) as socket:
            source = session.speech.source
            assert isinstance(source, PcmQueue)
            for utterance in (file, speech(16_000, 0.5), wave(sound, kind=17, bits=4)):
                for at in range(0, len(utterance), 10_000):
                    await socket.send(utterance[at : at + 10_000])
                await socket.send('{"type": "end_of_speech"}')
            warnings = []
            while (event := json.loads(await socket.recv()))["type"] != "error":
                warnings += [event["message"]] if event["type"] == "warning" else []
            assert len(warnings) == 1
            assert "WAV header" in warnings[0]
            assert "not read" in event["message"]
            assert source.rate_hz == 16_000
            assert source.pushed == pytest.approx(48_000, abs=200)


async def test_the_end_of_the_session_ends_its_program(serve: Serve, callers: Callers) -> None:
    sessions = await serve()
    _, session = await callers.call(sessions)
    async with web(sessions) as server, Speaker(server, session.id) as speaker:
        await sessions.delete(session.id)
        assert [event async for event in speaker if event["type"] == "playout"] == []


async def test_where_a_secret_is_asked_for_a_program_shows_the_sessions_token(
    serve: Serve, callers: Callers, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the key of an operator")
    sessions = await serve(secret_file=secret)
    _, session = await callers.call(sessions)
    _, other = await callers.call(sessions)
    async with web(sessions) as server:
        url = server.replace("http", "ws") + f"/api/sessions/{session.id}/audio"
        assert await refused(url)
        assert await refused(url, additional_headers={"Authorization": f"Bearer {other.token}"})
        assert await refused(url, additional_headers={"Authorization": f"Bearer {session.viewer_token}"})
        async with Speaker(server, session.id, token=session.token) as speaker:
            await speaker.say(tone(16_000, 0.1))
        offered = [Subprotocol("lipstream.v1"), Subprotocol(f"bearer.{session.token}")]  # as browsers do
        async with connect(url, subprotocols=offered) as socket:
            assert socket.subprotocol == "lipstream.v1"
            assert json.loads(await socket.recv())["type"] == "credit"

"""Text spoken by real engines through a real server, heard by a real peer."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import numpy as np
import pytest

from lipstream.realtime.speaker import Speaker
from lipstream.realtime.test_client.call_recording import decode_sound
from lipstream.realtime.test_client.click_track import voice as microphone_voice
from tests.loopback.conftest import Callers, Serve, until
from tests.loopback.test_audio_socket import speech, told, web
from tests.realtime.synthesis.endpoint_server import endpoint

LOUD, QUIET = 0.05, 0.01


@contextlib.asynccontextmanager
async def api(server: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"{server}/api/sessions/", timeout=20, trust_env=False) as client:
        yield client


def loud_s(caller: Any) -> float:
    """Return the seconds of media time in which the peer heard something."""
    samples = decode_sound(caller.recording.sound).samples
    blocks = samples[: samples.size // 480 * 480].reshape(-1, 480)
    return float((np.abs(blocks).max(axis=1) > LOUD).mean() * samples.size / 48_000)


@pytest.mark.needs("espeak-ng")
async def test_espeak_is_heard_by_the_peer_with_its_lips(serve: Serve, callers: Callers) -> None:
    sessions = await serve(synthesizer="espeak-ng")
    caller, session = await callers.call(sessions)
    events: list[Any] = []
    session.listeners.add(events.append)
    async with web(sessions) as server, api(server) as client:
        answer = await client.post(f"{session.id}/say", json={"text": "Good morning. Dr. Smith has 3.5 apples."})
        assert answer.status_code == 200
        started = await told(events, "speech_started")
        assert 0 <= answer.json()["sample"] <= started["sample"] + 1600
        await until(lambda: session.speech.text_queue.source is None, "the end of the text")
        await told(events, "speech_ended")
        assert sessions.workers.counts.jobs > 0, "mouths are asked for, though few may be in time"
        assert session.playout.counts.rendered + session.playout.counts.repeated > 0
        assert not [event for event in events if event["type"] == "error"]
    await callers.hang_up()
    assert 1.0 < loud_s(caller) < 6.0


async def test_an_endpoint_is_heard_interrupted_and_fails_alone(serve: Serve, callers: Callers) -> None:
    async with endpoint(seconds=3.0) as engine:
        sessions = await serve(synthesizer=engine.url)
        caller, session = await callers.call(sessions)
        async with web(sessions) as server, api(server) as client, Speaker(server, session.id) as speaker:
            say = f"{session.id}/say"
            failed = await client.post(say, json={"text": "refuse this"})
            assert (failed.status_code, failed.json()["error"]["reason"]) == (503, "synthesizer")
            for body, status in (({}, 400), ({"text": 5}, 400), ({"text": " "}, 400), ({"text": "x" * 5001}, 413)):
                assert (await client.post(say, json=body)).status_code == status
            await speaker.say(speech(16_000, 0.6))  # a program's sound waits behind the text, and is said after it
            asked_s = time.monotonic()
            await speaker.say_text("drip a sentence. Then another. And a third.")
            await until(
                lambda: session.speech.text_queue.source and session.speech.text_queue.source.read > 48_000,
                "a second of it",
            )
            assert (await client.post(f"{session.id}/interrupt")).status_code == 200
            asked = len(engine.asked)
            async for event in speaker:
                if event["type"] == "interrupted":
                    break
            assert 500 < event["heard_ms"] < 1000 * (time.monotonic() - asked_s)
            assert event["heard_text"] + event["cut_text"] != ""
            heard_s = event["heard_ms"] / 1000
            silent_from = event["sample"]
            await until(lambda: session.playout.sound_end // 3 > silent_from + 24_000, "half a second more")
            ring = np.arange(silent_from * 3 + 240, silent_from * 3 + 48_000) % session.playout._sound.size
            assert np.abs(session.playout._sound[ring]).max() == 0
            assert len(engine.asked) == asked  # nothing more is asked for
            assert (await client.post(say, json={"text": "break and go on"})).status_code == 200
            async for event in speaker:
                if event["type"] == "error":
                    break
            assert event["code"] == "not_said"
            assert session.state == "live"
    await callers.hang_up()
    assert loud_s(caller) > heard_s / 2  # its syllables fade in and out


async def test_text_goes_before_the_microphone_which_comes_back(serve: Serve, callers: Callers) -> None:
    async with endpoint(seconds=1.0) as engine:
        sessions = await serve(synthesizer=engine.url)
        _, session = await callers.call(sessions, sound=microphone_voice(0, 48_000).astype(np.float32))
        await until(lambda: session.speaking, "the microphone")
        pulled: list[bool] = []  # for each pull, whether the text was being read
        microphone_pull = session.speech.microphone.pull

        def pull(now_s: float, *, arrival_of: int = 0) -> Any:
            text = session.speech.text_queue.source
            pulled.append(text is not None and text.read > 0)
            return microphone_pull(now_s, arrival_of=arrival_of)

        session.speech.microphone.pull = pull  # type: ignore[method-assign]
        await session.speech.say("One.")
        assert session.speech.text_queue.source is not None
        pulled.clear()
        source = session.speech.text_queue.source
        await until(lambda: source.read > 0 and session.speech.text_queue.source is None, "the end of the text")
        assert source.read == 48_000
        assert sum(pulled) < 20  # while a hundred blocks of text were read
        pulled.clear()
        await until(lambda: len(pulled) > 10 and session.speaking, "the microphone again")


async def test_a_server_without_an_engine_says_how_to_name_one(serve: Serve, callers: Callers) -> None:
    sessions = await serve()
    _, session = await callers.call(sessions)
    async with web(sessions) as server, api(server) as client:
        answer = await client.post(f"{session.id}/say", json={"text": "Hello."})
        assert answer.status_code == 409
        assert "--synthesizer" in answer.json()["error"]["message"]
        async with Speaker(server, session.id) as speaker:
            await speaker.say_text("Hello.")
            async with asyncio.timeout(10):
                async for event in speaker:
                    if event["type"] == "error":
                        break
            assert "--synthesizer" in event["message"]

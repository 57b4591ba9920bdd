"""A kiosk's open microphone beside its loudspeaker: a real sound server, with a way from the one to the other."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lipstream.realtime.audio.echo_gate import EchoGate
from lipstream.realtime.render import read_sound
from lipstream.realtime.synthesis.synthesizer import SpokenPcm, SpokenSentence
from lipstream.realtime.timeline import SOUND_RATE_HZ
from tests.loopback.conftest import Serve, until
from tests.realtime.local_audio.sound_server import MICROPHONE, SPEAKER, SoundServer
from tests.server_process import PROMPTS
from tests.sound_files import write_wav

LOUD, SOFT = 0.8, 0.2


def prompt(name: str, level: float) -> np.ndarray:
    sound = read_sound(PROMPTS / f"{name}.wav")
    scaled: np.ndarray = level * sound / np.abs(sound).max()
    return scaled.astype(np.float32)


async def story() -> AsyncGenerator[SpokenSentence]:
    async def sound() -> AsyncGenerator[SpokenPcm]:
        pcm = np.rint(32767 * prompt("demo-instruct", SOFT)).astype("<i2").tobytes()
        for start in range(0, len(pcm), 96_000):
            yield SpokenPcm(SOUND_RATE_HZ, pcm[start : start + 96_000])

    yield SpokenSentence("A long story.", sound())


@pytest.mark.needs("sound server", "recorded speech")
async def test_its_own_voice_does_not_interrupt_it_and_a_louder_visitor_does(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = SoundServer(tmp_path)
    for name, value in room.environment.items():
        monkeypatch.setenv(name, value)
    room.start()
    room.echo()
    write_wav(tmp_path / "visitor.wav", prompt("conf-adminmenu", LOUD)[: 4 * SOUND_RATE_HZ])
    sessions = await serve(local_microphone=MICROPHONE, local_speaker=SPEAKER)
    session, _ = await sessions.create("ann", None, listens=True, local_audio=True)
    session.sinks.record(tmp_path, {}, "ann")  # it goes on for that
    voices: list[Any] = []
    session.listeners.add(lambda event: voices.append(event) if event.get("by") == "voice" else None)
    await until(lambda: len(sessions.local_audio.running) == 2, "both devices")
    text_queue = session.speech.text_queue

    def said_s() -> float:
        left = session.clock.left(asyncio.get_running_loop().time())
        return text_queue.source.heard(left) / SOUND_RATE_HZ if text_queue.source else 0.0

    with monkeypatch.context() as without:
        without.setattr(EchoGate, "lets_in", lambda *_: True)
        text_queue.answer(story())
        await until(lambda: voices, "it hears itself where nothing is done about that")
    voices.clear()
    text_queue.answer(story())
    await until(lambda: said_s() > 6, "six seconds of its story")
    assert not voices, "it takes its own voice for a visitor's"
    visitor = room.speak(tmp_path / "visitor.wav")
    await until(lambda: voices, "the visitor")
    print(f"interrupted {voices[0]['after_ms']:.0f} ms after the first voiced frame")
    visitor.kill()
    visitor.wait(20)
    session.listeners.clear()
    await sessions.close()
    room.stop()

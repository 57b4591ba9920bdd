"""Engines that speak: the real eSpeak NG, a program with Piper's command line, an endpoint on a socket."""

import asyncio
import contextlib
import io
import json
import logging
import os
import random
import stat
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

from lipstream.realtime.errors import SettingsError
from lipstream.realtime.session.text_queue import TextQueue
from lipstream.realtime.settings import Settings
from lipstream.realtime.synthesis import endpoint as speech_endpoint
from lipstream.realtime.synthesis import programs
from lipstream.realtime.synthesis.endpoint import SpeechEndpoint
from lipstream.realtime.synthesis.engine_choice import choose_synthesizer
from lipstream.realtime.synthesis.programs import espeak_ng
from lipstream.realtime.synthesis.synthesizer import SpeechSynthesizer, SynthesisError
from lipstream.realtime.synthesis.wave_stream import WaveStream
from tests.realtime.synthesis.endpoint_server import endpoint, voice

PIPER = """#!{python}
import os, pathlib, sys
assert sys.argv[1] == "--model" and sys.argv[3:] == ["--output_raw"], sys.argv
assert not [name for name in os.environ if name.startswith("LIPSTREAM")], "a secret"
text = sys.stdin.read()
if "fail" in text:
    sys.exit("no such phoneme")
if "hang" in text:
    import time
    time.sleep(60)
sys.stdout.buffer.write(text.encode() * 1000)
"""


async def spoken(engine: SpeechSynthesizer, text: str) -> tuple[int, bytes]:
    pieces = [piece async for piece in engine.speak(text)]
    assert len({piece.rate_hz for piece in pieces}) == 1
    return pieces[0].rate_hz, b"".join(piece.pcm for piece in pieces)


@pytest.mark.needs("espeak-ng")
async def test_espeak_speaks_what_it_is_told_and_nothing_of_a_shell() -> None:
    engine = choose_synthesizer(Settings(synthesizer="espeak-ng", synthesizer_voice="en-gb"))
    assert engine is not None
    rate_hz, short = await spoken(engine, "Yes.")
    _, long = await spoken(engine, "--version; $(touch x) | \"a\" 'b', and so it goes on and on.")
    for pcm in (short, long):
        assert np.abs(np.frombuffer(pcm, "<i2")).max() > 3_000
    assert len(long) > 3 * len(short)
    assert 0.2 < len(short) / 2 / rate_hz < 2


@pytest.fixture
def piper_voice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    program = tmp_path / "piper"
    program.write_text(PIPER.format(python=sys.executable))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("LIPSTREAM_SECRET_FILE", "x")
    (tmp_path / "ann.onnx").write_bytes(b"")
    (tmp_path / "ann.onnx.json").write_text(json.dumps({"audio": {"sample_rate": 22_050}}))
    return str(tmp_path / "ann.onnx")


async def test_piper_is_run_with_its_voice_and_fails_alone(piper_voice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = choose_synthesizer(Settings(synthesizer="piper", synthesizer_voice=piper_voice))
    assert engine is not None
    assert await spoken(engine, "words") == (22_050, b"words\n" * 1000)
    with pytest.raises(SynthesisError, match="piper failed"):
        await spoken(engine, "fail")
    monkeypatch.setattr(programs, "ENGINE_SILENT_S", 0.5)
    with pytest.raises(SynthesisError, match="silent"):
        await spoken(engine, "hang")


async def test_a_program_ends_with_whoever_listened(piper_voice: str) -> None:
    engine = programs.piper(piper_voice)
    async with contextlib.aclosing(engine.speak("words " * 10_000)) as pieces:
        await anext(pieces)
    assert await spoken(engine, "again") == (22_050, b"again\n" * 1000)


async def test_an_endpoint_is_asked_as_its_api_says(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    caplog.set_level(logging.DEBUG)
    key = tmp_path / "key"
    key.write_text("sk-very-secret\n")
    async with endpoint() as server:
        engine = choose_synthesizer(
            Settings(synthesizer=server.url, synthesizer_key_file=key, synthesizer_voice="nova", synthesizer_model="m")
        )
        assert engine is not None
        assert await spoken(engine, "Hello.") == (24_000, voice(0.5))
        assert server.asked == [{"model": "m", "voice": "nova", "response_format": "pcm", "input": "Hello."}]
        assert "post /v1/audio/speech" in server.heads[0]
        assert "authorization: bearer sk-very-secret" in server.heads[0]
        with pytest.raises(SynthesisError, match="status 401") as refused:
            await spoken(engine, "refuse")
        await engine.close()
    assert "sk-very-secret" not in caplog.text + str(refused.value) + repr(engine)


@pytest.mark.parametrize(
    ("text", "message"), [("break", "broke off"), ("json", "application/json"), ("hang", "was silent")]
)
async def test_an_endpoint_that_fails_says_so_in_one_sentence(
    text: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if text == "hang":
        monkeypatch.setattr(speech_endpoint, "ENGINE_SILENT_S", 2.0)  # also for what goes on, on a busy machine
    async with endpoint(seconds=2.0) as server:
        engine = SpeechEndpoint(server.url, voice="v", model="m", response_format="pcm")
        with pytest.raises(SynthesisError, match=message):
            await spoken(engine, text)
        assert (await spoken(engine, "and goes on"))[1] == voice(2.0)
        await engine.close()
    engine = SpeechEndpoint(server.url, voice="v", model="m", response_format="pcm")
    with pytest.raises(SynthesisError, match="cannot be reached"):
        await spoken(engine, "no server there")
    await engine.close()


def wav(pcm: bytes, channels: int = 1) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((channels, 2, 16_000, 0, "NONE", ""))
        writer.writeframes(pcm)
    return file.getvalue()


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_a_wav_stream_is_read_however_it_is_cut(step: int) -> None:
    pcm = voice(0.05, 16_000)
    file = wav(pcm)
    extra = b"LIST\x03\0\0\0abc\0"
    file = file[:12] + extra + file[12:]
    stream = WaveStream()
    assert b"".join(stream.push(file[at : at + step]) for at in range(0, len(file), step)) + stream.flush() == pcm
    assert stream.rate_hz == 16_000


@pytest.mark.parametrize(
    "file", [b"{}", wav(b"\0" * 8, channels=9), b"RIFF....WAVEdata\0\0\0\0", b"RIFF....WAVEjunk\xff\xff\xff\xff"]
)
def test_what_is_no_wav_file_of_ours_is_refused(file: bytes) -> None:
    with pytest.raises(SynthesisError):
        WaveStream().push(file)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"synthesizer": "flite"}, "none of espeak-ng"),
        ({"synthesizer": "https://key@api.example/v1"}, "holds no key"),
        ({"synthesizer": "https://api.example/v1?key=x"}, "holds no key"),
        ({"synthesizer_format": "mp3"}, "synthesizer_format"),
        ({"synthesizer": "http://a/v1", "synthesizer_key_file": Path("/nowhere")}, "cannot be read"),
    ],
)
def test_settings_that_make_no_sense(options: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        choose_synthesizer(Settings(**options))  # type: ignore[arg-type]


def test_an_engine_that_is_not_there(monkeypatch: pytest.MonkeyPatch, piper_voice: str) -> None:
    assert choose_synthesizer(Settings()) is None
    with pytest.raises(SettingsError, match="no voice of Piper's"):
        programs.piper(piper_voice + "x")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SettingsError, match="not installed"):
        choose_synthesizer(Settings(synthesizer="espeak-ng"))


async def test_a_program_that_is_gone_is_one_error(piper_voice: str) -> None:
    engine = programs.piper(piper_voice)
    (Path(piper_voice).parent / "piper").unlink()
    with pytest.raises(SynthesisError, match="cannot be run"):
        await asyncio.wait_for(spoken(engine, "words"), 60)


@pytest.mark.needs("espeak-ng")
async def test_a_narrator_closes_whenever_it_is_interrupted() -> None:
    """An interruption may come just as an engine has ended; on Python 3.11 asyncio.wait_for swallowed it there."""
    chance = random.Random(1)
    for _ in range(60):
        text_queue = TextQueue(espeak_ng(""), lambda _: None)
        for _ in range(4):
            text_queue.accept("One. Two three. Four!")
            await asyncio.sleep(0.03 * chance.random())
            if chance.random() < 0.6:
                text_queue.interrupt(0)
            await asyncio.sleep(0.02 * chance.random())
        async with asyncio.timeout(30):
            await text_queue.close()

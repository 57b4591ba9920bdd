"""Interrupted in every stage, heard at every sink: how much more of a word comes out than had left by then.

Each stage's word has a pitch of its own. So what comes of it can be told in what a sink got, however late that is, and
its length is media time, which no slow machine stretches.
"""

import asyncio
import threading
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lipstream.realtime.session.session import Session
from lipstream.realtime.sinks.destination import TagDestination
from lipstream.realtime.sinks.muxer import Muxer
from lipstream.realtime.sinks.virtual_microphone import MICROPHONE
from lipstream.realtime.synthesis.synthesizer import SpokenPcm, SpokenSentence
from lipstream.realtime.test_client.call_recording import decode_sound
from lipstream.realtime.timeline import SAMPLE_RATE_HZ, SOUND_RATE_HZ
from tests.loopback.conftest import WAIT_S, Callers, Serve, until
from tests.loopback.played import decoded
from tests.loopback.rtmp_server import rtmp_server
from tests.loopback.srt_listener import listen_for_srt
from tests.loopback.whip_server import TOKEN, whip_server
from tests.realtime.local_audio.sound_server import SPEAKER, SoundServer
from tests.server_process import free_port

LIMIT_MS = 100
WORD_MS = 800
DEVICES = ("loudspeaker", "microphone")
"""They play by clocks of their own, and leave out what a busy machine brings them too late."""
LEVEL = 0.2
"""Of a word's first harmonic."""
APART_HZ = 30
"""Between two pitches: a window of 1/30 s hears one of them alone."""
STAGES = ("queued", "text queued", "rendering", "playing", "in the sink")
PITCHES = {stage: 200 + APART_HZ * place for place, stage in enumerate((*STAGES, "said later"))}


def silence(ms: int) -> bytes:
    return bytes(2 * ms * SOUND_RATE_HZ // 1000)


def word(stage: str) -> bytes:
    """Return a stage's word, s16le at 48 kHz: a buzz that is speech enough for lips to move."""
    t = np.arange(WORD_MS * SOUND_RATE_HZ // 1000) / SOUND_RATE_HZ
    buzz = sum(np.sin(2 * np.pi * PITCHES[stage] * k * t) / k for k in range(1, 13))
    return np.rint(LEVEL * 32767 * buzz).astype("<i2").tobytes()


def heard_ms(sound: np.ndarray, stage: str) -> float:
    """Return how long a stage's word sounds in ``float32[n]``, at 48 kHz, in one piece or in several."""
    t = np.arange(sound.size) / SOUND_RATE_HZ
    window = SOUND_RATE_HZ // APART_HZ
    summed = np.cumsum(np.append(0, sound * np.exp(-2j * np.pi * PITCHES[stage] * t)))
    strength = 2 / window * np.abs(summed[window:] - summed[:-window])
    return float((strength > LEVEL / 2).sum()) * 1000 / SOUND_RATE_HZ


class Interrupter:
    """Has a session say a word for each stage, and interrupts it there.

    Attributes:
        left_ms: How much of each stage's word had left by then.
    """

    def __init__(self, session: Session, may_write: threading.Event) -> None:
        self.left_ms: dict[str, float] = {}
        self._session, self._may_write = session, may_write
        self._program = session.speech.take_program(SOUND_RATE_HZ)
        self._told: list[Any] = []
        session.listeners.add(self._told.append)

    async def run(self, stage: str) -> None:
        """Interrupt in one stage, and wait until what comes after that has left."""
        pause_ms = 400 if stage == "queued" else 0
        before = self._program.read
        if stage == "text queued":
            self._session.speech.text_queue.answer(self._sentences(stage))
        else:
            self._program.push(silence(pause_ms) + word(stage))
        await until(lambda: self._is_reached(stage, before), stage)
        self._session.speech.interrupt()
        self._may_write.set()
        interrupted = self._told[-1]
        assert interrupted["type"] == "interrupted"
        origin = 0 if stage == "text queued" else before * 1000 / SOUND_RATE_HZ
        self.left_ms[stage] = max(0.0, interrupted["heard_ms"] - origin - pause_ms)
        await self.pass_on(interrupted["sample"] + SAMPLE_RATE_HZ // 2)

    async def say_later(self) -> None:
        """Have a word said that nothing interrupts."""
        self._program.push(word("said later"))
        self._program.end()
        await until(lambda: not self._program.level, "a later word")
        await self.pass_on(self._session.playout.sound_end // 3 + SAMPLE_RATE_HZ)

    async def pass_on(self, sample: int) -> None:
        await until(lambda: self._left > sample, "what comes later")

    @property
    def _left(self) -> int:
        return self._session.clock.left(asyncio.get_running_loop().time())

    def _is_reached(self, stage: str, before: int) -> bool:
        read, heard = self._program.read - before, self._program.heard(self._left) - before
        match stage:
            case "queued":
                return read > SOUND_RATE_HZ // 5  # of the silence before it
            case "rendering":
                return read > 0
            case "text queued":
                text = self._session.speech.text_queue.source
                return text is not None and text.heard(self._left) > SOUND_RATE_HZ // 4
            case "in the sink" if heard > SOUND_RATE_HZ // 5:
                self._may_write.clear()  # what leaves from now on waits in the queues of those that have one
        return heard > SOUND_RATE_HZ // 2

    async def _sentences(self, stage: str) -> AsyncGenerator[SpokenSentence]:
        """Yield the sentence that is heard, and two that wait behind it."""
        for number in range(3):
            yield SpokenSentence(f"Sentence {number}.", self._sound(word(stage)))

    async def _sound(self, pcm: bytes) -> AsyncGenerator[SpokenPcm]:
        yield SpokenPcm(SOUND_RATE_HZ, pcm)


@pytest.mark.needs("nginx-rtmp", "sound server", "srt")
async def test_no_sink_hears_more_of_a_word_than_100_ms(
    serve: Serve, callers: Callers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_speech, may_write = Muxer.write_speech, threading.Event()
    may_write.set()
    monkeypatch.setattr(Muxer, "write_speech", lambda *speech: (may_write.wait(20), write_speech(*speech)))
    room = SoundServer(tmp_path)
    for name, value in room.environment.items():
        monkeypatch.setenv(name, value)
    room.start()

    sessions = await serve(local_speaker=SPEAKER)
    srt_port = free_port()
    with rtmp_server(tmp_path) as rtmp, (tmp_path / "srt.ts").open("wb") as received:
        srt = await listen_for_srt(f"srt://127.0.0.1:{srt_port}?mode=listener", received)
        recorders = [room.record(tmp_path / "room.s16le")]
        async with whip_server() as whip:
            caller = await callers.dial()
            session, answer = await sessions.create("ann", await caller.offer(), local_audio=True)
            assert answer is not None
            await callers.connect(caller, session, answer)
            recording = session.sinks.record(tmp_path, {}, "ann")
            streams = [
                session.sinks.streams.add(url, {})
                for url in (rtmp.url, f"srt://127.0.0.1:{srt_port}", f"http://{TOKEN}@127.0.0.1:{whip.port}/whip")
            ]
            await until(lambda: all(stream.state == "live" for stream in streams), "the streams")
            joined = [stream for stream in streams if isinstance(stream, TagDestination)]
            await until(lambda: all(stream._has_key for stream in joined[:2]), "their first key frames")
            await until(lambda: sessions.local_audio.running, "the loudspeaker")
            session.sinks.open_microphone()
            await until(lambda: session.sinks.devices()[0]["state"] == "live", "the virtual microphone")
            recorders.append(room.record(tmp_path / "microphone.s16le", MICROPHONE))
            await until((tmp_path / "microphone.s16le").exists, "its recorder")
            interrupter = Interrupter(session, may_write)
            for stage in STAGES:
                await interrupter.run(stage)
            await interrupter.say_later()
            async with asyncio.timeout(WAIT_S):  # on a busy machine packets leave long after their time
                while heard_ms(decode_sound(caller.recording.sound).samples, "said later") < WORD_MS - LIMIT_MS:
                    await asyncio.sleep(0.5)
            session.listeners.clear()
            await session.sinks.close()
            await asyncio.wait_for(srt.wait(), 60)
            (receiver,) = whip.receivers
        for recorder in recorders:
            recorder.terminate()
            recorder.wait(20)
    room.stop()
    sounds: dict[str, np.ndarray] = {
        "caller": decode_sound(caller.recording.sound).samples,
        "WHIP": decode_sound(receiver.recording.sound).samples,
        "RTMP": decoded(str(rtmp.received()))[0].samples,
        "SRT": decoded(str(tmp_path / "srt.ts"))[0].samples,
        "recording": decoded(str(recording.path))[0].samples,
        "loudspeaker": np.fromfile(tmp_path / "room.s16le", "<i2") / np.float32(32768),
        "microphone": np.fromfile(tmp_path / "microphone.s16le", "<i2") / np.float32(32768),
    }
    print("\ninterrupt to silence, ms     " + "".join(f"{sink:>12}" for sink in sounds))
    for stage in STAGES:
        left_ms = interrupter.left_ms[stage]
        tails_ms = {sink: heard_ms(sound, stage) - left_ms for sink, sound in sounds.items()}
        print(f"{stage:13} {left_ms:6.0f} had left " + "".join(f"{tail_ms:12.1f}" for tail_ms in tails_ms.values()))
        assert max(tails_ms.values()) <= LIMIT_MS, (stage, tails_ms)
    for sink, sound in sounds.items():
        later_ms = heard_ms(sound, "said later")
        assert 0 < later_ms <= WORD_MS + LIMIT_MS, sink
        if sink not in DEVICES:
            assert later_ms >= WORD_MS - LIMIT_MS, sink

"""Real devices of a real sound server: heard, played, unplugged, plugged in again."""

import asyncio
import importlib
import itertools
import json
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lipstream.realtime.encoding.encoded_unit import RAW_SPEECH, EncodedUnit
from lipstream.realtime.errors import ConflictError, SettingsError
from lipstream.realtime.local_audio import local_audio
from lipstream.realtime.local_audio.local_audio import LocalAudio
from tests.realtime.local_audio.sound_server import MICROPHONE, SPEAKER, SoundServer, room
from tests.server_process import ROOT
from tests.sound_files import write_wav

__all__ = ["room"]

RATE_HZ = 48_000


def tone(seconds: float, hz: float, size: float = 0.5) -> np.ndarray:
    return (size * np.sin(2 * np.pi * hz * np.arange(round(RATE_HZ * seconds)) / RATE_HZ)).astype(np.float32)


def share(sound: np.ndarray, hz: float) -> float:
    """Return how much of a sound's power lies at a frequency."""
    if sound.size == 0 or not np.abs(sound).max() > 0:
        return 0.0
    power = np.abs(np.fft.rfft(sound)) ** 2
    places = np.fft.rfftfreq(sound.size, 1 / RATE_HZ)
    return float(power[np.abs(places - hz) < 20].sum() / power.sum())


class SessionStandIn:
    """The part of a session that the devices use."""

    def __init__(self) -> None:
        self.closed = False
        self.heard: list[tuple[int, np.ndarray]] = []
        self.cleared = 0
        self.subscribers: list[tuple[str, Any]] = []
        self.listeners: set[Any] = set()
        microphone = SimpleNamespace(clear=self._clear, push=self._push)
        self.speech = SimpleNamespace(microphone=microphone, conversation=object())
        self.broadcast = SimpleNamespace(
            subscribe=lambda *subscriber: self.subscribers.append(subscriber), unsubscribe=lambda _taker: None
        )

    def _push(self, position: int, samples: np.ndarray, _arrived_s: float) -> None:
        self.heard.append((position, samples))

    def latest(self, seconds: float) -> np.ndarray:
        sound = np.concatenate([np.zeros(1, np.float32), *(samples for _, samples in self.heard)])
        return sound[-round(RATE_HZ * seconds) :]

    def _clear(self) -> None:
        self.cleared += 1


def packet(index: int, sound: np.ndarray) -> EncodedUnit:
    raw = np.rint(sound * 32767).astype(np.int16)
    return EncodedUnit(payloads=(), timestamp=index * 960, due_s=0.0, raw=raw)


async def until(condition: Any, what: str) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.05)
    assert condition(), what


async def speak(local: LocalAudio) -> None:
    """Let the face hold a tone, a packet for each 20 ms that have passed, until it is cancelled."""
    second = tone(1, 880, 0.4).reshape(-1, 960)
    begun_s = time.monotonic()
    for index in itertools.count():
        await asyncio.sleep(begun_s + index * 0.02 - time.monotonic())
        local.on_unit(packet(index, second[index % len(second)]))


@pytest.mark.needs("sound server")
async def test_a_visitor_is_heard_the_face_is_played_and_both_may_be_unplugged(
    room: SoundServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert {MICROPHONE, SPEAKER} <= {device["name"] for device in json.loads(listed())}

    monkeypatch.setattr(local_audio, "LOOK_S", 0.3)
    monkeypatch.setattr(local_audio, "SILENT_S", 1.0)
    local = LocalAudio(MICROPHONE, SPEAKER)
    session = SessionStandIn()
    local.start()
    local.lend(session)  # type: ignore[arg-type]
    write_wav(tmp_path / "visitor.wav", tone(20, 440))
    recorded = tmp_path / "room.s16le"
    visitor = recorder = None
    try:
        await until(lambda: len(local.running) == 2, "both run")
        visitor = room.speak(tmp_path / "visitor.wav")
        await until(lambda: share(session.latest(0.5), 440) > 0.9, "the visitor")
        positions = [position for position, _ in session.heard]
        assert positions == list(range(0, 480 * len(positions), 480)), "no block is lost or told twice"

        recorder = room.record(recorded)
        speaking = asyncio.create_task(speak(local))
        try:
            await until(lambda: share(heard(recorded), 880) > 0.8, "the face in the room")
        finally:
            speaking.cancel()
            await asyncio.wait([speaking])

        room.stop()  # both are pulled out
        for process in (visitor, recorder):
            process.kill()
        await until(lambda: not local.running, "their absence")
        await asyncio.sleep(0.5)
        assert not local.running
        session.heard.clear()
        room.start()
        await until(lambda: len(local.running) == 2, "their return")
        visitor = room.speak(tmp_path / "visitor.wav")
        await until(lambda: share(session.latest(0.5), 440) > 0.9, "the visitor after all")
        assert session.heard[0][0] == 0
        assert session.cleared >= 2
    finally:
        await local.close()
        await local.close()
        for started in (visitor, recorder):
            if started:
                started.kill()
                started.wait(20)


def listed() -> str:
    """Return what the listing prints."""
    command = [sys.executable, "-m", "lipstream.realtime.local_audio", "--json"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def heard(path: Path) -> np.ndarray:
    """Return the last half second of a recording."""
    pcm = path.read_bytes() if path.exists() else b""
    return np.frombuffer(pcm[: len(pcm) // 2 * 2], "<i2").astype(np.float32)[-RATE_HZ // 2 :] / 32768


async def test_the_newest_session_has_the_devices_and_what_is_interrupted_waits_no_more() -> None:
    local = LocalAudio("", "")
    with pytest.raises(ConflictError, match="--local-microphone"):
        local.lend(SessionStandIn())  # type: ignore[arg-type]
    local.wanted = {"output": "default"}
    local.running = {"output": "default"}
    first, second = SessionStandIn(), SessionStandIn()
    local.lend(first)  # type: ignore[arg-type]
    local.lend(second)  # type: ignore[arg-type]
    assert first.listeners == set()
    assert second.subscribers == [(RAW_SPEECH, local)]
    for index in range(4):
        local.on_unit(packet(index, tone(0.02, 440)))
    (learn,) = second.listeners
    learn({"type": "interrupted", "sample": 0})
    assert local.queue.level <= 240
    await local.close()
    assert second.listeners == set()


def test_without_portaudio_the_option_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_name: str) -> Any:
        raise OSError("PortAudio library not found")

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(SettingsError, match="libportaudio2"):
        LocalAudio("default", "")
    assert LocalAudio("", "").wanted == {}

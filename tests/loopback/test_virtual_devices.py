"""A session as a camera and a microphone of this machine: pyvirtualcam without a device, real PulseAudio."""

import asyncio
import importlib
import shutil
import subprocess
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import pyvirtualcam.camera

from lipstream.realtime.api.app import create_app
from lipstream.realtime.errors import SettingsError
from lipstream.realtime.server.sessions import Sessions
from lipstream.realtime.session.session import Session
from lipstream.realtime.settings import Settings
from lipstream.realtime.sinks import backoff
from lipstream.realtime.sinks.virtual_camera import VirtualCamera
from lipstream.realtime.sinks.virtual_microphone import MICROPHONE
from lipstream.realtime.test_client.click_track import voice
from lipstream.realtime.timeline import SOUND_RATE_HZ
from lipstream.realtime.wire.session_answers import DeviceStats
from tests.loopback.conftest import MOUTH, SHADES, Serve, Stand, until
from tests.realtime.local_audio.sound_server import SoundServer, room

__all__ = ["room"]

SIZE = 128


class Camera:
    """A kind of camera as pyvirtualcam takes it."""

    there = works = True
    shown: ClassVar[list[np.ndarray]] = []

    def __init__(self, *, width: int, height: int, fps: float, fourcc: int, device: str | None) -> None:
        assert (width, height, fps, device) == (SIZE, SIZE, 25, "/dev/video9")
        if not Camera.there:
            raise RuntimeError("it is not there")
        self._check_works()

    def _check_works(self) -> None:
        if not Camera.works:
            raise RuntimeError("it was pulled out")

    def send(self, frame: np.ndarray) -> None:
        self._check_works()
        Camera.shown.append(frame.copy())

    def close(self) -> None:
        """Nothing is left."""

    def device(self) -> str:
        return "/dev/video9"

    def native_fourcc(self) -> None:
        return None


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch) -> type[Camera]:
    monkeypatch.setitem(pyvirtualcam.camera.BACKENDS, "nothing", Camera)
    for name, value in {"there": True, "works": True, "shown": []}.items():
        monkeypatch.setattr(Camera, name, value)
    return Camera


def device(session: Session, name: str) -> DeviceStats:
    (found,) = [figures for figures in session.sinks.devices() if figures["name"] == name]
    return found


def sources() -> str:
    return subprocess.run(["pactl", "list", "sources"], capture_output=True, text=True, check=True).stdout


def defaults() -> list[str]:
    told = subprocess.run(["pactl", "info"], capture_output=True, text=True, check=True).stdout
    return [line for line in told.splitlines() if line.startswith(("Default Sink:", "Default Source:"))]


def loud_s(path: Path) -> float:
    """Return the seconds in which something is heard."""
    sound = np.fromfile(path, "<i2")
    blocks = np.abs(sound[: sound.size // 480 * 480].reshape(-1, 480)).max(axis=1)
    return float((blocks > 1000).sum()) / 100


@pytest.mark.needs("sound server")
async def test_programs_of_this_machine_see_and_hear_a_session_of_the_servers_own(
    serve: Serve,
    stand: Stand,
    camera: type[Camera],
    room: SoundServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backoff, "LONGEST_WAIT_S", 0.2)
    camera.there = False
    chosen = defaults()
    sessions = await serve(virtual_camera="/dev/video9", virtual_microphone=True)
    running = stand(sessions)
    await until(lambda: sessions.count and len(sessions.all()[0].sinks.devices()) == 2, "its session")
    (session,) = sessions.all()
    await until(lambda: "it is not there" in device(session, "virtual camera").get("reason", ""), "its absence")
    camera.there = True
    await until(lambda: all(one["state"] == "live" for one in session.sinks.devices()), "both")
    assert "Description: Lipstream\n" in sources()
    assert defaults() == chosen, "no program is moved to them"

    path = tmp_path / "heard.s16le"
    recorder = room.record(path, MICROPHONE)
    await until(lambda: path.exists() and path.stat().st_size, "the recorder")
    begun, begun_s = len(camera.shown) + device(session, "virtual camera")["lost"], asyncio.get_running_loop().time()
    program = session.speech.take_program(SOUND_RATE_HZ)
    program.push((voice(0, 2 * SOUND_RATE_HZ) * 32767).astype("<i2").tobytes())
    await until(lambda: loud_s(path) > 1, "what it says")
    mouths = [float(frame.reshape(SIZE * 3 // 2, SIZE)[MOUTH].mean()) for frame in camera.shown]
    assert min(mouths) == pytest.approx(SHADES["ann"], abs=3)
    assert max(mouths) > SHADES["ann"] + 20, "it speaks"
    left = session.playout.pictures_sent.count_since(begun_s)
    taken = len(camera.shown) + device(session, "virtual camera")["lost"] - begun
    assert taken >= left - VirtualCamera.most_units - 1, "all but those that wait and the one in hand"
    recorder.terminate()
    recorder.wait(20)

    camera.works = False
    room.stop()
    await until(lambda: all(one["state"] == "waiting" for one in session.sinks.devices()), "the loss of both")
    assert "pulled out" in device(session, "virtual camera")["reason"]
    camera.works = True
    room.start()
    await until(lambda: all(one["state"] == "live" for one in session.sinks.devices()), "their return")
    assert sessions.all() == [session]
    assert [one["opened"] for one in session.sinks.devices()] == [2, 2]
    sessions.drain()
    await until(lambda: running.done() and not sessions.count, "the end")
    assert "Lipstream" not in sources()


async def test_without_a_device_the_session_goes_on_and_the_way_to_one_is_said(serve: Serve) -> None:
    sessions = await serve()
    session, _ = await sessions.create("ann", None)
    session.sinks.open_camera("default")
    await until(lambda: device(session, "virtual camera").get("reason"), "the reason")
    if device(session, "virtual camera")["state"] == "waiting":  # else this machine has one
        assert "sudo modprobe v4l2loopback" in device(session, "virtual camera")["reason"]
    await until(lambda: session.playout.counts.idle > 10, "pictures")


def test_what_is_missing_is_said_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_name: str) -> Any:
        raise ImportError

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(SettingsError, match=r"pip install -e '\.\[virtual-camera\]'"):
        create_app(Sessions(Settings(store=tmp_path, virtual_camera="default")))
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(SettingsError, match="apt-get install pulseaudio-utils"):
        create_app(Sessions(Settings(store=tmp_path, virtual_microphone=True)))

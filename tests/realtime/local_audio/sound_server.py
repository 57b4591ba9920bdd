"""A PulseAudio server of the test's own, with a microphone and a loudspeaker made of nothing."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

MICROPHONE, SPEAKER = "kiosk_microphone", "kiosk_speaker"
_PCM = """
pcm.{name} {{ type pulse server "unix:{socket}" device "{device}" hint {{ show on description "{name}" }} }}
ctl.{name} {{ type pulse server "unix:{socket}" }}
"""


class SoundServer:
    """What is played into ``MICROPHONE``'s sink is what that microphone hears; what ``SPEAKER`` plays can be recorded.

    Args:
        folder: For its socket and ALSA's configuration.
    """

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "native.socket"
        self.config = folder / "asoundrc"
        self.config.write_text(
            "</usr/share/alsa/alsa.conf>\n"
            + _PCM.format(name=MICROPHONE, socket=self.socket, device="visitor.monitor")
            + _PCM.format(name=SPEAKER, socket=self.socket, device="room")
        )
        self.environment = {"ALSA_CONFIG_PATH": str(self.config), "PULSE_SERVER": f"unix:{self.socket}"}
        self._folder = folder
        self._daemon: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Plug both in."""
        modules = [f"module-native-protocol-unix auth-anonymous=1 socket={self.socket}"]
        modules += [f"module-null-sink sink_name={name} rate=48000 channels=1" for name in ("visitor", "room")]
        loads = [part for module in modules for part in ("-L", module)]
        home = {"HOME": str(self._folder), "XDG_RUNTIME_DIR": str(self._folder), "PATH": "/usr/bin:/bin"}
        command = ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--disallow-exit", *loads]
        self._daemon = subprocess.Popen(command, env=home, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while not self.socket.exists() or "room" not in self._run("pactl", "list", "short", "sinks"):
            assert self._daemon.poll() is None, "PulseAudio ended"
            assert time.monotonic() < deadline, "PulseAudio does not start"
            time.sleep(0.1)

    def stop(self) -> None:
        """Pull both out."""
        if self._daemon:
            self._daemon.kill()
            self._daemon.wait(20)
            self._daemon = None
            self.socket.unlink(missing_ok=True)

    def echo(self) -> None:
        """Let the microphone hear what the loudspeaker plays, as loud, and a little later."""
        path = ("source=room.monitor", "sink=visitor", "latency_msec=60")
        assert self._run("pactl", "load-module", "module-loopback", *path), "no echo"

    def speak(self, wav: Path) -> "subprocess.Popen[bytes]":
        """Play a file into the microphone."""
        return subprocess.Popen(["paplay", "--device=visitor", "--latency-msec=20", str(wav)], env=self._environment())

    def record(self, path: Path, source: str = "room.monitor") -> "subprocess.Popen[bytes]":
        """Record what the loudspeaker plays, or another source, bare s16le at 48 kHz, until it is ended."""
        options = [f"--device={source}", "--format=s16le", "--rate=48000", "--channels=1", "--latency-msec=20"]
        return subprocess.Popen(["parec", *options, str(path)], env=self._environment())

    def _environment(self) -> dict[str, str]:
        return self.environment | {"HOME": str(self._folder), "PATH": "/usr/bin:/bin"}

    def _run(self, *command: str) -> str:
        return subprocess.run(command, env=self._environment(), capture_output=True, text=True, check=False).stdout


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SoundServer]:
    """Sound devices of a machine's own, for this process too."""
    server = SoundServer(tmp_path)
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    server.start()
    yield server
    server.stop()

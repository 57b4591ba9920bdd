"""A virtual microphone for video call programs, made in PulseAudio, or in PipeWire through the same protocol.

It consists of a null sink and a source that repeats the sink's sound, because browsers do not offer a sink's monitor
as a microphone. Both are created when the speech begins and removed when it ends.
"""

import contextlib
import os
import re
import select
import shutil
import struct
import subprocess
import sys

from lipstream.realtime.audio.silence import is_silent
from lipstream.realtime.encoding.encoded_unit import RAW_SPEECH, EncodedUnit
from lipstream.realtime.errors import SettingsError
from lipstream.realtime.sinks.virtual_device import DeviceError, DeviceSink
from lipstream.realtime.timeline import PACKET_SOUND, SOUND_RATE_HZ

if sys.platform != "win32":  # whose Python lacks them, and which has no PulseAudio
    import fcntl
    import termios

SINK, MICROPHONE, SHOWN = "lipstream_speech", "lipstream_microphone", "Lipstream"
_MODULES = (
    ("module-null-sink", f"sink_name={SINK}", f"rate={SOUND_RATE_HZ}", "channels=1",
     f"sink_properties=device.description={SHOWN}-speech"),
    ("module-remap-source", f"source_name={MICROPHONE}", f"master={SINK}.monitor",
     f"source_properties=device.description={SHOWN}"),
)  # fmt: skip
_PLAY = ("pacat", "--playback", f"--device={SINK}", "--format=s16le", f"--rate={SOUND_RATE_HZ}", "--channels=1",
         "--latency-msec=40", "--client-name=Lipstream")  # fmt: skip
_ANSWER_S, _STALL_S = 5.0, 2.0
_PACKET_BYTES = 2 * PACKET_SOUND
_PIPE_BYTES = 8192
"""Two pages: at most 85 ms of sound wait before the player."""


def check_programs() -> None:
    """Check that the sound server's tools are installed.

    Raises:
        SettingsError: If they are not.
    """
    if not shutil.which("pactl") or not shutil.which("pacat"):
        raise SettingsError(
            "virtual_microphone needs PulseAudio's or PipeWire's pactl and pacat: on Debian, apt-get install "
            "pulseaudio-utils; docs/VIDEO_CALL.md says what there is on other systems"
        )


class VirtualMicrophone(DeviceSink):
    """Plays a session's speech into a virtual microphone."""

    kinds = (RAW_SPEECH,)
    name = "virtual microphone"

    def _open(self, unit: EncodedUnit) -> "_MicrophoneWriter":  # noqa: ARG002 (all packets have one format)
        return _MicrophoneWriter()


class _MicrophoneWriter:
    def __init__(self) -> None:
        self._modules: list[str] = []
        self._player: subprocess.Popen[bytes] | None = None
        try:
            _forget_leftovers()
            before = _defaults()
            for module in _MODULES:
                self._modules.append(_pactl("load-module", *module).strip())
            _keep(before)
            self._player = subprocess.Popen(  # noqa: S603 (constant words)
                _PLAY,
                bufsize=0,
                stdin=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C must reach the server alone, which then closes the device
            )
            assert self._player.stdin is not None
            if hasattr(fcntl, "F_SETPIPE_SZ"):
                fcntl.fcntl(self._player.stdin, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        except BaseException:
            self.close()
            raise

    def write(self, unit: EncodedUnit) -> None:
        assert self._player is not None
        assert self._player.stdin is not None
        assert unit.raw is not None
        waiting = struct.unpack("i", fcntl.ioctl(self._player.stdin, termios.FIONREAD, bytes(4)))[0]
        if waiting > _PACKET_BYTES and is_silent(unit.raw):
            return  # waiting sound would lag behind the lips: cut pauses until it is gone
        if not select.select([], [self._player.stdin], [], _STALL_S)[1]:
            raise DeviceError("the sound server accepts no more data")
        try:
            self._player.stdin.write(unit.raw.astype("<i2").tobytes())
        except BrokenPipeError as error:
            raise DeviceError("the sound server has ended") from error

    def close(self) -> None:
        if self._player:
            self._player.kill()
            self._player.communicate()
        for number in reversed(self._modules):
            with contextlib.suppress(DeviceError):  # the module is gone if the sound server was restarted
                _pactl("unload-module", number)


def _forget_leftovers() -> None:
    """Remove the devices of a server that was killed."""
    for line in reversed(_pactl("list", "short", "modules").splitlines()):
        if f"sink_name={SINK}" in line or f"source_name={MICROPHONE}" in line:
            _pactl("unload-module", line.split()[0])


def _defaults() -> dict[str, str]:
    """Return the names of the default ``Sink`` and ``Source``."""
    told = re.findall(r"^Default (Sink|Source): (.+)$", _pactl("info"), re.MULTILINE)
    return {str(what): str(name) for what, name in told}


def _keep(before: dict[str, str]) -> None:
    """Restore the defaults: without a better device PulseAudio makes the new ones the default for all programs."""
    for what, name in _defaults().items():
        if name != before.get(what):
            with contextlib.suppress(DeviceError):  # the previous default may be gone
                _pactl(f"set-default-{what.lower()}", before.get(what, ""))


def _pactl(*words: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 (constant words and module numbers)
            ["pactl", *words],  # noqa: S607 (found on the system's path)
            capture_output=True, text=True, check=False, timeout=_ANSWER_S, env=os.environ | {"LC_ALL": "C"},
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise DeviceError("the sound server does not answer") from error
    if done.returncode:
        why = done.stderr.strip().splitlines()
        raise DeviceError(f"the sound server refuses: {why[0] if why else words[0]}")
    return done.stdout

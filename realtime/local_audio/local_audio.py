"""One microphone and one loudspeaker of this machine for one session at a time; either may be unplugged."""

import asyncio
import json
import logging
import sys
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lipstream.realtime.audio.sample_range import in_range
from lipstream.realtime.encoding.encoded_unit import RAW_SPEECH, EncodedUnit
from lipstream.realtime.encoding.pacing import Kind
from lipstream.realtime.errors import ConflictError
from lipstream.realtime.local_audio.play_queue import PlayQueue
from lipstream.realtime.local_audio.sound_devices import (
    DeviceMissingError,
    Direction,
    SoundDevice,
    find_device,
    list_devices,
    portaudio,
)
from lipstream.realtime.session.session import Session
from lipstream.realtime.timeline import BLOCK_SOUND, SOUND_RATE_HZ
from lipstream.realtime.wire.events import ServerEvent
from lipstream.realtime.workers.programs import kill_program

logger = logging.getLogger(__name__)

LOOK_S = 2.0
"""Time between two searches for a missing device."""
SILENT_S = 2.0
"""A device without a callback for this long counts as gone."""


@dataclass(slots=True)
class _SoundStream:
    """One stream of PortAudio.

    Attributes:
        called_s: Monotonic time of the last callback, s.
        position: Recorded so far, samples at 48 kHz.
    """

    device: str
    stream: Any
    called_s: float
    position: int = 0
    is_over: bool = False


class LocalAudio:
    """Runs the devices and searches for missing ones.

    Args:
        microphone: Number or name of the device, part of the name, or ``default``; empty for no microphone.
        speaker: Number or name of the device, part of the name, or ``default``; empty for no loudspeaker.

    Raises:
        SettingsError: If a device is named and PortAudio is not installed.
    """

    leads = False
    bitrate = None

    def __init__(self, microphone: str, speaker: str) -> None:
        wanted: list[tuple[Direction, str]] = [("input", microphone), ("output", speaker)]
        self.wanted: dict[Direction, str] = {direction: name for direction, name in wanted if name}
        if self.wanted:
            portaudio()
        self.running: dict[Direction, str] = {}
        """Names of the running devices."""
        self.queue = PlayQueue()
        self._session: Session | None = None
        self._streams: dict[Direction, _SoundStream] = {}
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Open the named devices in the background."""
        if self.wanted:
            self._loop = asyncio.get_running_loop()
            self._task = asyncio.create_task(self._run(), name="local-audio")

    def lend(self, session: Session) -> None:
        """Connect a session to the devices, in place of the last one.

        Raises:
            ConflictError: If this server has no local device.
        """
        if not self.wanted:
            raise ConflictError("this server has no local microphone or loudspeaker: see --local-microphone")
        self._take_back()
        self._session = session
        session.broadcast.subscribe(RAW_SPEECH, self)
        session.listeners.add(self._learn)

    async def close(self) -> None:
        """Close the devices. Later calls do nothing."""
        self._take_back()
        task, self._task = self._task, None
        if task:
            task.cancel()
            await asyncio.wait([task])
            await asyncio.to_thread(self._shut)

    def wants_key(self, now_s: float) -> bool:  # noqa: ARG002 (given by the protocol)
        """Return False: speech has no key frames."""
        return False

    def on_unit(self, unit: EncodedUnit) -> None:
        """Play a packet of the session's speech."""
        assert unit.raw is not None
        packet: npt.NDArray[np.int16] = unit.raw
        if "output" in self.running:
            self.queue.push(packet)

    def fail(self, unit: Kind, error: Exception) -> None:  # noqa: ARG002 (given by the protocol)
        """Disconnect a session that sends no more."""
        self._take_back()

    def _take_back(self) -> None:
        session, self._session = self._session, None
        if session:
            session.broadcast.unsubscribe(self)
            session.listeners.discard(self._learn)
        self.queue.clear()

    def _learn(self, event: ServerEvent) -> None:
        if event["type"] == "interrupted":  # packets that wait here have not been heard
            self.queue.clear()

    async def _run(self) -> None:
        said = ""
        while True:
            missing = await asyncio.to_thread(self._open)
            now = f"{', '.join(self.running.values()) or 'nothing'} runs" + "".join(f"; {why}" for why in missing)
            if now != said:
                logger.log(logging.WARNING if missing else logging.INFO, "local audio: %s", said := now)
            while not self._is_broken():
                await asyncio.sleep(LOOK_S)
                if missing and await self._are_back():
                    break
            await asyncio.to_thread(self._shut)

    def _is_broken(self) -> bool:
        now_s = time.monotonic()
        return any(one.is_over or now_s - one.called_s > SILENT_S for one in self._streams.values())

    async def _are_back(self) -> bool:
        """Search for missing devices in another process: PortAudio lists new devices only after a restart."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "lipstream.realtime.local_audio", "--json", stdout=asyncio.subprocess.PIPE
        )
        try:
            listed = json.loads((await process.communicate())[0] or b"[]")
        finally:
            kill_program(process)
        devices = [SoundDevice(**one) for one in listed]
        for direction, name in self.wanted.items():
            if direction not in self.running:
                try:
                    find_device(devices, name, direction)
                except DeviceMissingError:
                    continue
                return True
        return False

    def _open(self) -> list[str]:
        """Open the available devices; return the faults of the others.

        Runs in a thread, as opening may take seconds.
        """
        missing = []
        sd, devices = portaudio(), list_devices(afresh=True)
        for direction, name in self.wanted.items():
            try:
                device = find_device(devices, name, direction)
                self._streams[direction] = self._begin(sd, device, direction)
                self.running[direction] = device.name
            except DeviceMissingError as error:
                missing.append(str(error))
            except sd.PortAudioError as error:
                missing.append(f"{name!r} cannot be opened: {error.args[0]}")
        return missing

    def _begin(self, sd: Any, device: SoundDevice, direction: Direction) -> _SoundStream:
        one = _SoundStream(device.name, None, time.monotonic())

        def heard(data: npt.NDArray[np.float32], _frames: int, _time: Any, _status: Any) -> None:
            one.called_s = time.monotonic()
            position, one.position = one.position, one.position + len(data)
            assert self._loop is not None
            self._loop.call_soon_threadsafe(self._heard, one, position, data[:, 0].copy(), one.called_s)

        def wanted(data: npt.NDArray[np.float32], frames: int, _time: Any, _status: Any) -> None:
            one.called_s = time.monotonic()
            data[:] = self.queue.pull(frames)[:, None]

        def over() -> None:
            one.is_over = True

        open_stream, callback = (sd.InputStream, heard) if direction == "input" else (sd.OutputStream, wanted)
        one.stream = open_stream(
            samplerate=SOUND_RATE_HZ,
            blocksize=BLOCK_SOUND,
            device=device.number,
            channels=1,
            dtype="float32",
            latency="low",
            callback=callback,
            finished_callback=over,
        )
        one.stream.start()
        return one

    def _heard(self, one: _SoundStream, position: int, samples: npt.NDArray[np.float32], arrived_s: float) -> None:
        session = self._session
        if session is None or session.closed or self._streams.get("input") is not one:
            return
        if position == 0:
            session.speech.microphone.clear()  # a new stream counts its positions from 0
        session.speech.microphone.push(position, in_range(samples), arrived_s)

    def _shut(self) -> None:
        streams, self._streams, self.running = self._streams, {}, {}
        for one in streams.values():
            one.stream.abort(ignore_errors=True)
            one.stream.close(ignore_errors=True)

"""The sinks of one session, beside its peers."""

import asyncio
from pathlib import Path

from lipstream.realtime.encoding.broadcast import Broadcast
from lipstream.realtime.errors import ConflictError, NotFoundError
from lipstream.realtime.queue_depths import QueueDepths
from lipstream.realtime.rtc.rtc_settings import RtcSettings
from lipstream.realtime.sinks.recording import Recording
from lipstream.realtime.sinks.sink import OnEvent
from lipstream.realtime.sinks.streams import Streams
from lipstream.realtime.sinks.virtual_camera import VirtualCamera
from lipstream.realtime.sinks.virtual_device import DeviceSink
from lipstream.realtime.sinks.virtual_microphone import VirtualMicrophone
from lipstream.realtime.wire.events import ServerEvent
from lipstream.realtime.wire.session_answers import DeviceStats


class SessionSinks:
    """What of a session goes elsewhere.

    Args:
        broadcast: The session's.
        session_id: The session's.
        on_event: Told what happens to them, as clients are.
        rtc: How other servers are connected to.

    Attributes:
        streams: To other servers.
    """

    def __init__(self, broadcast: Broadcast, session_id: str, on_event: OnEvent, rtc: RtcSettings) -> None:
        self._broadcast, self._session_id, self._on_event = broadcast, session_id, on_event
        self._recording: Recording | None = None
        self._devices: list[DeviceSink] = []
        self.streams = Streams(broadcast, session_id, on_event, rtc)

    @property
    def running(self) -> bool:
        """Whether there is any: the session then goes on though nobody is connected."""
        return self.is_recorded or self.streams.running or any(device.running for device in self._devices)

    @property
    def is_recorded(self) -> bool:
        """Whether a recording runs."""
        return self._recording is not None and self._recording.running

    @property
    def recording(self) -> Recording:
        """The recording, also one that has ended.

        Raises:
            NotFoundError: If there never was one.
        """
        if self._recording is None:
            raise NotFoundError("this session is not being recorded")
        return self._recording

    def record(self, folder: Path, facts: dict[str, str], avatar: str) -> Recording:
        """Begin a recording.

        Args:
            folder: Of all recordings.
            facts: Of :func:`realtime.picture.provenance.provenance`.
            avatar: Id of the avatar that is shown.

        Raises:
            ConflictError: If one runs.
            UnavailableError: If the disk has no room for it.
        """
        if self.is_recorded:
            raise ConflictError("this session is being recorded already")
        self._recording = Recording(self._broadcast, self._session_id, folder, facts, self._on_event)
        self._recording.begin(avatar)
        return self._recording

    async def stop_recording(self) -> Recording:
        """End the recording; return it.

        Raises:
            NotFoundError: If none runs.
        """
        recording = self.recording
        if not recording.running:
            raise NotFoundError("this session is not being recorded")
        await recording.close()
        return recording

    def open_camera(self, device: str) -> None:
        """Show the pictures as a camera of this machine, for as long as the session lasts.

        Args:
            device: Of :class:`realtime.sinks.virtual_camera.VirtualCamera`.
        """
        self._open(VirtualCamera(self._broadcast, self._session_id, device))

    def open_microphone(self) -> None:
        """Let the speech be heard as a microphone of this machine, for as long as the session lasts."""
        self._open(VirtualMicrophone(self._broadcast, self._session_id))

    def _open(self, device: DeviceSink) -> None:
        self._devices.append(device)
        device.start()

    def devices(self) -> list[DeviceStats]:
        """Return the state of the virtual devices."""
        return [device.stats() for device in self._devices]

    def hear(self, event: ServerEvent) -> None:
        """Learn what the session's clients are told."""
        if self._recording and self._recording.running:
            self._recording.hear(event)

    def queue_depths(self) -> QueueDepths:
        """Return how much waits in each sink's queue, and how much may."""
        recorded = {"recording_units": self._recording.queue_depth} if self._recording else {}
        return recorded | self.streams.queue_depths()

    async def close(self) -> None:
        """End them all. May be called again."""
        await asyncio.gather(self.streams.close(), *(device.close() for device in self._devices))
        if self._recording:
            await self._recording.close()

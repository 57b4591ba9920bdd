"""The sinks of one session: recording, live streams, virtual devices."""

import asyncio
import math
from pathlib import Path

from lipstream.realtime.encoding.broadcast import Broadcast
from lipstream.realtime.errors import ConflictError, NotFoundError
from lipstream.realtime.queue_depths import QueueDepths
from lipstream.realtime.rtc.rtc_settings import RtcSettings
from lipstream.realtime.sinks.recording import Recording
from lipstream.realtime.sinks.sink import OnEvent
from lipstream.realtime.sinks.stream_targets import StreamTargets
from lipstream.realtime.sinks.streams import Streams
from lipstream.realtime.sinks.virtual_camera import VirtualCamera
from lipstream.realtime.sinks.virtual_device import DeviceSink
from lipstream.realtime.sinks.virtual_microphone import VirtualMicrophone
from lipstream.realtime.wire.events import ServerEvent
from lipstream.realtime.wire.session_answers import DeviceStats


class SessionSinks:
    """Starts, stops and reports a session's sinks.

    Args:
        targets: Where streams may go.
    """

    def __init__(
        self, broadcast: Broadcast, session_id: str, on_event: OnEvent, rtc: RtcSettings, targets: StreamTargets
    ) -> None:
        self._broadcast, self._session_id, self._on_event = broadcast, session_id, on_event
        self._recording: Recording | None = None
        self._devices: list[DeviceSink] = []
        self._closed = False
        self.streams = Streams(broadcast, session_id, on_event, rtc, targets)

    @property
    def running(self) -> bool:
        """Whether a sink runs: the session then continues without a connected client."""
        return self.is_recorded or self.streams.running or any(device.running for device in self._devices)

    @property
    def is_recorded(self) -> bool:
        """Whether a recording runs."""
        return self._recording is not None and self._recording.running

    @property
    def recording(self) -> Recording:
        """The current or last recording.

        Raises:
            NotFoundError: If there was none.
        """
        if self._recording is None:
            raise NotFoundError("this session is not being recorded")
        return self._recording

    def record(self, folder: Path, facts: dict[str, str], avatar: str, *, longest_s: float = math.inf) -> Recording:
        """Start a recording.

        Args:
            longest_s: Time after which it ends by itself, s.

        Raises:
            ConflictError: If a recording runs.
            UnavailableError: If the disk is full or cannot be written to.
            NotFoundError: If the session has ended.
        """
        if self._closed:
            raise NotFoundError("there is no such session")
        if self.is_recorded:
            raise ConflictError("this session is being recorded already")
        self._recording = Recording(
            self._broadcast, self._session_id, folder, facts, self._on_event, longest_s=longest_s
        )
        self._recording.begin(avatar)
        return self._recording

    def limit_recording(self, now_s: float, *, attended: bool) -> None:
        """End the recording if it has lasted too long, or if nobody has been there for some time.

        Args:
            now_s: Monotonic time, s.
            attended: Whether somebody takes part, watches or speaks; a running stream or device counts too.
        """
        if self._recording and self._recording.running:
            watched = self.streams.running or any(device.running for device in self._devices)
            self._recording.limit(now_s, attended=attended or watched)

    async def stop_recording(self) -> Recording:
        """Stop the recording and return it.

        Raises:
            NotFoundError: If none runs.
        """
        recording = self.recording
        if not recording.running:
            raise NotFoundError("this session is not being recorded")
        await recording.close()
        return recording

    def open_camera(self, device: str) -> None:
        """Show the session's pictures on a virtual camera of this machine until the session ends.

        Args:
            device: Device path such as ``/dev/video10``, or ``default`` for the first free one.
        """
        self._open(VirtualCamera(self._broadcast, self._session_id, device))

    def open_microphone(self) -> None:
        """Play the session's speech into a virtual microphone of this machine until the session ends."""
        self._open(VirtualMicrophone(self._broadcast, self._session_id))

    def _open(self, device: DeviceSink) -> None:
        self._devices.append(device)
        device.start()

    def devices(self) -> list[DeviceStats]:
        """Return the state of the virtual devices."""
        return [device.stats() for device in self._devices]

    def hear(self, event: ServerEvent) -> None:
        """Pass an event of the session to the recording."""
        if self._recording and self._recording.running:
            self._recording.hear(event)

    def queue_depths(self) -> QueueDepths:
        """Return fill and limit of each sink's queue."""
        recorded = {"recording_units": self._recording.queue_depth} if self._recording else {}
        return recorded | self.streams.queue_depths()

    async def close(self) -> None:
        """Stop all sinks, side by side, and take no more. Later calls do nothing."""
        self._closed = True
        sinks = [*self._devices, *([self._recording] if self._recording else [])]
        await asyncio.gather(self.streams.close(), *(sink.close() for sink in sinks))

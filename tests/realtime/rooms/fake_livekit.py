"""A stand-in for LiveKit's client, which only the tests of ``tests/integrations`` have: rooms that note what is done.

``install(monkeypatch)`` puts it where the server looks for the client. It keeps the rooms that were made.
"""

import asyncio
import sys
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import pytest


class ConnectError(Exception):
    """The room cannot be joined."""


class RpcError(Exception):
    """A remote call failed."""

    ErrorCode = SimpleNamespace(UNSUPPORTED_METHOD=1400)

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code, self.message = code, "failed"


class ByteStream:
    """A byte stream that a test writes to; ``None`` ends it, and an exception breaks it off."""

    def __init__(self, **attributes: str) -> None:
        self.info = SimpleNamespace(attributes=attributes or {"sample_rate": "24000", "num_channels": "1"})
        self.closed = False
        self._chunks: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()

    def write(self, *chunks: bytes | Exception | None) -> "ByteStream":
        for chunk in chunks:
            self._chunks.put_nowait(chunk)
        return self

    def __aiter__(self) -> "ByteStream":
        return self

    async def __anext__(self) -> bytes:
        chunk = await self._chunks.get()
        if chunk is None:
            raise StopAsyncIteration
        if isinstance(chunk, Exception):
            raise chunk
        return chunk

    def close(self) -> None:
        self.closed = True


@dataclass
class Participant:
    """The participant of the face."""

    methods: dict[str, Any] = field(default_factory=dict)
    called: list[tuple[str, str, str]] = field(default_factory=list)
    published: list[tuple[Any, Any]] = field(default_factory=list)
    refuse: RpcError | None = None
    """Raised by the next remote call."""

    def register_rpc_method(self, name: str, handler: Any) -> None:
        self.methods[name] = handler

    async def perform_rpc(self, *, destination_identity: str, method: str, payload: str) -> str:
        if error := self.refuse:
            self.refuse = None
            raise error
        self.called.append((destination_identity, method, payload))
        return "ok"

    async def publish_track(self, track: Any, options: Any) -> None:
        self.published.append((track, options))


class Room:
    """A room with an agent in it; an address that ends with ``refused`` cannot be joined."""

    made: ClassVar[list["Room"]] = []

    def __init__(self) -> None:
        self.local_participant = Participant()
        self.remote_participants: dict[str, Any] = {"agent": object()}
        self.streams: dict[str, Any] = {}
        self.callbacks: dict[str, Any] = {}
        self.keeps = False
        """Whether nobody can leave."""
        self.place = ("", "")
        self._connected = False
        Room.made.append(self)

    async def connect(self, url: str, token: str, options: Any) -> None:
        assert not options.auto_subscribe
        if url.endswith("refused"):
            raise ConnectError
        self.place, self._connected = (url, token), True

    def isconnected(self) -> bool:
        return self._connected

    def register_byte_stream_handler(self, topic: str, handler: Any) -> None:
        self.streams[topic] = handler

    def on(self, event: str, callback: Any) -> None:
        self.callbacks[event] = callback

    async def disconnect(self) -> None:
        while self.keeps:
            await asyncio.sleep(3600)
        self._connected = False


class EncodedVideoSource:
    """Keeps the pictures; asks for a key frame when a test says so."""

    def __init__(self, width: int, height: int) -> None:
        self.size = width, height
        self.pictures: list[Any] = []
        self.asks_for_key = False
        self.target_bitrate: int | None = None
        self.closed = False

    def capture_frame(self, frame: Any) -> bool:
        self.pictures.append(frame)
        return True

    def take_feedback(self) -> Any:
        asks, self.asks_for_key = self.asks_for_key, False
        rate = SimpleNamespace(target_bitrate_bps=self.target_bitrate) if self.target_bitrate else None
        return SimpleNamespace(keyframe_requested=asks, rate_control=rate)

    async def aclose(self) -> None:
        self.closed = True


class AudioSource:
    """Keeps the sound."""

    def __init__(self, rate: int, channels: int, queue_size_ms: int) -> None:
        assert (rate, channels, queue_size_ms) == (48_000, 1, 0)
        self.sound: list[bytes] = []
        self.closed = False

    async def capture_frame(self, frame: Any) -> None:
        self.sound.append(frame.data)

    async def aclose(self) -> None:
        self.closed = True


def _named(**values: Any) -> Any:
    return SimpleNamespace(**values)


def install(monkeypatch: pytest.MonkeyPatch) -> type[Room]:
    """Put the stand-in where ``livekit.rtc`` is looked for; return the class of its rooms, which none is made of."""
    module = ModuleType("livekit.rtc")
    Room.made = []
    module.__dict__.update(
        Room=Room,
        ConnectError=ConnectError,
        RpcError=RpcError,
        RoomOptions=_named,
        EncodedVideoSource=EncodedVideoSource,
        AudioSource=AudioSource,
        TrackPublishOptions=_named,
        VideoEncoding=_named,
        TrackSource=_named(SOURCE_CAMERA="camera", SOURCE_MICROPHONE="microphone"),
        VideoCodec=_named(H264="h264"),
        VideoEncoderBackend=_named(ENCODER_BACKEND_PRE_ENCODED="as it is"),
        EncodedFrameType=_named(ENCODED_FRAME_KEY="key", ENCODED_FRAME_DELTA="delta"),
        LocalVideoTrack=_named(create_video_track=lambda name, source: (name, source)),
        LocalAudioTrack=_named(create_audio_track=lambda name, source: (name, source)),
        AudioFrame=lambda data, rate, channels, samples: _named(
            data=data, rate=rate, channels=channels, samples=samples
        ),
        EncodedVideoFrame=lambda data, width, height, codec, kind, timestamp_us: _named(
            data=data, size=(width, height), codec=codec, kind=kind, timestamp_us=timestamp_us
        ),
    )
    package = ModuleType("livekit")
    package.__path__ = []
    monkeypatch.setitem(sys.modules, "livekit", package)
    monkeypatch.setitem(sys.modules, "livekit.rtc", module)
    return Room

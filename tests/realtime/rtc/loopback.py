"""Two peers in one process: ours, and a stock aiortc client that records what arrives."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
from aiortc import RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, MediaStreamError
from aiortc.rtp import RtcpPacket, RtcpSrPacket, RtpPacket

from lipstream.realtime.clock import PlayoutClock
from lipstream.realtime.encoding.broadcast import Broadcast
from lipstream.realtime.rtc.aiortc_patches.peer_connection import PlayoutConnection
from lipstream.realtime.rtc.peer import Peer
from lipstream.realtime.rtc.rtc_settings import RtcSettings
from lipstream.realtime.wire.control_messages import ControlMessage

WAIT_S = 60.0
QUICK = RtcSettings(connect_timeout_s=WAIT_S, silence_timeout_s=WAIT_S)


async def until(condition: Callable[[], object], what: str = "condition") -> None:
    """Wait for something that must come, however slow the machine is."""
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, f"never came: {what}"
        await asyncio.sleep(0.01)


class TonePlayout:
    """A tone and a moving square; remembers what left."""

    def __init__(self, *, size: int = 128) -> None:
        self.clock = PlayoutClock(epoch_s=time.monotonic(), delay_samples=3200)
        self.size = size
        self.speech_sent: list[tuple[int, float]] = []
        self.pictures_sent: list[tuple[int, float]] = []
        self.skips: list[tuple[str, int]] = []
        self.fail: str | None = None
        self.slow_picture_s = 0.0
        self.mouth_late_s: dict[int, float] = {}

    @property
    def picture_size(self) -> tuple[int, int]:
        return self.size, self.size

    def speech(self, packet: int) -> np.ndarray:
        if self.fail == "speech":
            raise RuntimeError("no sound")
        sound: np.ndarray = 8000 * np.sin(np.arange(960 * packet, 960 * (packet + 1)) * 0.05)
        return sound.astype(np.int16)

    def picture(self, frame: int) -> Callable[[], np.ndarray]:
        return lambda: self._paint(frame)

    def _paint(self, frame: int) -> np.ndarray:
        if self.fail == "picture":
            raise RuntimeError("no picture")
        time.sleep(self.slow_picture_s)
        i420 = np.full((self.size * 3 // 2, self.size), 128, np.uint8)
        left = frame * 4 % (self.size - 32)
        i420[32:64, left : left + 32] = 220
        return i420

    def await_mouth(self, frame: int, there: Callable[[], None]) -> bool:
        if frame in self.mouth_late_s:
            asyncio.get_running_loop().call_later(self.mouth_late_s[frame], there)
        return frame in self.mouth_late_s

    def sent_speech(self, packet: int, now_s: float) -> None:
        self.speech_sent.append((packet, now_s))

    def sent_picture(self, frame: int, now_s: float) -> None:
        self.pictures_sent.append((frame, now_s))

    def skipped(self, kind: str, count: int) -> None:
        self.skips.append((kind, count))


class Client:
    """A stock aiortc browser stand-in."""

    def __init__(
        self,
        *,
        microphone: bool = True,
        control: bool = True,
        video: str = "recvonly",
        video_first: bool = False,
        configuration: RTCConfiguration | None = None,
    ) -> None:
        self.pc = RTCPeerConnection(configuration or RTCConfiguration(iceServers=[]))
        if video_first:
            self.pc.addTransceiver("video", direction=video)
        if microphone:
            self.pc.addTrack(AudioStreamTrack())
        else:
            self.pc.addTransceiver("audio", direction="recvonly")
        if not video_first:
            self.pc.addTransceiver("video", direction=video)
        self._channel = self.pc.createDataChannel("control") if control else None
        self.messages: list[Any] = []
        if self._channel is not None:
            self._channel.on("message", self.messages.append)
        self.frames: dict[str, list[Any]] = {"audio": [], "video": []}
        self.rtp: dict[int, list[RtpPacket]] = {}
        self.reports: dict[int, list[RtcpSrPacket]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self.pc.on("track", self._track_came)

    def _track_came(self, track: Any) -> None:
        async def drain() -> None:
            try:
                while True:
                    self.frames[track.kind].append(await track.recv())
            except MediaStreamError:
                pass

        self._tasks.append(asyncio.create_task(drain()))

    async def offer(self) -> str:
        await self.pc.setLocalDescription(await self.pc.createOffer())
        return self.pc.localDescription.sdp

    async def accept(self, answer: str) -> None:
        await self.pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        transport: Any = self.pc.getTransceivers()[0].receiver.transport
        handle_rtp, handle_rtcp = transport._handle_rtp_data, transport._handle_rtcp_data

        async def on_rtp(data: bytes, arrival_time_ms: int) -> None:
            packet = RtpPacket.parse(data)
            self.rtp.setdefault(packet.ssrc, []).append(packet)
            await handle_rtp(data, arrival_time_ms)

        async def on_rtcp(data: bytes) -> None:
            for packet in RtcpPacket.parse(data):
                if isinstance(packet, RtcpSrPacket):
                    self.reports.setdefault(packet.ssrc, []).append(packet)
            await handle_rtcp(data)

        transport._handle_rtp_data, transport._handle_rtcp_data = on_rtp, on_rtcp

    @property
    def channel(self) -> RTCDataChannel:
        assert self._channel is not None, "the client was made without one"
        return self._channel

    @property
    def ice(self) -> Any:
        return self.pc.getTransceivers()[0].receiver.transport.transport._connection

    def vanish(self) -> None:
        """Send nothing any more, not even a farewell."""

        async def send_data(data: bytes, addr: tuple[str, int]) -> None:
            pass

        for protocol in self.ice._protocols:
            protocol.send_data = send_data
            protocol.send_stun = lambda message, addr: None

    async def close(self) -> None:
        ice = self.ice
        await self.pc.close()
        await asyncio.sleep(0.05)
        if ice._query_consent_task is not None:  # a stock connection closed in its handshake forgets it
            ice._query_consent_task.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def connection_of(peer: Peer) -> PlayoutConnection:
    """Return what our peer was answered by."""
    assert peer._connection is not None
    return peer._connection


class LoopbackCall:
    """Our peer with everything it reported."""

    def __init__(self, playout: TonePlayout, settings: RtcSettings = QUICK) -> None:
        self.playout = playout
        self.sound: list[tuple[int, np.ndarray, float]] = []
        self.controls: list[ControlMessage] = []
        self.gone: list[str] = []
        self.broadcast = Broadcast(playout)
        self.peer = Peer(
            self.broadcast,
            settings=settings,
            microphone=SimpleNamespace(push=lambda *chunk: self.sound.append(chunk)),
            on_control=self._control,
            on_gone=self.gone.append,
        )

    async def close(self) -> None:
        await self.peer.close()
        await self.broadcast.close()

    def _control(self, message: ControlMessage) -> None:
        self.controls.append(message)
        if message["type"] == "end_of_turn":
            raise RuntimeError("secret")


@asynccontextmanager
async def connected(
    client: Client, *, playout: TonePlayout | None = None, settings: RtcSettings = QUICK
) -> AsyncIterator[LoopbackCall]:
    """Yield a call whose two ends are connected; close both."""
    call = LoopbackCall(playout or TonePlayout(), settings)
    try:
        await client.accept(await call.peer.answer(await client.offer()))
        await until(lambda: call.peer.connected, "connection")
        yield call
    finally:
        await client.close()
        await call.close()

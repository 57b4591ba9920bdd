"""A bot with a face in a real Pipecat pipeline, seen by a real peer; writes what was seen.

Run in an environment with pipecat-ai: ``python -m tests.integrations.pipecat_in_process OUT.json``. The pipeline is
that of docs/PIPECAT.md. ``TURNS`` is the number of utterances that are said and interrupted, with a face and without.
"""

import asyncio
import json
import os
import re
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, MediaStreamError
from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    EndFrame,
    Frame,
    InterruptionFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
)
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.transports.smallwebrtc.connection import SmallWebRTCConnection
from pipecat.transports.smallwebrtc.transport import SmallWebRTCTransport
from pipecat.workers.runner import WorkerRunner
from pipecat_lipstream import video

from lipstream import Face
from tests.integrations.marked_face import LOUD, MarkedFace, is_marked, stages_ms
from tests.realtime.speech import voice

(DOCUMENTED,) = re.findall(r"```python\n(.*?)```", Path("docs/PIPECAT.md").read_text(), re.DOTALL)
RATE = 24_000
SPEECH = np.rint(voice(2.0, RATE) * 32767).astype(np.int16)


class Watcher(FrameProcessor):  # type: ignore[misc]  # untyped where Pipecat is not
    """Notes what the output transport says of the bot's speech."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, BotStartedSpeakingFrame | BotStoppedSpeakingFrame):
            self.said.append(type(frame).__name__)
        await self.push_frame(frame, direction)


class Seen:
    """What reaches the peer: times of pictures and of loud sound, and the stamps of the pictures."""

    def __init__(self) -> None:
        self.pictures: list[tuple[float, float]] = []
        self.size = (0, 0)
        self.marked: list[float] = []
        self.loud: list[float] = []
        self.lines: list[Any] = []

    async def watch(self, track: MediaStreamTrack) -> None:
        while True:
            try:
                frame: Any = await track.recv()
            except MediaStreamError:
                return
            now_s = time.monotonic()
            if track.kind == "video":
                self.pictures.append((now_s, float(frame.pts * frame.time_base)))
                self.size = frame.width, frame.height
                if is_marked(frame.to_ndarray(format="gray")):
                    self.marked.append(now_s)
            elif np.abs(frame.to_ndarray().astype(int)).max() > LOUD:
                self.loud.append(now_s)

    def clear(self) -> None:
        self.marked.clear()
        self.loud.clear()
        MarkedFace.stages.clear()

    def heard_s(self) -> float:
        return round(self.loud[-1] - self.loud[0] + 0.02, 3) if self.loud else 0.0


class BrokenFace(Face):
    """Fails after half a second of speech."""

    def _next(self) -> Any:
        frame = super()._next()
        if frame.position > RATE // 2:
            raise RuntimeError("the face is broken")
        return frame


async def say(worker: PipelineWorker) -> None:
    await worker.queue_frame(TTSStartedFrame())
    for start in range(0, SPEECH.size, 480):
        await worker.queue_frame(TTSAudioRawFrame(SPEECH[start : start + 480].tobytes(), RATE, 1))
    await worker.queue_frame(TTSStoppedFrame())


class Call:
    """A bot and its peer, connected.

    Args:
        face_class: Class that draws and marks the pictures; ``None`` leaves the face out of the pipeline.
    """

    def __init__(self, face_class: type[Face] | None) -> None:
        self.connection, self.client, self.seen = SmallWebRTCConnection(), RTCPeerConnection(), Seen()
        self.client.addTrack(AudioStreamTrack())
        self.client.addTransceiver("video", direction="recvonly")
        self.client.createDataChannel("chat")
        self.watching: list[asyncio.Task[None]] = []
        self.client.on("track", lambda track: self.watching.append(asyncio.create_task(self.seen.watch(track))))
        self.watcher = Watcher()
        code = DOCUMENTED.replace("..., tts", "transport.input(), tts")
        if face_class:
            video.Face = face_class
        else:
            code = code.replace('LipstreamVideoService(avatar="ada"), ', "")
        params, pipeline = code.split("pipeline = ")
        names: dict[str, Any] = {"tts": self.watcher}
        exec(params, names)
        self.transport = names["transport"] = SmallWebRTCTransport(self.connection, names["params"])
        exec(f"pipeline = {pipeline}", names)
        self.worker = PipelineWorker(
            names["pipeline"], params=PipelineParams(audio_out_sample_rate=RATE), enable_rtvi=False
        )
        self.runner = WorkerRunner(handle_sigint=False)

    async def begin(self) -> None:
        """Connect, and wait until the face is there."""
        await self.runner.add_workers(self.worker)
        connected = asyncio.Event()

        @self.transport.event_handler("on_client_connected")  # type: ignore[untyped-decorator]
        async def _connected(*_: object) -> None:
            connected.set()

        await self.client.setLocalDescription(await self.client.createOffer())
        await self.connection.initialize(self.client.localDescription.sdp, self.client.localDescription.type)
        answer = self.connection.get_answer()
        assert answer
        self.running = asyncio.create_task(self.runner.run())
        await self.client.setRemoteDescription(RTCSessionDescription(answer["sdp"], answer["type"]))
        await self.connection.connect()
        await connected.wait()

    async def see_25_pictures(self) -> None:
        while len(self.seen.pictures) < 25:
            await asyncio.sleep(0.05)

    async def speak(self) -> dict[str, Any]:
        """Say an utterance to its end."""
        seen = self.seen
        seen.clear()
        self.watcher.said.clear()
        begun_s = time.monotonic()
        await say(self.worker)
        while not seen.loud or time.monotonic() - seen.loud[-1] < 0.7:
            await asyncio.sleep(0.02)
        facts = {"heard_s": seen.heard_s(), "said": list(self.watcher.said)}
        facts["sound_ms"] = round((seen.loud[0] - begun_s) * 1000, 1)
        if seen.marked:
            facts["picture_ms"] = round((seen.marked[0] - begun_s) * 1000, 1)
            facts["stages_ms"] = stages_ms(begun_s, seen.marked[0], seen.loud[0])
        return facts

    async def interrupt(self) -> dict[str, Any]:
        """Say an utterance and interrupt it."""
        seen = self.seen
        seen.clear()
        await say(self.worker)
        while not seen.loud:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.5)
        cut_s = time.monotonic()
        await self.worker.queue_frame(InterruptionFrame())
        while time.monotonic() - max(cut_s, seen.loud[-1]) < 0.7:
            await asyncio.sleep(0.02)
        return {"heard_s": seen.heard_s(), "tail_ms": round((seen.loud[-1] - cut_s) * 1000)}

    async def end(self) -> None:
        if not self.running.done():
            await self.runner.cancel()
            await asyncio.wait([self.running])  # it may say that it was cancelled
        await self.client.close()
        for task in self.watching:
            task.cancel()


async def with_face(turns: int) -> dict[str, Any]:
    """Speak, be interrupted, speak again and end; return what was seen."""
    call = Call(MarkedFace)
    await call.begin()
    await call.see_25_pictures()
    facts: dict[str, Any] = {"speech_s": SPEECH.size / RATE}
    facts["whole"] = [await call.speak() for _ in range(turns)]
    facts["interrupted"] = [await call.interrupt() for _ in range(turns)]
    call.seen.clear()
    await say(call.worker)
    await call.worker.queue_frame(EndFrame())  # at once: what waits is said before the end
    await call.running
    facts["last"] = {"heard_s": call.seen.heard_s()}
    at_s, stamps = np.array(call.seen.pictures[25:]).T
    facts["pictures_a_second"] = round((len(at_s) - 1) / (at_s[-1] - at_s[0]), 2)
    facts["rtp_clock"] = round((stamps[-1] - stamps[0]) / (at_s[-1] - at_s[0]), 3)
    facts["size"] = call.seen.size
    await call.end()
    return facts


async def with_a_broken_face() -> dict[str, Any]:
    """Speak with a face that fails; return what was heard."""
    call = Call(BrokenFace)
    await call.begin()
    await call.see_25_pictures()
    facts = {"speech_s": SPEECH.size / RATE, **await call.speak()}
    await call.end()
    return facts


async def without_face(turns: int) -> dict[str, Any]:
    """Speak and be interrupted in the same pipeline without a face; return what was heard."""
    call = Call(None)
    await call.begin()
    await asyncio.sleep(1)
    facts = {"whole": [await call.speak() for _ in range(turns)]}
    facts["interrupted"] = [await call.interrupt() for _ in range(turns)]
    await call.end()
    return facts


async def main() -> dict[str, Any]:
    turns = int(os.environ.get("TURNS", "1"))
    try:
        seen = {"call": await with_face(turns), "broken": await with_a_broken_face()}
        return seen | ({"without": await without_face(turns)} if turns > 1 else {})
    except Exception:  # noqa: BLE001 (whatever it is)
        traceback.print_exc()
        os._exit(1)  # tasks of a pipeline that is left in the middle keep its program


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(asyncio.run(main()), indent=1))

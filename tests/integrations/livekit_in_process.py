"""An agent with a face in its own process, with LiveKit's real sources, tracks and agent session; writes what was seen.

Run in an environment with livekit-agents: ``python -m tests.integrations.livekit_in_process OUT.json``. The room is a
stand-in that is connected and takes publications; the native library loops local tracks back into streams.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from livekit import rtc
from livekit.agents import Agent, AgentSession
from livekit.plugins import lipstream

from lipstream.realtime.errors import NotFoundError
from lipstream.realtime.lipsync.predictor import DeviceLostError
from tests.integrations.marked_face import LOUD, MarkedFace, is_marked, stages_ms
from tests.realtime.speech import voice

RATE, SOUND_HZ = 24_000, 48_000
SPEECH = np.rint(voice(2.0, RATE) * 32767).astype(np.int16)


class Room:
    """Connected, and empty but for the agent."""

    name = "test"
    identity = "agent"

    def __init__(self) -> None:
        self.local_participant = self
        self.published: list[tuple[Any, rtc.TrackPublishOptions]] = []
        self.unpublished: list[int] = []
        self.remote_participants: dict[str, Any] = {}
        self.track_publications: dict[str, Any] = {}

    def isconnected(self) -> bool:
        return True

    def on(self, *_: object) -> None: ...

    def off(self, *_: object) -> None: ...

    async def publish_track(self, track: Any, options: rtc.TrackPublishOptions) -> SimpleNamespace:
        self.published.append((track, options))
        return SimpleNamespace(sid=len(self.published))

    async def unpublish_track(self, sid: int) -> None:
        self.unpublished.append(sid)

    def track(self, kind: int) -> Any:
        return next(track for track, _ in self.published if track.kind == kind)


class Watch:
    """Notes when pictures come, which of them are marked, and when the sound is loud, in monotonic seconds."""

    def __init__(self) -> None:
        self.pictures: list[float] = []
        self.marked: list[float] = []
        self.loud: list[float] = []
        self.spans: list[tuple[int, int]] = []
        self.size = (0, 0)
        self.streams: list[Any] = []

    async def see(self, track: Any) -> None:
        stream = rtc.VideoStream(track, format=rtc.VideoBufferType.I420)
        self.streams.append(stream)
        async for event in stream:
            now_s, width = time.monotonic(), event.frame.width
            self.pictures.append(now_s)
            self.size = width, event.frame.height
            luma = np.frombuffer(event.frame.data, np.uint8)[: width * event.frame.height]
            if is_marked(luma.reshape(-1, width)):
                self.marked.append(now_s)

    async def hear(self, track: Any) -> None:
        stream = rtc.AudioStream(track, sample_rate=SOUND_HZ, num_channels=1, frame_size_ms=10)
        self.streams.append(stream)
        async for event in stream:
            samples = np.abs(np.frombuffer(event.frame.data, np.int16).astype(int))
            above = np.flatnonzero(samples > LOUD)
            if above.size:
                self.loud.append(time.monotonic())
                self.spans.append((int(above[0]), int(above[-1])))

    def clear(self) -> None:
        self.marked.clear()
        self.loud.clear()
        self.spans.clear()
        MarkedFace.stages.clear()

    def heard_s(self) -> float:
        """Length of the loud sound, whose 10 ms are all loud; silence in which the face stalled is left out."""
        unheard = self.spans[0][0] + SOUND_HZ // 100 - 1 - self.spans[-1][1]
        return round(len(self.spans) / 100 - unheard / SOUND_HZ, 4)

    def lips_after_sound_ms(self) -> float:
        return round((self.marked[0] - self.loud[0]) * 1000, 1)


def lose_device(*_: object) -> Any:
    raise DeviceLostError("the card is gone")


async def tts(sound: np.ndarray = SPEECH) -> AsyncIterator[rtc.AudioFrame]:
    for start in range(0, sound.size, 480):
        part = sound[start : start + 480]
        yield rtc.AudioFrame(part.tobytes(), RATE, 1, part.size)


async def main() -> dict[str, Any]:
    """Speak in several ways; return what was seen and reported."""
    sys.modules["livekit.plugins.lipstream.avatar"].Face = MarkedFace  # type: ignore[attr-defined]
    room, session, watch = Room(), AgentSession(), Watch()
    avatar = lipstream.AvatarSession(avatar="ada")
    await avatar.start(session, room=room)
    assert avatar.motions == (), "this avatar has one clip"
    refused = ""
    try:
        avatar.motion("greet")
    except NotFoundError as error:
        refused = error.message
    assert "has no motions" in refused
    await session.start(agent=Agent(instructions="test"))
    while len(room.published) < 2:
        await asyncio.sleep(0.02)
    watching = [
        asyncio.create_task(watch.see(room.track(rtc.TrackKind.KIND_VIDEO))),
        asyncio.create_task(watch.hear(room.track(rtc.TrackKind.KIND_AUDIO))),
    ]
    events: list[dict[str, Any]] = []
    output = session.output.audio
    assert output
    output.on("playback_started", lambda _: events.append({"type": "started", "at_s": time.monotonic()}))
    output.on(
        "playback_finished",
        lambda event: events.append(
            {"type": "finished", "position_s": event.playback_position, "interrupted": event.interrupted}
        ),
    )
    facts: dict[str, Any] = {"speech_s": SPEECH.size / RATE, "identity": avatar.avatar_identity}
    await asyncio.sleep(0.5)

    async def speak(*, interrupt_after_s: float | None = None, show: str = "") -> dict[str, Any]:
        watch.clear()
        events.clear()
        begun_s = time.monotonic()
        handle = session.say("hello", audio=tts(), add_to_chat_ctx=False)
        if interrupt_after_s is None:
            if show:
                while not watch.loud:
                    await asyncio.sleep(0.005)
                await avatar.show(show)
            await handle.wait_for_playout()
        else:
            while not watch.loud:
                await asyncio.sleep(0.005)
            await asyncio.sleep(interrupt_after_s)
            cut_s = time.monotonic()
            handle.interrupt()
            await handle.wait_for_playout()
        await asyncio.sleep(0.5)
        seen = {
            "events": list(events),
            "sound_ms": round((watch.loud[0] - begun_s) * 1000, 1),
            "picture_ms": round((watch.marked[0] - begun_s) * 1000, 1),
            "stages_ms": stages_ms(begun_s, watch.marked[0], watch.loud[0]),
            "lips_after_sound_ms": watch.lips_after_sound_ms(),
        }
        if interrupt_after_s is not None:
            seen["tail_ms"] = round((watch.loud[-1] - cut_s) * 1000, 1)
            seen["heard_s"] = watch.heard_s()
        return seen

    facts["whole"] = [await speak() for _ in range(2)]
    facts["interrupted"] = [await speak(interrupt_after_s=0.8) for _ in range(3)]

    watch.clear()
    events.clear()
    handles = [session.say("one", audio=tts(), add_to_chat_ctx=False) for _ in range(2)]
    for handle in handles:
        await handle.wait_for_playout()
    await asyncio.sleep(0.3)
    facts["following"] = list(events)

    time.sleep(1)  # noqa: ASYNC251 (the stall that is tried)
    await asyncio.sleep(0.5)
    facts["after_stall"] = await speak()
    pictures = np.diff(watch.pictures[-75:])
    facts["pictures_a_second"] = round(float(1 / pictures.mean()), 2)
    facts["size"] = watch.size
    options = [options for track, options in room.published if track.kind == rtc.TrackKind.KIND_VIDEO]
    facts["codec"] = rtc.VideoCodec.Name(options[0].video_codec)
    facts["simulcast"] = options[0].simulcast

    facts["switched"] = await speak(show="ben")
    face = avatar._face
    assert face
    facts["avatar"] = face.avatar
    face._engine.drawer.draw = lose_device
    facts["failing"] = await speak()
    events.clear()
    async for frame in tts():  # an utterance that is still open when the face is closed, and one after that
        await output.capture_frame(frame)
    await asyncio.sleep(0.5)
    for task in watching:
        task.cancel()
    await asyncio.wait(watching)
    for stream in watch.streams:  # one that outlives the loop ends the process with a panic
        await stream.aclose()
    await avatar.aclose()
    output.flush()
    await output.capture_frame(frame)
    output.flush()
    facts["closed"] = list(events)
    facts["unpublished"] = room.unpublished
    await session.aclose()
    await avatar.aclose()
    await avatar.aclose()
    facts["tasks"] = sorted(task.get_name() for task in asyncio.all_tasks() if "lipstream" in task.get_name())
    return facts


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(asyncio.run(main()), indent=1))

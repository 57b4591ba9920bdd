"""An agent in a room with a face that a Lipstream server shows there; writes what was seen.

Run in an environment with livekit-agents: ``python -m tests.integrations.livekit_in_room OUT.json``. The room is
:mod:`tests.integrations.standin_room`; the clients in it, agent's and server's, are LiveKit's own, and the server is a
process of its own.
"""

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from livekit import api, rtc
from livekit.agents import Agent, AgentSession, APIStatusError
from livekit.agents.metrics.base import AvatarMetrics
from livekit.plugins import lipstream

from tests.integrations.livekit_in_process import RATE, SOUND_HZ, SPEECH, tts
from tests.integrations.marked_face import LOUD, is_marked
from tests.integrations.marked_server import HEARD, PAINTED, PUBLISHED, stages
from tests.integrations.standin_room import Member, StandInRoom
from tests.server_process import ServerProcess

KEY, SECRET = "devkey", "a secret that is long enough for a signature"


class Seen:
    """What reaches the room: pictures with their stamps, and sound with its positions, by monotonic time, s."""

    def __init__(self) -> None:
        self.pictures: list[tuple[float, float]] = []
        self.marked: list[float] = []
        self.loud: list[tuple[float, int]] = []
        self.size = (0, 0)
        self.watching: list[asyncio.Task[None]] = []

    def on_track(self, member: Member, info: Any, track: MediaStreamTrack) -> asyncio.Event:
        come = asyncio.Event()
        self.watching.append(asyncio.create_task(self._watch(track, come)))
        return come

    async def _watch(self, track: MediaStreamTrack, come: asyncio.Event) -> None:
        while True:
            try:
                frame: Any = await track.recv()
            except MediaStreamError:
                return
            now_s = time.monotonic()
            come.set()
            if isinstance(frame, av.VideoFrame):
                assert frame.pts is not None
                assert frame.time_base
                self.pictures.append((now_s, float(frame.pts * frame.time_base)))
                self.size = frame.width, frame.height
                if is_marked(frame.to_ndarray(format="gray")):
                    self.marked.append(now_s)
            else:
                mono = np.abs(frame.to_ndarray().reshape(-1, len(frame.layout.channels))[:, 0].astype(int))
                if (above := np.flatnonzero(mono > LOUD)).size:
                    self.loud += [(now_s, frame.pts + int(above[0])), (now_s, frame.pts + int(above[-1]))]

    def clear(self) -> None:
        self.marked.clear()
        self.loud.clear()

    def heard_s(self) -> float:
        """Media time from the first loud sample to the last one."""
        return round((self.loud[-1][1] - self.loud[0][1]) / SOUND_HZ, 4) if self.loud else 0.0


def agent_token() -> str:
    grants = api.VideoGrants(room_join=True, room="room")
    token: str = api.AccessToken(KEY, SECRET).with_kind("agent").with_identity("agent").with_grants(grants).to_jwt()
    return token


class Stage:
    """The room, the server, the agent in the room, and its face."""

    def __init__(self, server: ServerProcess, noted: Path) -> None:
        self.server, self.seen, self.noted = server, Seen(), noted
        self.room = StandInRoom(self.seen.on_track)
        self.agent_room, self.session = rtc.Room(), AgentSession()
        self.events: list[dict[str, Any]] = []
        self.metrics: list[Any] = []

    async def begin(self) -> lipstream.RemoteAvatarSession:
        await self.agent_room.connect(self.room.url, agent_token())
        avatar = lipstream.RemoteAvatarSession(
            avatar="ada",
            server=self.server.url,
            livekit_url=self.room.url,
            livekit_api_key=KEY,
            livekit_api_secret=SECRET,
        )
        avatar.on("metrics_collected", self.metrics.append)
        await avatar.start(self.session, room=self.agent_room)
        await self.session.start(agent=Agent(instructions="test"))
        output = self.session.output.audio
        assert output
        output.on("playback_started", lambda _: self.events.append({"type": "started", "at_s": time.monotonic()}))
        output.on("playback_finished", self._note_finished)
        await avatar.wait_for_join()
        assert avatar.motions == (), "this avatar has one clip"
        while len(self.seen.pictures) < 25:
            await asyncio.sleep(0.05)
        return avatar

    def _note_finished(self, event: Any) -> None:
        self.events.append(
            {
                "type": "finished",
                "at_s": time.monotonic(),
                "position_s": event.playback_position,
                "interrupted": event.interrupted,
            }
        )

    async def speak(self, *, interrupt_after_s: float | None = None) -> dict[str, Any]:
        """Say an utterance, and interrupt it if asked; return what was reported and what came."""
        seen = self.seen
        seen.clear()
        self.events.clear()
        begun_s = time.monotonic()
        handle = self.session.say("hello", audio=tts(), add_to_chat_ctx=interrupt_after_s is None)
        cut_s = 0.0
        if interrupt_after_s is not None:
            while not seen.loud:
                await asyncio.sleep(0.005)
            await asyncio.sleep(interrupt_after_s)
            cut_s = time.monotonic()
            handle.interrupt()
        await handle.wait_for_playout()
        over_s = time.monotonic()
        await asyncio.sleep(0.6)
        facts = {
            "events": list(self.events),
            "over_ms": round((over_s - begun_s) * 1000, 1),
            "heard_s": seen.heard_s(),
            "sound_ms": round((seen.loud[0][0] - begun_s) * 1000, 1),
            "picture_ms": None,  # a machine that is far too slow shows no mouth in so short a time
        }
        if seen.marked:
            facts["picture_ms"] = round((seen.marked[0] - begun_s) * 1000, 1)
            facts["stages_ms"] = stages_ms(stages(self.noted), begun_s, seen.marked[0])
            facts["lips_after_sound_ms"] = round((seen.marked[0] - seen.loud[0][0]) * 1000, 1)
        if cut_s:
            facts["tail_ms"] = round((seen.loud[-1][0] - cut_s) * 1000, 1)
        return facts

    async def follow(self) -> list[dict[str, Any]]:
        """Send two utterances without a gap between them, as no agent does; return what was reported."""
        self.seen.clear()
        self.events.clear()
        output = self.session.output.audio
        assert output
        for _ in range(2):
            async for frame in tts():
                await output.capture_frame(frame)
            output.flush()
        while sum(event["type"] == "finished" for event in self.events) < 2:
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.3)
        return [*self.events, {"type": "heard", "heard_s": self.seen.heard_s()}]

    async def say_nothing(self) -> list[str]:
        """Send a stream without sound, as no utterance; return the methods that are called back."""
        here, called = self.agent_room.local_participant, []
        handlers = dict(here._rpc_handlers)

        def note(call: rtc.RpcInvocationData) -> str:
            called.append(call.payload or "started")
            return "ok"

        for method in ("lk.playback_started", "lk.playback_finished"):
            here.register_rpc_method(method, note)
        attributes = {"sample_rate": str(RATE), "num_channels": "1"}
        writer = await here.stream_bytes(
            name="empty", topic="lk.audio_stream", destination_identities=["lipstream-avatar"], attributes=attributes
        )
        await writer.aclose()
        while not called:
            await asyncio.sleep(0.02)
        for method, handler in handlers.items():
            here.register_rpc_method(method, handler)
        return called


def stages_ms(noted: list[tuple[str, float]], begun_s: float, seen_s: float) -> dict[str, float]:
    """Return where the time from ``say`` to the picture at the room goes, ms: one stage after the other."""
    steps = {"to the server": HEARD, "to the first mouth": PAINTED, "encoded": PUBLISHED}
    took, before_s = {}, begun_s
    for name, stage in steps.items():
        at_s = next((at_s for one, at_s in noted if one == stage and at_s >= before_s), before_s)
        took[name], before_s = round((at_s - before_s) * 1000, 1), at_s
    return took | {"to the room": round((seen_s - before_s) * 1000, 1)}


async def run(server: ServerProcess, interruptions: int, noted: Path) -> dict[str, Any]:
    stage = Stage(server, noted)
    async with stage.room:
        avatar = await stage.begin()
        face = stage.room.members["lipstream-avatar"]
        facts: dict[str, Any] = {
            "speech_s": SPEECH.size / RATE,
            "on_behalf_of": face.info.attributes.get("lk.publish_on_behalf"),
            "kind": face.claims["kind"],
            "layers": [len(asked.layers) for asked in face.requests if asked.type == 1],
            "codecs": [[one.codec for one in asked.simulcast_codecs] for asked in face.requests if asked.type == 1],
        }
        facts["whole"] = [await stage.speak() for _ in range(2)]
        facts["interrupted"] = [await stage.speak(interrupt_after_s=0.5 + 0.09 * n) for n in range(interruptions)]
        facts["following"] = await stage.follow()
        facts["empty"] = await stage.say_nothing()
        at_s, stamps = np.array(stage.seen.pictures[25:]).T
        facts["pictures_a_second"] = round((len(at_s) - 1) / (at_s[-1] - at_s[0]), 2)
        facts["rtp_clock"] = round((stamps[-1] - stamps[0]) / (at_s[-1] - at_s[0]), 3)
        facts["size"] = stage.seen.size
        facts["latencies_s"] = [one.playback_latency for one in stage.metrics if one.playback_latency is not None]
        facts["joined_s"] = [
            one.avatar_joined_time - one.session_started_time
            for one in stage.metrics
            if isinstance(one, AvatarMetrics) and one.avatar_joined_time
        ]
        (session,) = server.get("/api/sessions")
        figures = server.get(f"/api/sessions/{session['id']}")
        await avatar.show("ben")
        facts["shown"] = server.get(f"/api/sessions/{session['id']}")["avatar"]
        facts["server"] = {"fps": figures["fps"], "state": figures["state"], "peer": figures["peer"]}
        await stage.session.aclose()
        await avatar.aclose()
        await avatar.aclose()
        while "lipstream-avatar" not in stage.room.left:
            await asyncio.sleep(0.05)
        facts["sessions"] = server.get("/api/sessions")
        try:
            await lipstream.RemoteAvatarSession(
                server=server.url, livekit_url="ftp://127.0.0.1", livekit_token="none"
            ).start(AgentSession(), room=stage.agent_room)
        except APIStatusError as error:
            facts["refused"] = [error.status_code, error.message]
        await stage.agent_room.disconnect()
    return facts


def main(out: Path, interruptions: int) -> None:
    store = Path(os.environ.get("LIPSTREAM_STORE", out.parent / "store"))
    command = (sys.executable, "-m", "tests.integrations.marked_server")
    server = ServerProcess(store, (), command, log=out.with_suffix(".log"))
    noted = out.with_suffix(".stages")
    noted.unlink(missing_ok=True)
    os.environ["STAGES"] = str(noted)
    server.start()
    try:
        out.write_text(json.dumps(asyncio.run(run(server, interruptions, noted)), indent=1))
    finally:
        if server.process:
            server.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(os.environ.get("INTERRUPTIONS", "3")))

"""A face in the agent's own process, shown by the agent's own participant."""

import asyncio
import contextlib
from typing import Any, Literal

from livekit import rtc
from livekit.agents import AgentSession
from livekit.agents.voice.avatar import AvatarSession as BaseAvatarSession
from livekit.plugins.lipstream.log import logger
from livekit.plugins.lipstream.output import FaceOutput

from lipstream import Engine, Face, MarkStyle

RATE_HZ = 24_000
"""Rate of the face's sound; the agent's speech engine is resampled to it where it differs."""
_QUEUE_MS = 200
"""Bound of the audio source's queue, which holds 60 ms at most."""


class AvatarSession(BaseAvatarSession[Literal["metrics_collected"]]):
    """Gives an agent a face. Start it before the agent session.

    Args:
        avatar: Id of an avatar in Lipstream's store, such as ``ada``; ``None`` for the first.
        articulation: How far the mouth goes, 0.5 to 1.5 of what was heard; ``None`` for the default.
        mark: Watermark that says that the picture is made by AI; ``None`` for none.
        engine: Draws for several sessions of this process; ``None`` opens one for this session.
        max_bitrate: Most that one picture track may take, bit/s; LiveKit lowers it by itself on a narrow link.
    """

    def __init__(
        self,
        avatar: str | None = None,
        *,
        articulation: float | None = None,
        mark: MarkStyle | None = MarkStyle(),  # noqa: B008 (immutable)
        engine: Engine | None = None,
        max_bitrate: int = 2_000_000,
    ) -> None:
        super().__init__()
        self._avatar, self._articulation, self._mark, self._engine = avatar, articulation, mark, engine
        self._max_bitrate = max_bitrate
        self._face: Face | None = None
        self._sources: tuple[rtc.AudioSource, rtc.VideoSource] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._tracks: list[rtc.LocalTrackPublication] = []

    @property
    def avatar_identity(self) -> str:
        """Identity of the participant that shows the face: the agent's own."""
        if self._room is None:
            raise RuntimeError("the avatar session has not started")
        return self._room.local_participant.identity

    @property
    def provider(self) -> str:
        """Name of what draws the face."""
        return "lipstream"

    @property
    def motions(self) -> tuple[str, ...]:
        """Names of the motions that the avatar can show; empty before the start, and for an avatar of one clip."""
        return self._face.motions if self._face else ()

    def motion(self, name: str) -> None:
        """Show a motion once, as soon as the avatar is in the right pose.

        Raises:
            RuntimeError: If the avatar session has not started.
            NotFoundError: If the avatar has no such motion.
        """
        if self._face is None:
            raise RuntimeError("the avatar session has not started")
        self._face.motion(name)

    async def start(self, agent_session: AgentSession[Any], room: rtc.Room) -> None:
        """Load the face, let the agent speak through it, and publish it when the room is connected.

        Raises:
            LipstreamError: If there is no such avatar, or it cannot be loaded.
        """
        face = await asyncio.to_thread(
            Face,
            self._avatar,
            rate=RATE_HZ,
            articulation=self._articulation,
            mark=self._mark,
            engine=self._engine,
        )
        self._face = face
        await super().start(agent_session, room)
        audio = rtc.AudioSource(RATE_HZ, 1, queue_size_ms=_QUEUE_MS)
        video = rtc.VideoSource(*face.size)
        self._sources = audio, video
        output = FaceOutput(face, audio=audio, video=video)
        agent_session.output.replace_audio_tail(output)
        self._tasks = [
            asyncio.create_task(output.player.run(), name="lipstream-player"),
            asyncio.create_task(self._publish(room, audio, video), name="lipstream-publish"),
        ]
        for task in self._tasks:
            task.add_done_callback(_log_failure)

    async def show(self, avatar: str) -> None:
        """Show another avatar from the next picture on, also in mid-word.

        Raises:
            RuntimeError: If the avatar session has not started, or is closed.
            LipstreamError: If there is no such avatar, or it cannot be loaded.
        """
        if self._face is None:
            raise RuntimeError("the avatar session has no face now")
        await asyncio.to_thread(self._face.show, avatar)

    async def aclose(self) -> None:
        """End the face and its tracks. May be called again; the agent's participant stays in its room."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task
        tracks, self._tracks = self._tracks, []
        for track in tracks:
            if self._room and self._room.isconnected():
                await self._room.local_participant.unpublish_track(track.sid)
        sources, self._sources = self._sources, None
        for source in sources or ():
            await source.aclose()
        face, self._face = self._face, None
        if face:
            await asyncio.to_thread(face.close)
        if self._room:  # else the base class would remove the participant, which is the agent itself
            self._room.off("connection_state_changed", self._on_connection_state_changed)
            self._room = None
        await super().aclose()

    async def _publish(self, room: rtc.Room, audio: rtc.AudioSource, video: rtc.VideoSource) -> None:
        await _connected(room)
        picture = rtc.TrackPublishOptions(
            source=rtc.TrackSource.SOURCE_CAMERA,
            simulcast=False,
            video_codec=rtc.VideoCodec.H264,
            video_encoding=rtc.VideoEncoding(max_framerate=25, max_bitrate=self._max_bitrate),
        )
        sound = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        for track, options in (
            (rtc.LocalVideoTrack.create_video_track("avatar_video", video), picture),
            (rtc.LocalAudioTrack.create_audio_track("avatar_audio", audio), sound),
        ):
            self._tracks.append(await room.local_participant.publish_track(track, options))


async def _connected(room: rtc.Room) -> None:
    """Wait until a room is connected."""
    changed = asyncio.Event()

    def note(_: object) -> None:
        changed.set()

    room.on("connection_state_changed", note)
    try:
        while not room.isconnected():
            await changed.wait()
            changed.clear()
    finally:
        room.off("connection_state_changed", note)


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        logger.error("the face stopped", exc_info=error)

"""A face that a Lipstream server shows in the room, as a participant of its own."""

import os
from typing import Any, Literal

import httpx
from livekit import api, rtc
from livekit.agents import AgentSession, APIConnectionError, APIStatusError, get_job_context
from livekit.agents.types import ATTRIBUTE_PUBLISH_ON_BEHALF
from livekit.agents.voice.avatar import AvatarSession as BaseAvatarSession
from livekit.agents.voice.avatar import DataStreamAudioOutput
from livekit.plugins.lipstream.avatar import RATE_HZ
from livekit.plugins.lipstream.log import logger

IDENTITY = "lipstream-avatar"
_SERVER_S = 30.0
"""Time that the server has to prepare an avatar and to join."""


class RemoteAvatarSession(BaseAvatarSession[Literal["metrics_collected"]]):
    """Gives an agent a face that a Lipstream server draws, encodes and publishes. Start it before the agent session.

    The agent sends its sound to the server's participant through the room. What is not given is read from the
    environment: ``LIPSTREAM_URL``, ``LIPSTREAM_API_KEY``, ``LIVEKIT_URL``, ``LIVEKIT_API_KEY``, ``LIVEKIT_API_SECRET``.

    Args:
        avatar: Id of an avatar in the server's store, such as ``ada``; ``None`` for the server's choice.
        server: Address of the Lipstream server; by default ``http://127.0.0.1:8080``.
        server_key: API key of that server; needed if it has a secret file.
        articulation: How far the mouth goes, 0.5 to 1.5 of what was heard; ``None`` for the server's choice.
        identity: Identity of the face's participant.
        livekit_url: Address of LiveKit's server, as the Lipstream server reaches it.
        livekit_token: Access token of the face's participant; by default one is made of key and secret.
        livekit_api_key: Key of LiveKit's server.
        livekit_api_secret: Secret of that key; it stays in this process.
    """

    def __init__(
        self,
        avatar: str | None = None,
        *,
        server: str | None = None,
        server_key: str | None = None,
        articulation: float | None = None,
        identity: str = IDENTITY,
        livekit_url: str | None = None,
        livekit_token: str | None = None,
        livekit_api_key: str | None = None,
        livekit_api_secret: str | None = None,
    ) -> None:
        super().__init__()
        self._wanted = {"avatar": avatar, "articulation": articulation}
        self._server = server or os.environ.get("LIPSTREAM_URL", "http://127.0.0.1:8080")
        self._server_key = server_key or os.environ.get("LIPSTREAM_API_KEY", "")
        self._identity = identity
        self._livekit_url = livekit_url or os.environ.get("LIVEKIT_URL", "")
        self._token, self._key, self._secret = livekit_token, livekit_api_key, livekit_api_secret
        self._session: dict[str, Any] | None = None

    @property
    def avatar_identity(self) -> str:
        """Identity of the participant that shows the face."""
        return self._identity

    @property
    def provider(self) -> str:
        """Name of what draws the face."""
        return "lipstream"

    @property
    def motions(self) -> tuple[str, ...]:
        """Names of the motions that the avatar can show; empty before the start, and for an avatar of one clip."""
        return tuple(self._session["motions"]) if self._session else ()

    async def motion(self, name: str) -> None:
        """Show a motion once, as soon as the avatar is in the right pose.

        Raises:
            RuntimeError: If the avatar session has not started.
            APIStatusError: If the avatar has no such motion.
            APIConnectionError: If the server is not reached.
        """
        if self._session is None:
            raise RuntimeError("the avatar session has not started")
        await self._ask("POST", f"{self._session['urls']['self']}/motion", self._session["token"], json={"name": name})

    async def start(self, agent_session: AgentSession[Any], room: rtc.Room) -> None:
        """Let the server join the room, and the agent speak through it.

        Raises:
            ValueError: If neither the environment nor an argument names LiveKit's server, or its key and secret.
            APIStatusError: If the server refuses.
            APIConnectionError: If the server is not reached.
        """
        agent, name = _place(room)
        if not self._livekit_url:
            raise ValueError("livekit_url or LIVEKIT_URL must name LiveKit's server")
        token = self._token or self._make_token(agent, name)
        wanted = {"url": self._livekit_url, "token": token, "agent": agent, **self._wanted}
        await super().start(agent_session, room)
        try:
            self._session = (await self._ask("POST", "/api/rooms", self._server_key, json=wanted)).json()
        except BaseException:
            await self.aclose()
            raise
        agent_session.output.replace_audio_tail(
            DataStreamAudioOutput(
                room,
                destination_identity=self._identity,
                sample_rate=RATE_HZ,
                wait_remote_track=rtc.TrackKind.KIND_VIDEO,
                wait_playback_start=True,
            )
        )

    async def show(self, avatar: str) -> None:
        """Show another avatar of the server from the next picture on, also in mid-word.

        Raises:
            RuntimeError: If the avatar session has not started, or is closed.
            APIStatusError: If the server refuses.
            APIConnectionError: If the server is not reached.
        """
        if self._session is None:
            raise RuntimeError("the avatar session has no face now")
        await self._ask("PATCH", self._session["urls"]["self"], self._session["token"], json={"avatar": avatar})

    async def aclose(self) -> None:
        """End the face: its participant leaves the room. May be called again."""
        session, self._session = self._session, None
        if session:
            try:
                await self._ask("DELETE", session["urls"]["self"], session["token"])
            except (APIStatusError, APIConnectionError) as error:  # it ends by itself once the agent is gone
                logger.warning("the face was not ended: %s", error)
        await super().aclose()

    def _make_token(self, agent: str, room: str) -> str:
        """Return a token for a participant that may publish in the room, on behalf of the agent."""
        grants = api.VideoGrants(room_join=True, room=room, can_subscribe=False)
        return (
            api.AccessToken(self._key, self._secret)
            .with_kind("agent")
            .with_identity(self._identity)
            .with_grants(grants)
            .with_attributes({ATTRIBUTE_PUBLISH_ON_BEHALF: agent})
            .to_jwt()
        )

    async def _ask(self, method: str, path: str, key: str, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            async with httpx.AsyncClient(base_url=self._server, timeout=_SERVER_S) as client:
                answer = await client.request(method, path, headers=headers, **more)
        except httpx.HTTPError as error:
            raise APIConnectionError(f"the Lipstream server at {self._server} is not reached: {error}") from error
        if answer.is_error:
            raise APIStatusError(_message(answer), status_code=answer.status_code)
        return answer


def _place(room: rtc.Room) -> tuple[str, str]:
    """Return the agent's identity and the room's name, which a job knows before its room is connected.

    Raises:
        RuntimeError: If the room is not connected, outside a job.
    """
    if room.isconnected():
        return room.local_participant.identity, room.name
    job = get_job_context()
    return job.local_participant_identity, job.job.room.name


def _message(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"the Lipstream server answers {answer.status_code}"

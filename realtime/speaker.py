"""A client for ``WS /api/sessions/{id}/audio``: sends speech and receives events about it.

::

    async with Speaker("http://127.0.0.1:8080", session_id, token=token, rate_hz=24000) as speaker:
            await speaker.say(pcm)  # bytes, s16le, mono, as produced by a voice
        await speaker.end_of_speech()
        async for event in speaker:
            ...
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from lipstream.realtime.errors import LipstreamError
from lipstream.realtime.test_client.server_client import RefusedError, ServerClient, UnreachableError
from lipstream.realtime.wire.control_messages import ControlMessage, EndOfSpeechMessage, InterruptMessage, SayMessage

_PIECE_BYTES = 8 * 1024
_EVENTS_KEPT = 1024
_RETRY_S = 0.5
_GONE = (401, 403, 404)
"""Answers to the owner of a session that is gone: its token opens nothing, or there is no such session."""


class Speaker:
    """Speaks through one session. Events are read in the background; the latest 1024 unread ones are kept.

    Args:
        server: Address of the server, ``http`` or ``https``.
        token: Token of the session, or an API key; empty if the server needs none.
        rate_hz: Sample rate of the speech, 8000..48000 Hz.
    """

    def __init__(self, server: str, session_id: str, *, token: str = "", rate_hz: int = 16_000) -> None:
        parts = urlsplit(server)
        scheme = {"http": "ws", "https": "wss"}[parts.scheme]
        path = f"{parts.path.rstrip('/')}/api/sessions/{quote(session_id, safe='')}/audio"
        self._url = urlunsplit((scheme, parts.netloc, path, f"rate={rate_hz}", ""))
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._socket: ClientConnection | None = None
        self._reader: asyncio.Task[None] | None = None
        self._events: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue(_EVENTS_KEPT)
        self._sent, self._until = 0, 0  # total bytes: sent, and allowed
        self._may_send = asyncio.Condition()

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            OSError: If the server cannot be reached.
            websockets.exceptions.InvalidStatus: If the server refuses.
        """
        self._socket = await connect(self._url, additional_headers=self._headers)
        self._reader = asyncio.create_task(self._read(), name="speaker-read")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection; speech that was sent is still spoken."""
        assert self._socket is not None
        assert self._reader is not None
        await self._socket.close()
        await self._reader

    async def say(self, pcm: bytes) -> None:
        """Send speech, s16le mono; wait until the server has accepted it, which may take as long as the speech.

        Raises:
            ConnectionClosed: If the server is gone or another program has taken over.
        """
        assert self._socket is not None
        for start in range(0, len(pcm), _PIECE_BYTES):
            piece = pcm[start : start + _PIECE_BYTES]
            async with self._may_send:
                await self._may_send.wait_for(lambda: self._sent < self._until or self._closed)
                self._sent += len(piece)
            await self._socket.send(piece)

    async def say_text(self, text: str) -> None:
        """Have the server speak a text with its own engine; speech sent as sound waits until it is spoken.

        If the server refuses the text, it sends an event of type ``error``.
        """
        await self._send(SayMessage(type="say", text=text))

    async def end_of_speech(self) -> None:
        """Mark the end of an utterance."""
        await self._send(EndOfSpeechMessage(type="end_of_speech"))

    async def interrupt(self) -> None:
        """Stop speaking now; the server discards speech that was not heard yet."""
        await self._send(InterruptMessage(type="interrupt"))

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        """Yield the server's events until the connection ends."""
        while (event := await self._events.get()) is not None:
            yield event

    @property
    def _closed(self) -> bool:
        return self._reader is None or self._reader.done()

    async def _send(self, message: ControlMessage) -> None:
        assert self._socket is not None
        await self._socket.send(json.dumps(message))

    def _keep(self, event: dict[str, Any] | None) -> None:
        if self._events.full():
            self._events.get_nowait()
        self._events.put_nowait(event)

    async def _read(self) -> None:
        assert self._socket is not None
        try:
            async for text in self._socket:
                event = json.loads(text)
                if event["type"] == "credit":
                    async with self._may_send:
                        self._until = event["until"]
                        self._may_send.notify_all()
                else:
                    self._keep(event)
        except ConnectionClosed:
            pass
        finally:
            self._keep(None)
            async with self._may_send:
                self._may_send.notify_all()


class LastingSession:
    """A program's own session that outlives its worker: on a cluster it is begun again elsewhere, with the same tokens.

    ::

        async with LastingSession("https://face.example", avatar="ada", token=key) as session:
            async for sentence in sentences:
                async with session.speaking(rate_hz=24000) as speaker:
                    await speaker.say(sentence)

    Speech that the lost worker had not played is lost with it.

    Args:
        server: Address of the server, or of an ingress.
        avatar: Id of the avatar; empty for the server's choice.
        token: API key or join token; empty if the server needs none.
        patience_s: Time for which a server that does not answer, or has no room, is asked again, s.

    Attributes:
        facts: What the server answered to the beginning of the session that there is now.
    """

    def __init__(self, server: str, *, avatar: str = "", token: str = "", patience_s: float = 30.0) -> None:
        self._client = ServerClient(server, token=token)
        self._avatar, self._patience_s = avatar, patience_s
        self.facts: dict[str, Any] = {}

    async def __aenter__(self) -> Self:
        """Begin the session.

        Raises:
            LipstreamError: If the server refuses, or is not there for as long as the patience lasts.
        """
        await self.ensure()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the session."""
        with contextlib.suppress(LipstreamError):
            await self._client.ask(self.facts["urls"]["self"], method="DELETE", token=self.facts["token"])

    async def ensure(self) -> None:
        """Begin the session again if it is lost.

        Raises:
            LipstreamError: If the server refuses, or is not there for as long as the patience lasts.
        """
        end_s = asyncio.get_running_loop().time() + self._patience_s
        while True:
            try:
                if not self.facts or await self._is_gone():
                    await self._begin()
            except (RefusedError, UnreachableError) as error:
                waits = isinstance(error, UnreachableError) or error.answer_status in (429, 503)
                if not waits or asyncio.get_running_loop().time() > end_s:
                    raise
                await asyncio.sleep(_RETRY_S)
            else:
                return

    @contextlib.asynccontextmanager
    async def speaking(self, *, rate_hz: int = 16_000) -> AsyncIterator[Speaker]:
        """Give a speaker at the session, which is begun again first if it is lost.

        Raises:
            LipstreamError: For the reasons that `ensure` gives.
            OSError: If the server is lost meanwhile.
            websockets.exceptions.WebSocketException: If it ends the connection, or refuses it.
        """
        await self.ensure()
        async with Speaker(self._client.url, self.facts["id"], token=self.facts["token"], rate_hz=rate_hz) as speaker:
            yield speaker

    async def _is_gone(self) -> bool:
        try:
            await self._client.ask(self.facts["urls"]["self"], token=self.facts["token"])
        except RefusedError as error:
            if error.answer_status in _GONE:
                return True
            raise
        return False

    async def _begin(self) -> None:
        body: dict[str, Any] = {"avatar": self._avatar} if self._avatar else {}
        if self.facts:
            body["continues"] = {"id": self.facts["id"], "token": self.facts["token"]}
        self.facts = await self._client.ask("/api/sessions", method="POST", body=body)

"""Stand-ins for an agent's three OpenAI-compatible endpoints, on a real socket; as a program they serve for ever.

``python -m tests.realtime.agent.agent_server PORT ANSWER``

They behave as a word in the question says: ``refuse`` (401, the key in its body), ``break`` (half an answer),
``nonsense`` (no JSON), ``whole`` (an answer that is not streamed), ``slow`` (a word every 50 ms), ``moved`` (redirects
to the same path with a slash).
"""

import asyncio
import contextlib
import io
import json
import sys
import wave
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from tests.realtime.synthesis.endpoint_server import RATE_HZ, voice


@dataclass
class AgentServer:
    """The stand-ins' settings, and the requests that they got.

    Attributes:
        url: Base address of all three endpoints, up to the version.
        question: Transcript of every recording; empty for silence.
        answer: Reply of the chat to every question.
        body: Body of the chat's every reply, as bytes; empty for the answer as events.
    """

    url: str = ""
    question: str = "What time is it?"
    answer: str = "It is noon. The sun is high."
    body: bytes = b""
    second_per_letter: float = 0.05
    heard: list[np.ndarray] = field(default_factory=list)
    chats: list[list[dict[str, str]]] = field(default_factory=list)
    spoken: list[str] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    async def transcribe(self, request: Request) -> Response:
        self.keys.add(request.headers.get("authorization", ""))
        form: Any = await request.form()
        assert form["model"]
        with wave.open(io.BytesIO(await form["file"].read())) as file:
            assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 16_000)
            self.heard.append(np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768)
        if "refuse" in self.question:
            return Response(request.headers.get("authorization", ""), 401)
        return JSONResponse({"text": self.question if np.abs(self.heard[-1]).max() > 0.01 else ""})

    async def chat(self, request: Request) -> Response:
        self.keys.add(request.headers.get("authorization", ""))
        asked = await request.json()
        self.chats.append(asked["messages"])
        question = asked["messages"][-1]["content"]
        if "moved" in question and not request.url.path.endswith("/"):
            return Response(status_code=307, headers={"Location": f"{request.url.path}/"})
        if self.body:
            return StreamingResponse(self._bytes(), media_type="text/event-stream")
        if "nonsense" in question:
            return Response("data: nonsense\n\n", media_type="text/event-stream")
        if "whole" in question:
            return JSONResponse({"choices": [{"message": {"role": "assistant", "content": self.answer}}]})
        return StreamingResponse(self._words(question), media_type="text/event-stream")

    async def _bytes(self) -> AsyncIterator[bytes]:
        for at in range(0, len(self.body), 7):  # cut anywhere
            yield self.body[at : at + 7]

    async def _words(self, question: str) -> AsyncIterator[str]:
        await self.gate.wait()
        yield 'data: {"choices": [{"delta": {"role": "assistant"}}]}\n\n: a comment\n\n'
        for count, word in enumerate(self.answer.split(" ")):
            if "break" in question and count == 4:
                raise ConnectionResetError
            if "slow" in question:
                await asyncio.sleep(0.05)
            piece = word if count == 0 else f" {word}"
            yield f"data: {json.dumps({'choices': [{'delta': {'content': piece}}]})}\n\n"
        yield 'data: {"choices": [], "usage": {}}\n\ndata: [DONE]\n\n'

    async def speak(self, request: Request) -> Response:
        self.keys.add(request.headers.get("authorization", ""))
        asked = await request.json()
        self.spoken.append(asked["input"])
        assert asked["response_format"] == "pcm"
        return Response(voice(self.second_per_letter * len(asked["input"]), RATE_HZ), media_type="audio/pcm")

    def app(self) -> FastAPI:
        app = FastAPI()
        app.add_api_route("/v1/audio/transcriptions", self.transcribe, methods=["POST"])
        app.add_api_route("/v1/chat/completions", self.chat, methods=["POST"])
        app.add_api_route("/v1/chat/completions/", self.chat, methods=["POST"])
        app.add_api_route("/v1/audio/speech", self.speak, methods=["POST"])
        return app


@contextlib.asynccontextmanager
async def agent_server(**options: Any) -> AsyncIterator[AgentServer]:
    """Serve the three endpoints."""
    stand_in = AgentServer(**options)
    server = uvicorn.Server(uvicorn.Config(stand_in.app(), port=0, log_level="critical", lifespan="off"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    stand_in.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/v1"
    try:
        yield stand_in
    finally:
        stand_in.gate.set()
        server.should_exit = True
        await serving


if __name__ == "__main__":
    uvicorn.run(AgentServer(answer=sys.argv[2]).app(), port=int(sys.argv[1]), log_level="critical")

"""A WHIP server that is not ours, but aiortc's: it keeps what it gets, packet by packet."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from aiortc import RTCSessionDescription
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lipstream.realtime.test_client.caller import Caller
from tests.loopback.conftest import until
from tests.server_process import free_port

TOKEN = "a-secret-token"


class WhipReceiver(Caller):
    """A caller that is called."""

    async def answer(self, offer: str) -> str:
        await self._connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        self._tap()
        await self._connection.setLocalDescription(await self._connection.createAnswer())
        return self._connection.localDescription.sdp


class WhipServer:
    """Takes one publisher after the other."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.receivers: list[WhipReceiver] = []
        self.deleted = 0
        routes = [Route("/whip", self._publish, methods=["POST"]), Route("/r/{n}", self._end, methods=["DELETE"])]
        config = uvicorn.Config(Starlette(routes=routes), port=port, log_level="error", lifespan="off")
        self.server = uvicorn.Server(config)

    async def _publish(self, request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return Response(status_code=401)
        receiver = WhipReceiver()
        self.receivers.append(receiver)
        answer = await receiver.answer((await request.body()).decode())
        return Response(answer, 201, {"Location": f"/r/{len(self.receivers)}"}, "application/sdp")

    async def _end(self, _: Request) -> Response:
        self.deleted += 1
        return Response(status_code=200)


@asynccontextmanager
async def whip_server(port: int | None = None) -> AsyncIterator[WhipServer]:
    whip = WhipServer(port or free_port())
    running = asyncio.create_task(whip.server.serve())
    await until(lambda: whip.server.started, "the WHIP server")
    try:
        yield whip
    finally:
        for receiver in whip.receivers:
            await receiver.close()
        whip.server.should_exit = True
        await running

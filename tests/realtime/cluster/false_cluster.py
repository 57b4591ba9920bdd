"""An ingress in this process, in front of workers that only announce themselves and note what reaches them."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from lipstream.realtime.api.http_server import HttpServer, server_config
from lipstream.realtime.api.token_claims import TokenClaims
from lipstream.realtime.cluster.ingress import Ingress
from lipstream.realtime.cluster.ingress_app import create_ingress_app
from lipstream.realtime.settings import Settings
from lipstream.realtime.wire.cluster_messages import Announcement
from tests.server_process import free_port

WAIT_S = 60.0
SECRET = "the secret of a cluster that is not there"


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.01)


def announcement(worker: str, **told: Any) -> Announcement:
    facts = Announcement(
        worker=worker, node="n", model="m", reason=None, capacity=9, free=9, sessions=0, begun=0, continued=[],
        prepared=[], shown=[], avatars={}, tokens="", keyed=True, held={},
    )  # fmt: skip
    return facts | told  # type: ignore[return-value]


@dataclass
class FalseWorker:
    """Announces itself each second, answers everything with its status, and ``…/early`` without reading the body.

    Attributes:
        reached: Method and target of what came, without orders of the ingress.
    """

    name: str
    url: str = ""
    reached: list[tuple[str, bytes]] = field(default_factory=list)
    status: int = 200
    is_silent: bool = False
    """Whether it sends nothing any more, as a machine without power: its connections stay open."""
    claims: TokenClaims = field(default_factory=TokenClaims)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope.get("path", "")
        if scope["type"] == "lifespan":
            while (await receive())["type"] != "lifespan.shutdown":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})
        elif path == "/api/cluster/announcements":
            await _body(receive)
            await send({"type": "http.response.start", "status": 200, "headers": []})
            hung_up = asyncio.create_task(_body(receive))
            while not hung_up.done():
                if self.is_silent:
                    await hung_up
                    return
                line = json.dumps(announcement(self.name)).encode() + b"\n"
                await send({"type": "http.response.body", "body": line, "more_body": True})
                await asyncio.wait([hung_up], timeout=0.5)
        elif path.startswith("/api/cluster/tokens/") and path.endswith("/claims"):
            await self._claim(scope, receive, send)
        elif scope["type"] == "websocket":
            self.reached.append(("WEBSOCKET", scope["raw_path"]))
            await send({"type": "websocket.close", "code": 1008})
        else:
            target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
            self.reached.append((scope["method"], target))
            if self.is_silent:
                await _body(receive)
                await receive()  # until the ingress hangs up
                return
            if path.endswith("/early") or await _body(receive) is not None:
                await _answer(send, self.status)

    async def _claim(self, scope: Scope, receive: Receive, send: Send) -> None:
        token_id = scope["path"].split("/")[4]
        if scope["method"] == "DELETE":
            self.claims.give_back(token_id)
            await _answer(send, 204)
            return
        wanted = json.loads(await _body(receive) or b"")
        is_free = self.claims.take(token_id, **wanted, now_s=asyncio.get_running_loop().time())
        await _answer(send, 204 if is_free else 409)


async def _body(receive: Receive) -> bytes | None:
    """Return a request's body; ``None`` if the client hangs up before its end."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body, more = body + message.get("body", b""), message.get("more_body", False)
    return body


async def _answer(send: Send, status: int) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


@contextlib.asynccontextmanager
async def served(app: ASGIApp, settings: Settings) -> AsyncIterator[None]:
    server = HttpServer(server_config(app, settings))
    running = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    yield
    server.should_exit = True
    await running


@dataclass
class FalseCluster:
    """One ingress and its workers."""

    ingress: Ingress
    workers: list[FalseWorker]
    lost: list[str] = field(default_factory=list)

    async def exchange(self, data: bytes, *, hangs_up: bool = False, most: int = 400) -> bytes:
        """Send bytes on a connection of their own; return the beginning of the answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.ingress.settings.port)
        writer.write(data)
        try:
            if hangs_up:
                await writer.drain()
                return b""
            async with asyncio.timeout(WAIT_S):
                return await reader.read(most)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


@contextlib.asynccontextmanager
async def false_cluster(folder: Path, *names: str, **more: Any) -> AsyncIterator[FalseCluster]:
    (folder / "secret").write_text(SECRET)
    workers = [FalseWorker(name) for name in names]
    async with contextlib.AsyncExitStack() as stack:
        for worker in workers:
            settings = Settings(port=free_port())
            worker.url = f"http://127.0.0.1:{settings.port}"
            await stack.enter_async_context(served(worker, settings))
        listed = ",".join(worker.url for worker in workers)
        settings = Settings(port=free_port(), workers=listed, cluster_secret_file=folder / "secret", **more)
        cluster = FalseCluster(Ingress(settings), workers)
        await stack.enter_async_context(served(create_ingress_app(cluster.ingress), settings))
        now_s = asyncio.get_running_loop().time
        await until(lambda: len(cluster.ingress.members.there(now_s())) == len(workers))
        lose = cluster.ingress.members.lose

        def note(url: str, now_s: float) -> None:
            cluster.lost.append(url)
            lose(url, now_s)

        cluster.ingress.members.lose = note  # type: ignore[method-assign]
        yield cluster

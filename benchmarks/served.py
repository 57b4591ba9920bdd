"""A server in a process of its own that reports memory, threads, descriptors, tasks, lateness and log.

It writes a line to standard output for each line of its input. No other part of the measurement runs in the process, so
any growth is the server's.
"""

import argparse
import asyncio
import gc
import json
import logging
import os
import resource
import sys
import threading
import time
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.signals import TimelineSource
from benchmarks.stage import built_in, painted, pool_size
from benchmarks.watch import Watch
from lipstream.realtime.api.app import create_app
from lipstream.realtime.api.http_server import HttpServer, server_config
from lipstream.realtime.log_format import Bounds
from lipstream.realtime.metrics import percentiles
from lipstream.realtime.server.malloc_arenas import share_arenas
from lipstream.realtime.server.sessions import Sessions
from lipstream.realtime.session.session import Session
from lipstream.realtime.test_client.click_track import clicks, voice
from tests.server_process import free_port

FIRST_CLICKS = "first-clicks"
BUILT_IN = "built-in"
_ANYIO_THREAD = "AnyIO worker thread"
"""Threads that come with requests and end some time later; they are not counted."""
_LAG_EVERY_S = 0.005
_LINE_LIMIT = 1 << 24
_MESSAGES_KEPT = 1000


@dataclass
class ServedProcess:
    """The parent's handle of the server process."""

    url: str
    pid: int
    _process: asyncio.subprocess.Process

    async def look(self) -> dict[str, Any]:
        """Return the current state, and events since the last call.

        Returns:
            ``rss_mb, threads, descriptors, tasks, worker_rss_mb, worker_pid``; ``log``: the first 1,000 messages of
            level warning and above; ``log_lines``: number of lines of all messages; ``leaving_ms``: lateness of each
            picture, by session, if it is watched; ``lag_ms``: ``p50, p99, max`` of the event loop's lateness, and
            ``held``, the longest delay in which the loop's thread worked rather than waited for a core; ``sessions``:
            statistics by id.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"look\n")
        found: dict[str, Any] = json.loads(await self._process.stdout.readline())
        return found


@asynccontextmanager
async def served(
    *,
    predictor: str = BUILT_IN,
    say: str | None = None,
    max_sessions: int = 8,
    watched: bool = False,
    core: int | None = None,
    descriptors: int | None = None,
    synthesizer: str = "",
    secret_file: Path | None = None,
) -> AsyncIterator[ServedProcess]:
    """Run a server process.

    Args:
        predictor: ``built-in``, or the name of a painting predictor of the tests, which has an avatar of its own.
        say: Sound of every session from its exact position on the timeline: ``clicks`` or ``voice``. With
            ``first-clicks`` the first session clicks and the others use their peers' microphones; ``None`` for
            microphones only.
        max_sessions: Limit of sessions.
        watched: Whether to record the lateness of each picture.
        core: Core for all its processes; ``None`` for any.
        descriptors: Limit of open files and sockets; ``None`` for this process's limit.
        synthesizer: Speech engine, for a predictor of the tests; empty for none.
        secret_file: File of API keys, for a predictor of the tests; ``None`` for a server without credentials.
    """
    port = free_port()
    arguments = ["-m", "benchmarks.served", str(port), "--predictor", predictor, "--max-sessions", str(max_sessions)]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        *(["--say", say] if say else []),
        *(["--watched"] if watched else []),
        *(["--core", str(core)] if core is not None else []),
        *(["--descriptors", str(descriptors)] if descriptors is not None else []),
        *(["--synthesizer", synthesizer] if synthesizer else []),
        *(["--secret-file", str(secret_file)] if secret_file else []),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LINE_LIMIT,
        cwd=Path(__file__).parent.parent,
    )
    try:
        assert process.stdout is not None
        if not await process.stdout.readline():
            raise RuntimeError("the server does not start")
        yield ServedProcess(f"http://127.0.0.1:{port}", process.pid, process)
    finally:
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()


def fetch(
    url: str, body: object = None, method: str | None = None, *, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    """Request a URL; return the status, headers (lower case) and body of any answer."""
    method = method or ("GET" if body is None else "POST")
    answer = _client().request(method, url, json=body, headers=headers)
    return answer.status_code, dict(answer.headers), answer.content


@cache
def _client() -> httpx.Client:
    """Return a client without keep-alive: kept connections would count among the server's descriptors."""
    return httpx.Client(timeout=30, limits=httpx.Limits(max_keepalive_connections=0))


class _Saying(Sessions):
    """Sessions with sound of their own, as ``say`` of `served` names it."""

    say: str | None = None
    watches: dict[str, Watch] | None = None

    async def create(self, avatar_id: str | None, offer_sdp: str | None, **options: Any) -> tuple[Session, str | None]:
        session, answer = await super().create(avatar_id, offer_sdp, **options)
        if self.say in ("clicks", "voice") or (self.say == FIRST_CLICKS and self.created == 1):
            sound = voice if self.say == "voice" else clicks
            session.speech.source = TimelineSource(session.clock, sound)
        if self.watches is not None:
            self.watches[session.id] = Watch(session)
        return session, answer


class _WarningLog(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []
        self.lines = 0

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = self.format(record)
            self.lines += message.count("\n") + 1
            if len(self.messages) < _MESSAGES_KEPT:
                self.messages.append(message)
        except Exception:  # noqa: BLE001 - as in the standard library's handlers
            self.handleError(record)


class _Lag:
    """Measures how late the event loop runs its timers."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._late_ms = array("f")  # a list would take two megabytes in five minutes, in small objects
        self._held_ms = 0.0
        self._wait()

    def begin(self) -> None:
        """Discard the values so far, including the current delay."""
        self._next.cancel()
        self._late_ms, self._held_ms = array("f"), 0.0
        self._wait()

    def take(self) -> dict[str, float | None]:
        """Return the values since :meth:`begin`."""
        late = self._late_ms.tolist()
        p = percentiles(late)
        worst = round(max(late), 1) if late else None
        return {"p50": p["p50"], "p99": p["p99"], "max": worst, "held": round(self._held_ms, 1)}

    def _wait(self) -> None:
        due_s = self._loop.time() + _LAG_EVERY_S
        self._worked_s = time.thread_time()
        self._next = self._loop.call_at(due_s, self._called, due_s)

    def _called(self, due_s: float) -> None:
        late_ms = (self._loop.time() - due_s) * 1000
        self._late_ms.append(late_ms)
        self._held_ms = max(self._held_ms, min(late_ms, (time.thread_time() - self._worked_s) * 1000))
        self._wait()


async def _serve(options: argparse.Namespace) -> None:
    log = _WarningLog()
    shown = logging.StreamHandler()
    for handler in (log, shown):
        handler.addFilter(Bounds())
    logging.basicConfig(level=logging.WARNING, handlers=[log, shown])
    watches: dict[str, Watch] | None = {} if options.watched else None
    kind = type("Saying", (_Saying,), {"say": options.say, "watches": watches})
    host, port, most = options.host, options.port, options.max_sessions
    staged = (
        built_in(max_sessions=most, kind=kind)
        if options.predictor == BUILT_IN
        else painted(
            options.predictor,
            max_sessions=most,
            kind=kind,
            host=host,
            synthesizer=options.synthesizer,
            secret_file=options.secret_file,
        )
    )
    async with staged as stage:
        sessions = stage[0] if isinstance(stage, tuple) else stage
        server = HttpServer(server_config(create_app(sessions), sessions.settings, host=host, port=port))
        serving = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110 (uvicorn has no event for it)
            await asyncio.sleep(0.05)
        await _fill_pool(sessions)
        orders, lag = await _orders(), _Lag()
        print("ready", flush=True)
        while await orders.readline():
            print(json.dumps(_look(sessions, log, lag, watches or {})), flush=True)
        server.should_exit = True
        await serving


async def _fill_pool(sessions: Sessions) -> None:
    """Start all threads of the encoding pool: one that starts later would look like a leak."""
    workers = pool_size(sessions)
    together = threading.Barrier(workers)
    await asyncio.gather(*(asyncio.to_thread(together.wait) for _ in range(workers)))


async def _orders() -> asyncio.StreamReader:
    """Return standard input as a stream, without a thread that reads it."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


def _look(sessions: Sessions, log: _WarningLog, lag: _Lag, watches: dict[str, Watch]) -> dict[str, Any]:
    late = lag.take()
    leaving = {name: [round(ms, 2) for ms in watch.late_ms] for name, watch in watches.items()}
    for watch in watches.values():
        watch.late_ms.clear()
    gc.collect()  # before begin(): the time of the inspection itself must not count as lag
    messages, log.messages = log.messages, []
    lines, log.lines = log.lines, 0
    process, worker = psutil.Process(), next(iter(sessions.workers.pids), None)
    found = {
        "rss_mb": process.memory_info().rss / (1 << 20),
        "threads": sum(thread.name != _ANYIO_THREAD for thread in threading.enumerate()),
        "descriptors": process.num_fds(),
        "tasks": len(asyncio.all_tasks()),
        "worker_pid": worker,
        "device": sessions.workers.members[0].device,
        "worker_rss_mb": psutil.Process(worker).memory_info().rss / (1 << 20) if worker else None,
        "cpu_s": sum(process.cpu_times()[:2]),
        "pictures_cpu_s": sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in sessions.pictures.pids),
        "log": messages,
        "log_lines": lines,
        "lag_ms": late,
        "leaving_ms": leaving,
        "sessions": {session.id: session.stats() for session in sessions.all()},
    }
    lag.begin()
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--predictor", default=BUILT_IN)
    parser.add_argument("--say", choices=("clicks", "voice", FIRST_CLICKS))
    parser.add_argument("--max-sessions", type=int, default=8)
    parser.add_argument("--watched", action="store_true")
    parser.add_argument("--core", type=int)
    parser.add_argument("--descriptors", type=int)
    parser.add_argument("--synthesizer", default="")
    parser.add_argument("--secret-file", type=Path)
    options = parser.parse_args()
    share_arenas()
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})
    if options.descriptors is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (options.descriptors, options.descriptors))
    asyncio.run(_serve(options))

"""Runs the server: uvicorn answers while the sessions start, and two signals end it in two steps.

A third signal, SIGHUP, never ends it: it reads keys and certificates again.
"""

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType

from lipstream.realtime.api import browser
from lipstream.realtime.api.app import create_app
from lipstream.realtime.api.http_protocol import HttpConfig
from lipstream.realtime.api.http_server import HttpServer, server_config
from lipstream.realtime.api.reloading import reload_secrets, warn_of_open_secrets
from lipstream.realtime.api.service_manager import ServiceManager
from lipstream.realtime.encoding.encoders import encode_pool
from lipstream.realtime.errors import LipstreamError, SettingsError
from lipstream.realtime.server.rendering import Rendering
from lipstream.realtime.server.sessions import Sessions
from lipstream.realtime.server.store_lock import local_url
from lipstream.realtime.settings import Settings

logger = logging.getLogger("lipstream")

_DRAIN_LOOK_S = 0.2


class DrainingServer(HttpServer):
    """Uvicorn with two steps to stop: the first signal gives live sessions the grace time, the second ends them.

    Args:
        reload: Called on the event loop at each SIGHUP.
        manager: Told when the server is ready, while its sessions tick, and when it stops.

    Attributes:
        refused: Error of the settings that prevented the start; ``None`` without one.
    """

    def __init__(
        self, config: HttpConfig, sessions: Sessions, *, reload: Callable[[], None], manager: ServiceManager
    ) -> None:
        super().__init__(config)
        self._sessions, self._reload, self._manager = sessions, reload, manager
        self.failed = False
        self.refused: SettingsError | None = None
        self._grace_s = sessions.settings.grace_s
        self._drain: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def serve(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        """Serve until a signal or a failed start ends the server."""
        self._loop = asyncio.get_running_loop()
        self._loop.set_default_executor(encode_pool((os.cpu_count() or 1) + self._sessions.settings.max_sessions))
        starting = asyncio.create_task(self._start_sessions(), name="start")
        with self._reload_signal():
            await super().serve(sockets)  # type: ignore[arg-type]
        for task in (starting, self._drain):
            if task:
                task.cancel()

    async def _start_sessions(self) -> None:
        """Start the sessions while the server already answers; a failure ends the server."""
        try:
            await self._sessions.start()
        except SettingsError as error:
            self.refused, self.should_exit = error, True
        except LipstreamError as error:
            logger.error("cannot start: %s", error.message)  # noqa: TRY400 (a trace would add nothing)
            self.failed = True
            self.should_exit = True
        except Exception:
            logger.exception("cannot start")
            self.failed = self.should_exit = True
        else:
            settings = self._sessions.settings
            address = f"[{self.config.host}]" if ":" in self.config.host else self.config.host
            scheme = "https" if self.config.is_ssl else "http"
            logger.info("ready: open %s://%s:%d", scheme, address, self.config.port)
            self._manager.ready()
            if not settings.no_browser and browser.is_wanted(os.environ, is_terminal=sys.stderr.isatty()):
                browser.open_page(local_url(settings.host, self.config.port, tls=self.config.is_ssl))

    @contextlib.contextmanager
    def _reload_signal(self) -> Iterator[None]:
        """Reload at each SIGHUP; not on Windows, nor in a thread that gets no signals."""
        if not hasattr(signal, "SIGHUP") or threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGHUP)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

    async def on_tick(self, counter: int) -> bool:
        """Tell the service manager that the server works, as long as its sessions tick."""
        now_s = asyncio.get_running_loop().time()
        if self._sessions.ticker.is_ticking(now_s):
            self._manager.alive(now_s)
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 (uvicorn's signature)
        """Begin to drain; stop at once if the server is draining or has not begun to serve."""
        self._manager.stopping()
        if self._loop is None or self._sessions.draining:
            self.should_exit = True
            return
        logger.info("%s: live sessions have %.0f s to end", signal.Signals(sig).name, self._grace_s)
        self._sessions.drain()
        self._loop.call_soon_threadsafe(self._begin_drain)

    def _begin_drain(self) -> None:
        self._sessions.announce_drain(self._grace_s)
        self._drain = asyncio.create_task(self._wait_for_sessions(), name="drain")

    async def _wait_for_sessions(self) -> None:
        end_s = asyncio.get_running_loop().time() + self._grace_s
        while self._sessions.live and asyncio.get_running_loop().time() < end_s:  # noqa: ASYNC110 (looks 5 times a second)
            await asyncio.sleep(_DRAIN_LOOK_S)
        self.should_exit = True


async def serve(settings: Settings, rendering: Rendering) -> bool:
    """Serve until stopped; return whether the server had started without a failure.

    Args:
        rendering: What draws, begun already; it is closed at the end.

    Raises:
        SettingsError: If a file or a device that the settings name cannot be used.
    """
    warn_of_open_secrets(settings)
    manager = ServiceManager.of_this_process(os.environ)
    sessions = Sessions(settings, rendering=rendering)
    app = create_app(sessions)
    config = server_config(app, settings)
    try:
        config.load()
    except (OSError, ValueError) as error:  # of OpenSSL
        raise SettingsError(f"the certificate {settings.tls_cert} or its key cannot be used: {error}") from error
    reload = partial(reload_secrets, settings, app.state.authorization, config.ssl)
    server = DrainingServer(config, sessions, reload=reload, manager=manager)
    await server.serve()
    if server.refused:
        raise server.refused
    return server.started and not server.failed

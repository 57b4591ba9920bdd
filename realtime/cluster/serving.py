"""Runs an ingress until a signal ends it."""

import asyncio
import logging
import signal
import socket
import threading
from collections.abc import Callable
from functools import partial

from lipstream.realtime.api.http_protocol import HttpConfig
from lipstream.realtime.api.http_server import HttpServer, server_config
from lipstream.realtime.api.reloading import reload_secrets, warn_of_open_secrets
from lipstream.realtime.cluster.ingress import Ingress
from lipstream.realtime.cluster.ingress_app import create_ingress_app
from lipstream.realtime.errors import SettingsError
from lipstream.realtime.settings import Settings

logger = logging.getLogger("lipstream")


class _IngressServer(HttpServer):
    """Uvicorn that reads keys and certificates again at each SIGHUP."""

    def __init__(self, config: HttpConfig, reload: Callable[[], None]) -> None:
        super().__init__(config)
        self._reload = reload

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and take the signal from now on."""
        await super().startup(sockets)
        if hasattr(signal, "SIGHUP") and threading.current_thread() is threading.main_thread():
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reload)


def serve_ingress(settings: Settings) -> bool:
    """Serve until stopped; return whether the ingress had started.

    Media does not pass through it, so it ends at once: calls go on, and clients that ask again reach another ingress or
    the next one here.

    Raises:
        SettingsError: If a file that the settings name cannot be used.
    """
    warn_of_open_secrets(settings)
    ingress = Ingress(settings)
    config = server_config(create_ingress_app(ingress), settings)
    try:
        config.load()
    except (OSError, ValueError) as error:  # of OpenSSL
        raise SettingsError(f"the certificate {settings.tls_cert} or its key cannot be used: {error}") from error
    server = _IngressServer(config, partial(reload_secrets, settings, ingress, config.ssl))
    logger.info("ingress: %s://%s:%d", "https" if config.is_ssl else "http", config.host, config.port)
    server.run()
    return server.started

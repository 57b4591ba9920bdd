"""Starts the server: the workers load the network while this process imports the API.

Both take about as long, and share nothing. This module imports what the workers need and no more.
"""

import asyncio
import gc
import logging
from importlib import import_module
from types import ModuleType

from lipstream.realtime.errors import ConflictError
from lipstream.realtime.server.rendering import Rendering
from lipstream.realtime.server.store_lock import StoreLock, local_url
from lipstream.realtime.settings import Settings

logger = logging.getLogger("lipstream")

_SERVING = "lipstream.realtime.api.serving"


def launch(settings: Settings) -> bool:
    """Serve until stopped; return whether the server had started without a failure.

    Raises:
        SettingsError: If a file or a device that the settings name cannot be used.
    """
    rendering = Rendering(settings)
    try:
        with StoreLock(rendering.store.root, local_url(settings.host, settings.port, tls=bool(settings.tls_cert))):
            return asyncio.run(_launch(settings, rendering))
    except ConflictError as error:
        logger.error("cannot start: %s", error.message)  # noqa: TRY400 (a trace would add nothing)
        return False


async def _launch(settings: Settings, rendering: Rendering) -> bool:
    rendering.begin()
    try:
        serving = await asyncio.to_thread(_import_serving)
        served: bool = await serving.serve(settings, rendering)
    finally:
        await rendering.close()
    return served


def _import_serving() -> ModuleType:
    """Import the server, and let the collector of cycles, which waited for it, pass over what was imported."""
    try:
        return import_module(_SERVING)
    finally:
        gc.freeze()
        gc.enable()

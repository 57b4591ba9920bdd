"""LiveKit's client, an optional package."""

import importlib
from typing import Any

from lipstream.extras import install_line
from lipstream.realtime.errors import ConflictError


def livekit_rtc() -> Any:
    """Return the module ``livekit.rtc``.

    Raises:
        ConflictError: If it is not installed.
    """
    try:
        return importlib.import_module("livekit.rtc")
    except ImportError as error:
        raise ConflictError(f"a room of LiveKit needs livekit: {install_line('livekit')}") from error

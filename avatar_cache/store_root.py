"""Where the store is; apart from the store, whose imports take longer than a health check."""

import os
from pathlib import Path


def default_root() -> Path:
    """Return ``$LIPSTREAM_STORE``, else ``$XDG_DATA_HOME/lipstream``, else ``~/.local/share/lipstream``."""
    if chosen := os.environ.get("LIPSTREAM_STORE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "lipstream"

"""Opens the page in the browser of whoever started the server by hand."""

import logging
import sys
import threading
import webbrowser
from collections.abc import Mapping

logger = logging.getLogger(__name__)


def is_wanted(environ: Mapping[str, str], *, is_terminal: bool, platform: str = sys.platform) -> bool:
    """Return whether a person at this machine's own screen started the server.

    Args:
        environ: Environment of the process.
        is_terminal: Whether the server writes to a terminal.
        platform: ``sys.platform``.
    """
    if not is_terminal or "SSH_CONNECTION" in environ:
        return False
    return platform in ("darwin", "win32") or bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))


def open_page(url: str) -> None:
    """Open a page in the default browser; return at once."""
    threading.Thread(target=_open, args=(url,), name="open-browser", daemon=True).start()


def _open(url: str) -> None:
    try:
        webbrowser.open(url)
    except (OSError, webbrowser.Error) as error:
        logger.info("no browser can be opened: %s", error)

"""Makes child processes ignore SIGINT and SIGTERM; the server ends them.

A terminal sends SIGINT, and a service manager SIGTERM, to the server and its children at once. Children that ended by
themselves would be started again, and the last pictures of a call would have no mouths.
"""

import signal


def leave_to_server() -> None:
    """Make this process, and processes forked from it, ignore both signals."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)

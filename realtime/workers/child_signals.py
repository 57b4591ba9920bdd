"""Makes child processes ignore the signals that the server handles; the server ends them.

A terminal sends SIGINT and SIGHUP, and a service manager SIGTERM, to the server and its children at once. Children that
ended by themselves would be started again, and the last pictures of a call would have no mouths.
"""

import signal


def ignore_hangup() -> None:
    """Make this process ignore SIGHUP, except on Windows, which has none."""
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)


def leave_to_server() -> None:
    """Make this process, and processes forked from it, ignore SIGINT, SIGTERM and SIGHUP."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    ignore_hangup()

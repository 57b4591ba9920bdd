"""Child processes leave SIGINT and SIGTERM to the server, which ends them when it is done with them.

A terminal sends the first, and a service manager the second, to the server and its children at once. Children that
ended by themselves would be started again, and the last pictures before the end would lack their lips.
"""

import signal


def leave_to_server() -> None:
    """Have this process, and those that it forks, ignore both signals."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)

"""Starts the server: options, environment and config file to settings, logging, serve."""

import os
import sys

from realtime import log_format
from realtime.errors import LipstreamError
from realtime.settings import read_settings
from realtime.workers import child_process


def main() -> int:
    """Return the process's exit status."""
    try:
        settings = read_settings(sys.argv[1:], os.environ)
        log_format.set_up(settings.log_level, settings.log_format)
        child_process.warm_up()
        from realtime.api.serving import serve  # noqa: PLC0415 (all else is imported while the workers' modules are)

        return 0 if serve(settings) else 1
    except LipstreamError as error:
        print(f"run_server.py: {error.message}", file=sys.stderr)  # noqa: T201 (for the person at the terminal)
        return 2


if __name__ == "__main__":
    sys.exit(main())

"""Starts the server in a checkout, as ``lipstream serve`` does where the package is installed."""

import sys

from lipstream.machine import exit_if_python_is_old

exit_if_python_is_old()

if __name__ == "__main__":
    from lipstream.cli import serve

    sys.exit(serve(sys.argv[1:], program="run_server.py"))

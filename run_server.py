"""Starts the server in a checkout, as ``lipstream serve`` does where the package is installed."""

import sys

from lipstream.cli import serve

if __name__ == "__main__":
    sys.exit(serve(sys.argv[1:], program="run_server.py"))

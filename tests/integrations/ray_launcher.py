"""The command ``lipstream``, whose keepers run the servers of the tests: ``python -m tests.integrations.ray_launcher``."""

import sys

from lipstream.cli import main
from lipstream.realtime.cluster.launching import launcher

if __name__ == "__main__":
    launcher.SERVER = "tests.integrations.ray_server"
    sys.exit(main())

"""The command ``lipstream`` whose keepers run `tests.integrations.ray_server`."""

import sys

from lipstream.cli import main
from lipstream.realtime.cluster.launching import launcher

if __name__ == "__main__":
    launcher.SERVER = "tests.integrations.ray_server"
    sys.exit(main())

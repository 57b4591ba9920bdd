"""What keepers run in the tests: the ingress as it is, and a worker with a quick predictor and small avatars."""

import sys

from lipstream.cli import main as ingress
from tests.cluster.worker import main as worker

if __name__ == "__main__":
    if "--workers" in sys.argv:
        sys.exit(ingress())
    worker()

"""``python -m lipstream``."""

import sys

from lipstream.cli import main

if __name__ == "__main__":
    sys.exit(main())

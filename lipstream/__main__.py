"""``python -m lipstream``."""

import sys

from lipstream.machine import exit_if_python_is_old

exit_if_python_is_old()

if __name__ == "__main__":
    from lipstream.cli import main

    sys.exit(main())

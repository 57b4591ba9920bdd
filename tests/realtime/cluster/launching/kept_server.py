"""What keepers of the tests keep: tells its flags and environment in a file, and ends in order at SIGTERM."""

import json
import os
import signal
import sys
from pathlib import Path


def main() -> None:
    file = Path(os.environ["TOLD"])
    options = {name: value for name, value in os.environ.items() if name.startswith("LIPSTREAM_")}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    written = file.with_suffix(f".{os.getpid()}")
    written.write_text(json.dumps({"flags": sys.argv[1:], "environment": options, "process": os.getpid()}))
    written.replace(file)
    while True:
        signal.pause()


if __name__ == "__main__":
    main()

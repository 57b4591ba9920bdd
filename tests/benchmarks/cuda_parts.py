"""Parts of a benchmark that end in every way there is."""

import importlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.cuda.options import CannotRunError, Options
from lipstream.realtime.lipsync.predictor import DeviceLostError

COUNTED = "COUNTED_PARTS"


def counted(options: Options) -> Iterator[dict[str, Any]]:
    """Do what is asked, and count how often."""
    path = Path(os.environ[COUNTED])
    path.write_text(path.read_text() + "x" if path.exists() else "x")
    yield {"stand-in": options.stand_in, "n": 1}
    yield {"stand-in": options.stand_in, "n": 2}


def crashes(_: Options) -> Iterator[dict[str, Any]]:
    yield {"n": 1}
    print("the driver is gone", file=sys.stderr, flush=True)
    os.abort()


def raises(_: Options) -> Iterator[dict[str, Any]]:
    raise RuntimeError("an illegal memory access")
    yield {}


def hangs(_: Options) -> Iterator[dict[str, Any]]:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(os.environ[COUNTED]).write_text(str(child.pid))
    yield {"n": 1}
    time.sleep(600)


def lacks(_: Options) -> Iterator[dict[str, Any]]:
    importlib.import_module("no_such_package")

    yield {}


def finds_no_card(_: Options) -> Iterator[dict[str, Any]]:
    raise DeviceLostError("cuda cannot be used: Found no NVIDIA driver on your system")
    yield {}


def finds_no_room(_: Options) -> Iterator[dict[str, Any]]:
    raise MemoryError("CUDA out of memory")
    yield {}


def declines(_: Options) -> Iterator[dict[str, Any]]:
    raise CannotRunError("This PyAV knows no encoder of a card.")
    yield {}


def fails_a_test(_: Options) -> Iterator[dict[str, Any]]:
    yield {"outcome": "failed", "tests": 1, "which": "test_a"}


def names_a_card(_: Options) -> Iterator[dict[str, Any]]:
    yield {"fact": "card", "value": "a card"}

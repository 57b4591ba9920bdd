"""What a process that works on an avatar says to the server that started it: lines of JSON on standard output."""

import json
import sys
from collections.abc import Callable
from typing import Any

from lipstream.realtime.errors import LipstreamError, is_no_room


def tell(**message: Any) -> None:
    """Write one message: ``progress`` (0..1), ``done`` or ``failed`` (a sentence)."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def answer(work: Callable[[], None], *, leave_out: str = "") -> int:
    """Do a job and tell how it ended; return the exit status of its process.

    Args:
        leave_out: Part of the reasons of a failure that the reader cannot act on.
    """
    try:
        work()
    except LipstreamError as error:
        failed = error.message.replace(leave_out, "")
    except MemoryError:
        failed = "the file needs more memory than one build may use"
    except Exception as error:
        if not is_no_room(error):
            raise
        failed = "the disk is full"
    else:
        tell(done=True)
        return 0
    tell(failed=failed)
    return 1

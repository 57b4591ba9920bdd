"""Who goes first where cores are few: what is due soonest."""

import contextlib
import os
import sys
import threading

ENCODE_NICENESS = 10


def step_back() -> None:
    """Let the event loop and the render worker go before this thread: what comes from them is due sooner."""
    if sys.platform == "linux":  # elsewhere niceness belongs to the whole process
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), ENCODE_NICENESS)


def work_in_batches() -> None:
    """Have this thread, and those that it starts, never take the core from whoever wakes it.

    The event loop gives out work for several sessions in a row. Without this Linux would now and then stop it in the
    middle for the first of them, for as long as a batch takes.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))

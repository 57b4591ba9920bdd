"""Scheduling priorities of threads, for machines with few cores."""

import contextlib
import os
import sys
import threading

ENCODE_NICENESS = 10


def step_back() -> None:
    """Lower this thread's priority below the event loop and the render worker, which have earlier deadlines."""
    if sys.platform == "linux":  # elsewhere niceness belongs to the whole process
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), ENCODE_NICENESS)


def work_in_batches() -> None:
    """Set this thread, and the threads it starts, to batch scheduling: they do not preempt the thread that wakes them.

    The event loop hands out work for several sessions in a row. Without batch scheduling, Linux may stop the loop after
    the first of them for the length of a whole batch.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))

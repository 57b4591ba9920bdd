"""Whom the kernel ends first when memory runs out: a build, then a worker, which is started again, then the server."""

import contextlib
from pathlib import Path

JOB, WORKER = 1000, 500
"""Scores of a job, which only its own client waits for, and of a worker. The server keeps its own."""


def end_before_server(score: int) -> None:
    """Offer this process to the kernel before those with a lower score; without effect where there is no such order."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(score))

"""Decides how many workers there should be, by the sessions that are free. The module is pure.

A worker takes a while to come, so room for the sessions of that while is kept free. A worker goes only when it is
empty: a session cannot be moved.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lipstream.realtime.cluster.placement import WorkerState


@dataclass(frozen=True, slots=True)
class Scaling:
    """Bounds of a cluster's size.

    Attributes:
        least: Workers that are always kept.
        most: Workers at most.
        headroom: Share of the sessions in use that is kept free, beside room for one worker's sessions.
    """

    least: int = 1
    most: int = 1
    headroom: float = 0.2


def wanted_workers(workers: Sequence[WorkerState], scaling: Scaling) -> int:
    """Return how many workers there should be, so that the headroom is free.

    Draining workers are not counted: their room is never free again.
    """
    serving = [worker for worker in workers if worker.is_fresh and worker.reason != "draining"]
    if not serving:
        return max(scaling.least, 1)
    capacity = sum(worker.capacity for worker in serving) / len(serving)
    used = sum(worker.capacity - worker.free for worker in serving)
    needed = math.ceil((used * (1 + scaling.headroom) + capacity) / max(1.0, capacity))
    return max(scaling.least, min(scaling.most, needed))


def to_drain(workers: Sequence[WorkerState], wanted: int) -> list[str]:
    """Return the ids of empty workers to drain, so that ``wanted`` are left; fewer if not enough are empty."""
    serving = [worker for worker in workers if worker.is_fresh and worker.reason != "draining"]
    empty = sorted(worker.id for worker in serving if worker.free >= worker.capacity and worker.reason is None)
    return empty[: max(0, len(serving) - wanted)]

"""What waits in queues, and how much may."""

from collections.abc import Iterable

QueueDepths = dict[str, tuple[int, int]]
"""How much waits in each queue, and how much may."""


def fullest(all_depths: Iterable[QueueDepths]) -> QueueDepths:
    """Return of each queue the fullest."""
    found: QueueDepths = {}
    for depths in all_depths:
        for name, (depth, limit) in depths.items():
            found[name] = (max(depth, found.get(name, (0, 0))[0]), limit)
    return found

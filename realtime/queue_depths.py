"""Fill and limit of queues, by name."""

from collections.abc import Iterable

QueueDepths = dict[str, tuple[int, int]]
"""Fill and limit of each queue, by name."""


def fullest(all_depths: Iterable[QueueDepths]) -> QueueDepths:
    """Return the highest fill of each queue over several reports."""
    found: QueueDepths = {}
    for depths in all_depths:
        for name, (depth, limit) in depths.items():
            found[name] = (max(depth, found.get(name, (0, 0))[0]), limit)
    return found

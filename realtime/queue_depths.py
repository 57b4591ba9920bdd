"""What waits in queues, and how much may."""

from collections.abc import Iterable

Waiting = dict[str, tuple[int, int]]
"""How much waits in each queue, and how much may."""


def fullest(all_waiting: Iterable[Waiting]) -> Waiting:
    """Return of each queue the fullest."""
    found: Waiting = {}
    for waiting in all_waiting:
        for name, (depth, limit) in waiting.items():
            found[name] = (max(depth, found.get(name, (0, 0))[0]), limit)
    return found

"""Plans how the avatars of all workers become the same. The module is pure.

Each worker says of each avatar of its store when it was built and what its content is, and of each removed one when it
was removed. The latest of these wins everywhere, so ingresses that plan at the same time plan the same, and what was
missed while a worker was away is done when it is back.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple


class Entry(NamedTuple):
    """The last thing that happened to an avatar on a worker; the larger entry is the later one.

    Attributes:
        at_ns: Unix time, ns.
        digest: SHA-256 of the content, hex; empty if the avatar was removed.
    """

    at_ns: int
    digest: str


@dataclass(frozen=True, slots=True)
class Copy:
    """An avatar that one worker should get from another."""

    avatar_id: str
    entry: Entry
    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Remove:
    """An avatar that a worker should remove."""

    avatar_id: str
    entry: Entry
    target: str


def plan(workers: Mapping[str, Mapping[str, Entry]], nodes: Mapping[str, str]) -> list[Copy | Remove]:
    """Return what is to be done next so that every worker has the latest entry of every avatar.

    An avatar comes to each node once: one worker there gets it from another node, and the next plan lets its neighbours
    get it from that one. An empty plan means that all workers are the same.

    Args:
        workers: Entries by avatar id, by worker.
        nodes: Name of the machine of each worker.
    """
    latest: dict[str, Entry] = {}
    for entries in workers.values():
        for avatar_id, entry in entries.items():
            latest[avatar_id] = max(entry, latest.get(avatar_id, entry))
    steps: list[Copy | Remove] = []
    for avatar_id, entry in sorted(latest.items()):
        needy = [one for one in sorted(workers) if workers[one].get(avatar_id) != entry]
        if not entry.digest:  # whoever never had it need not hear that it was removed
            steps += [Remove(avatar_id, entry, one) for one in needy if avatar_id in workers[one]]
            continue
        sources = {nodes[one]: one for one in sorted(workers, reverse=True) if workers[one].get(avatar_id) == entry}
        served: set[str] = set()
        for target in needy:
            near = sources.get(nodes[target])
            if near is None and nodes[target] in served:
                continue
            served.add(nodes[target])
            steps.append(Copy(avatar_id, entry, near or min(sources.values()), target))
    return steps

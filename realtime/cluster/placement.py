"""Chooses the worker of a new session. The module is pure: what is known comes in, an order of workers goes out.

Every session costs its worker a core's share for as long as it lasts, and cannot be moved. So sessions are packed: of a
few workers taken at random, the fullest one below :data:`PACKED_SHARE` comes first, and other workers run empty, which
is when they can be switched off. Above that share the emptiest comes first. The sample makes several ingresses, each
with figures up to a second old, choose different workers. A worker that has the avatar prepared beats one that has not,
since a preparation takes seconds of processor time.
"""

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from lipstream.realtime.errors import UnreadyReason

PACKED_SHARE = 0.8
"""Share of a worker's capacity up to which sessions are packed."""
SAMPLE = 4
"""Workers that are compared: enough to find a full one, few enough that ingresses rarely choose the same."""
FRESH_S = 2.5
"""Age of an announcement after which its worker gets no session: two that come each second may be late."""
FULL_RETRY_S, WARMING_RETRY_S = 5, 2
"""What ``Retry-After`` says when no worker has room, and when none has started, s."""


@dataclass(frozen=True, slots=True)
class WorkerState:
    """What is known of one worker.

    Attributes:
        id: Eight characters that end the ids of its sessions.
        capacity: Sessions that it has room for in all.
        free: Sessions that it has room for now; those that were placed since it said so are taken off.
        reason: Why it takes no session; ``None`` if it does.
        prepared: Ids of avatars that it shows without preparing them.
        model: Fingerprint of its weights.
        age_s: Time since its last announcement, s.
    """

    id: str
    capacity: int
    free: int
    reason: UnreadyReason | None = None
    prepared: Collection[str] = field(default_factory=frozenset)
    model: str = ""
    age_s: float = 0.0

    @property
    def is_fresh(self) -> bool:
        """Whether it has announced itself lately."""
        return self.age_s <= FRESH_S

    @property
    def takes_sessions(self) -> bool:
        """Whether a session can be placed on it, as far as is known."""
        return self.is_fresh and self.reason is None and self.free > 0

    @property
    def packed(self) -> bool:
        """Whether one more session would fill it above :data:`PACKED_SHARE`."""
        return self.capacity - self.free + 1 > PACKED_SHARE * self.capacity

    @property
    def load(self) -> float:
        """Share of its capacity in use, 0..1."""
        return 1 - self.free / max(1, self.capacity)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a new session wants of its worker. Nothing of it is a condition.

    Attributes:
        avatar: Id of its avatar; empty for the server's choice.
        model: Fingerprint of the weights that drew the session that it replaces; empty for any.
    """

    avatar: str = ""
    model: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why no worker can take a session.

    Attributes:
        retry_after_s: What ``Retry-After`` should say, s.
    """

    reason: UnreadyReason
    retry_after_s: int


def order_of(workers: Sequence[WorkerState], wish: Wish, chance: random.Random) -> list[str]:
    """Return the ids of the workers to ask for a session, best first; empty if none takes one.

    All workers with room are in it, so that one that refuses is followed by another.
    """
    left = [worker for worker in workers if worker.takes_sessions]
    chance.shuffle(left)
    best = min((_mismatch(worker, wish) for worker in left), default=0)
    suited = [worker for worker in left if _mismatch(worker, wish) == best]
    others = [worker for worker in left if _mismatch(worker, wish) != best]
    below = [worker for worker in suited if not worker.packed]
    sample = (below or suited)[:SAMPLE]
    sample.sort(key=lambda worker: -worker.load if below else worker.load)
    chosen = {worker.id for worker in sample}
    rest = [worker for worker in suited if worker.id not in chosen]
    others.sort(key=lambda worker: (_mismatch(worker, wish), worker.load))
    return [worker.id for worker in (*sample, *rest, *others)]


def refusal_of(workers: Sequence[WorkerState]) -> Refusal | None:
    """Return why no worker can take a session now; ``None`` if one can."""
    if any(worker.takes_sessions for worker in workers):
        return None
    fresh = [worker for worker in workers if worker.is_fresh]
    if not fresh or any(worker.reason == "warming" for worker in fresh):
        return Refusal("warming", WARMING_RETRY_S)
    if all(worker.reason == "draining" for worker in fresh):
        return Refusal("draining", FULL_RETRY_S)
    if all(worker.reason in ("draining", "renderer") for worker in fresh):
        return Refusal("renderer", WARMING_RETRY_S)
    return Refusal("full", FULL_RETRY_S)


def _mismatch(worker: WorkerState, wish: Wish) -> int:
    """Return how little a worker suits, 0 best: an avatar to be prepared weighs more than other weights."""
    return 2 * bool(wish.avatar and wish.avatar not in worker.prepared) + bool(
        wish.model and wish.model != worker.model
    )

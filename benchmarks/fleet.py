"""A cluster in virtual time: workers, ingresses with old figures, clients that come, retry, and are lost with a worker.

Nothing sleeps: events lie in a heap, and a day takes some seconds.
"""

import heapq
import itertools
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lipstream.realtime.cluster.autoscaling import Scaling, to_drain, wanted_workers
from lipstream.realtime.cluster.placement import FULL_RETRY_S, Wish, WorkerState, order_of

DAY_S = 86_400.0
FIGURES_AGE_S = 1.0
"""Ingresses learn of changes each second here; workers tell them within 50 ms, so this is the harder case."""
INGRESSES = 3
MOST_RETRIES = 2
"""Times that a client comes again after the cluster was full, before it gives up."""
LOSS_SEEN_S, BACKOFF_S = (0.0, 1.0), (0.4, 0.5)
"""Bounds of the time until a page asks of its session, which it does each second, and of its wait after that, s."""
SCALE_EVERY_S = 15.0
AVATARS = 12
SCALING = Scaling(least=4, most=1000, headroom=0.2)

Policy = Callable[[Sequence[WorkerState], Wish, random.Random], list[str]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """What happens to a cluster in a day.

    Attributes:
        sessions: Sessions that clients want, without those after a failure.
        mean_s: Mean length of a session, which is distributed exponentially, s.
        capacity: Sessions of one worker.
        start_s: Time until a worker that was asked for takes sessions, s.
        flash: Factor on the arrivals of five minutes at the day's height; 1 for none.
        failures_per_day: Workers that are killed.
    """

    name: str = "a day"
    sessions: int = 100_000
    mean_s: float = 480.0
    capacity: int = 8
    start_s: float = 60.0
    flash: float = 1.0
    failures_per_day: int = 0
    scaling: Scaling = SCALING


@dataclass(slots=True)
class Outcome:
    """What came of a day.

    Attributes:
        refused: Clients that were told at first that the cluster is full.
        given_up: Clients that got no session in :data:`MOST_RETRIES` more tries.
        asked: Workers that were asked, over all placements.
        prepared: Sessions that waited for their avatar to be prepared.
        above_packed_s: Time that sessions spent on workers with more than nine tenths in use, s.
        session_s: Time of all sessions, s.
        worker_s: Time that workers were paid for, s.
        replaced_s: Time from a worker's death to each of its sessions' next one, s.
    """

    placed: int = 0
    refused: int = 0
    given_up: int = 0
    asked: int = 0
    prepared: int = 0
    above_packed_s: float = 0.0
    session_s: float = 0.0
    worker_s: float = 0.0
    replaced_s: list[float] = field(default_factory=list)


@dataclass(slots=True)
class _Worker:
    id: str
    began_s: float
    sessions: set[int] = field(default_factory=set)
    prepared: set[str] = field(default_factory=set)
    changed_s: float = 0.0


class Fleet:
    """One day of one policy."""

    def __init__(self, scenario: Scenario, policy: Policy, seed: int) -> None:
        self._scenario, self._policy = scenario, policy
        self._chance = random.Random(seed)
        self._choices = random.Random(seed + 1000)  # so that every policy sees the same day
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._numbers = itertools.count()
        self._workers: dict[str, _Worker] = {}
        self._where: dict[int, tuple[_Worker, float, str]] = {}  # worker, end, avatar
        self._booting = 0
        self._told: dict[str, WorkerState] = {}
        self._told_s = -1.0
        self._dirty: set[str] = set()
        self._pending: list[dict[str, int]] = [{} for _ in range(INGRESSES)]
        self.outcome = Outcome()

    def run(self) -> Outcome:
        """Let the day pass."""
        for _ in range(math.ceil(self._rate(0.0) * self._scenario.mean_s / self._scenario.capacity) + 2):
            self._add_worker(0.0)
        for at_s in self._arrivals():
            avatar = str(min(int(self._chance.expovariate(0.5)), AVATARS - 1))
            length_s = self._chance.expovariate(1 / self._scenario.mean_s)
            self._at(at_s, lambda now_s, a=avatar, s=length_s: self._ask(now_s, a, s, 0))  # type: ignore[misc]
        for _ in range(self._scenario.failures_per_day):
            self._at(self._chance.uniform(0, DAY_S), self._kill)
        self._at(SCALE_EVERY_S, self._scale)
        while self._events and self._events[0][0] <= DAY_S:
            at_s, _, happens = heapq.heappop(self._events)
            happens(at_s)
        for worker in list(self._workers.values()):
            self._remove(worker, DAY_S)
        return self.outcome

    def _rate(self, at_s: float) -> float:
        """Return the arrivals per second of a day's curve, lowest at 4 h and highest at 16 h."""
        mean = self._scenario.sessions / DAY_S
        return mean * (1 - 0.8 * math.cos(2 * math.pi * (at_s / DAY_S - 4 / 24)))

    def _arrivals(self) -> list[float]:
        highest, at_s, found = 1.8 * self._scenario.sessions / DAY_S * self._scenario.flash, 0.0, []
        while (at_s := at_s + self._chance.expovariate(highest)) < DAY_S:
            flash = self._scenario.flash if 0 <= at_s - 16 * 3600 < 300 else 1.0
            if self._chance.random() < self._rate(at_s) * flash / highest:
                found.append(at_s)
        return found

    def _at(self, at_s: float, happens: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (at_s, next(self._numbers), happens))

    # Workers

    def _add_worker(self, now_s: float) -> None:
        worker = _Worker(f"{next(self._numbers):08d}", now_s, changed_s=now_s)
        self._workers[worker.id] = worker
        self._dirty.add(worker.id)

    def _remove(self, worker: _Worker, now_s: float) -> None:
        self._note_time(worker, now_s)
        self.outcome.worker_s += now_s - worker.began_s
        del self._workers[worker.id]
        self._dirty.add(worker.id)

    def _note_time(self, worker: _Worker, now_s: float) -> None:
        passed_s = (now_s - worker.changed_s) * len(worker.sessions)
        self.outcome.session_s += passed_s
        if len(worker.sessions) > 0.9 * self._scenario.capacity:
            self.outcome.above_packed_s += passed_s
        worker.changed_s = now_s
        self._dirty.add(worker.id)

    def _state(self, worker: _Worker) -> WorkerState:
        capacity = self._scenario.capacity
        free = capacity - len(worker.sessions)
        return WorkerState(worker.id, capacity, free, None if free else "full", frozenset(worker.prepared))

    def _scale(self, now_s: float) -> None:
        states = [self._state(worker) for worker in self._workers.values()]
        wanted = wanted_workers(states, self._scenario.scaling)
        for _ in range(wanted - len(states) - self._booting):
            self._booting += 1
            self.outcome.worker_s += self._scenario.start_s  # paid for while it starts
            self._at(now_s + self._scenario.start_s, self._boot)
        for worker_id in to_drain(states, wanted):
            self._remove(self._workers[worker_id], now_s)
        self._at(now_s + SCALE_EVERY_S, self._scale)

    def _boot(self, now_s: float) -> None:
        self._booting -= 1
        self._add_worker(now_s)

    def _kill(self, now_s: float) -> None:
        worker = self._chance.choice(sorted(self._workers.values(), key=lambda one: one.id))
        self._remove(worker, now_s)
        for number in sorted(worker.sessions):
            _, end_s, avatar = self._where.pop(number)
            seen_s = self._chance.uniform(*LOSS_SEEN_S) + self._chance.uniform(*BACKOFF_S)
            left_s = max(1.0, end_s - now_s)
            self._at(now_s + seen_s, lambda at_s, a=avatar, s=left_s: self._ask(at_s, a, s, 0, now_s))  # type: ignore[misc]

    # Sessions

    def _ask(self, now_s: float, avatar: str, length_s: float, tries: int, lost_s: float | None = None) -> None:
        """A client asks an ingress; a full cluster is asked again as `Retry-After` says."""
        pending = self._pending[self._chance.randrange(INGRESSES)]
        order = self._policy(self._figures(now_s, pending), Wish(avatar), self._choices)
        for worker_id in order:
            self.outcome.asked += 1
            worker = self._workers.get(worker_id)
            if worker and len(worker.sessions) < self._scenario.capacity:
                pending[worker_id] = pending.get(worker_id, 0) + 1
                self._begin(worker, now_s, avatar, length_s)
                if lost_s is not None:
                    self.outcome.replaced_s.append(now_s - lost_s)
                return
        self.outcome.refused += tries == 0
        if tries < MOST_RETRIES:
            again_s = now_s + FULL_RETRY_S
            self._at(again_s, lambda at_s: self._ask(at_s, avatar, length_s, tries + 1, lost_s))
        else:
            self.outcome.given_up += 1

    def _begin(self, worker: _Worker, now_s: float, avatar: str, length_s: float) -> None:
        self._note_time(worker, now_s)
        number = next(self._numbers)
        worker.sessions.add(number)
        self._where[number] = worker, now_s + length_s, avatar
        self.outcome.placed += 1
        self.outcome.prepared += avatar not in worker.prepared
        worker.prepared.add(avatar)
        self._at(now_s + length_s, lambda at_s: self._end(number, at_s))

    def _end(self, number: int, now_s: float) -> None:
        if number in self._where:
            worker, _, _ = self._where.pop(number)
            self._note_time(worker, now_s)
            worker.sessions.discard(number)

    def _figures(self, now_s: float, pending: dict[str, int]) -> list[WorkerState]:
        """Return what an ingress knows: the last second's figures, less what it has placed itself since."""
        if math.floor(now_s / FIGURES_AGE_S) != self._told_s:
            self._told_s = math.floor(now_s / FIGURES_AGE_S)
            for worker_id in self._dirty:
                if worker_id in self._workers:
                    self._told[worker_id] = self._state(self._workers[worker_id])
                else:
                    self._told.pop(worker_id, None)
            self._dirty.clear()
            for one in self._pending:
                one.clear()
        if not pending:
            return list(self._told.values())
        return [
            replace(state, free=max(0, state.free - pending[state.id])) if state.id in pending else state
            for state in self._told.values()
        ]


def by_chance(workers: Sequence[WorkerState], _: Wish, chance: random.Random) -> list[str]:
    """Ask the workers with room in any order."""
    order = [worker.id for worker in workers if worker.takes_sessions]
    chance.shuffle(order)
    return order


def in_turn() -> Policy:
    """Return a policy that asks one worker after the other."""
    turns = itertools.count()

    def order(workers: Sequence[WorkerState], _: Wish, __: random.Random) -> list[str]:
        able = [worker.id for worker in workers if worker.takes_sessions]
        first = next(turns) % max(1, len(able))
        return able[first:] + able[:first]

    return order


def least_loaded(workers: Sequence[WorkerState], _: Wish, chance: random.Random) -> list[str]:
    """Ask the workers with room, the emptiest first."""
    able = [worker for worker in workers if worker.takes_sessions]
    chance.shuffle(able)
    return [worker.id for worker in sorted(able, key=lambda worker: worker.load)]


def of_two(workers: Sequence[WorkerState], _: Wish, chance: random.Random) -> list[str]:
    """Ask the emptier of two workers first, then the others in any order."""
    able = [worker for worker in workers if worker.takes_sessions]
    chance.shuffle(able)
    return [worker.id for worker in (*sorted(able[:2], key=lambda worker: worker.load), *able[2:])]


POLICIES: dict[str, Callable[[], Policy]] = {
    "Lipstream's": lambda: order_of,
    "random": lambda: by_chance,
    "round-robin": in_turn,
    "least-loaded": lambda: least_loaded,
    "power of two": lambda: of_two,
}


def figures_of(scenario: Scenario, policy: str, outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as a row of a table."""
    wanted = max(1, outcome.placed + outcome.given_up)
    replaced = sorted(outcome.replaced_s)
    return {
        "day": scenario.name,
        "policy": policy,
        "sessions": outcome.placed,
        "full at first %": round(100 * outcome.refused / wanted, 2),
        "gave up %": round(100 * outcome.given_up / wanted, 2),
        "asked a session": round(outcome.asked / max(1, outcome.placed), 3),
        "avatar prepared %": round(100 * outcome.prepared / max(1, outcome.placed), 2),
        "on workers above 90 %": round(100 * outcome.above_packed_s / max(1.0, outcome.session_s), 1),
        "worker hours": round(outcome.worker_s / 3600),
        "in use %": round(100 * outcome.session_s / max(1.0, outcome.worker_s * scenario.capacity), 1),
        "lost": len(replaced),
        "again after s, p95": round(replaced[int(0.95 * (len(replaced) - 1))], 2) if replaced else None,
    }

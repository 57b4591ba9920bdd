"""What an ingress knows of its workers, from their announcements. The module is pure: the time is an argument.

Nothing is stored: an ingress that starts knows all workers after a second, and several ingresses know the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from lipstream.realtime.cluster.avatar_plan import Entry
from lipstream.realtime.cluster.placement import WorkerState
from lipstream.realtime.session.session_names import split_id
from lipstream.realtime.wire.cluster_messages import Announcement

GONE_S = 5.0
"""Silence after which a worker counts as gone, s. A busy one may be late; its owners would begin their calls again."""
REMEMBERED_S = 60.0
"""Time for which the sessions of a lost worker may be continued, s: as long as a session waits for its owner."""
PENDING_S = 2.0
"""Time for which a session that is being placed counts, if no announcement tells of it, s."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where a session is.

    Attributes:
        kind: ``there``: on a worker; ``moved``: continued under another id; ``lost``: its worker is gone, and nobody
            has continued it; ``unknown``: no session of a worker that is known.
        url: Address of the worker, if it is there.
        session_id: Id of the session now.
    """

    kind: Literal["there", "moved", "lost", "unknown"]
    url: str = ""
    session_id: str = ""


@dataclass(slots=True)
class _Member:
    url: str
    announcement: Announcement
    heard_s: float
    pending: list[float] = field(default_factory=list)  # when sessions were asked for that no announcement tells of
    ended: int = 0  # sessions whose end no announcement tells of
    gone_s: float | None = None


class Members:
    """The workers of a cluster as one ingress knows them."""

    def __init__(self) -> None:
        self._members: dict[str, _Member] = {}

    def hear(self, url: str, announcement: Announcement, now_s: float) -> None:
        """Take in an announcement from a worker's address."""
        worker_id = announcement["worker"]
        for other in self._members.values():
            if other.url == url and other.announcement["worker"] != worker_id:
                self._part(other, now_s)  # the server there was started again
        known = self._members.get(worker_id)
        if known is None:
            self._members[worker_id] = _Member(url, announcement, now_s)
            return
        begun = max(0, _begun(announcement) - _begun(known.announcement))
        known.pending = [at_s for at_s in known.pending[begun:] if now_s - at_s < PENDING_S]
        known.ended = 0
        known.url, known.announcement, known.heard_s, known.gone_s = url, announcement, now_s, None

    def lose(self, url: str, now_s: float) -> None:
        """Note that the worker of an address does not answer."""
        for member in self._members.values():
            if member.url == url:
                self._part(member, now_s)

    def forget_old(self, now_s: float) -> None:
        """Forget the workers that have been gone for long."""
        for worker_id, member in list(self._members.items()):
            if now_s - (member.heard_s if member.gone_s is None else member.gone_s) > REMEMBERED_S:
                del self._members[worker_id]

    def note_asked(self, worker_id: str, now_s: float) -> None:
        """Count a session that a worker is asked for, until an announcement tells of it."""
        if member := self._members.get(worker_id):
            member.pending.append(now_s)

    def note_refused(self, worker_id: str, asked_s: float) -> None:
        """Forget a session that a worker was asked for at a time, and did not begin."""
        member = self._members.get(worker_id)
        if member and asked_s in member.pending:
            member.pending.remove(asked_s)

    def note_ended(self, session_id: str) -> None:
        """Count the room of a session that was ended, until the next announcement."""
        if member := self._members.get(split_id(session_id)[0]):
            member.ended += 1

    def states(self, now_s: float) -> list[WorkerState]:
        """Return the workers that have not been gone for long, by id."""
        return [self._state(member, now_s) for _, member in sorted(self._members.items())]

    def there(self, now_s: float) -> dict[str, Announcement]:
        """Return the last announcements of the workers that are not gone, by address."""
        return {member.url: member.announcement for member in self._members.values() if self._is_there(member, now_s)}

    def url_of(self, worker_id: str) -> str | None:
        """Return the address of a worker; ``None`` if it is not known."""
        member = self._members.get(worker_id)
        return member.url if member else None

    def model_of(self, session_id: str) -> str:
        """Return the fingerprint of the weights that drew a session; empty if it is not known."""
        member = self._members.get(split_id(session_id)[0])
        return member.announcement["model"] if member else ""

    def route(self, session_id: str, now_s: float) -> Route:
        """Return where a session is."""
        worker_id, name = split_id(session_id)
        member = self._members.get(worker_id)
        if member and self._is_there(member, now_s):
            return Route("there", member.url, session_id)
        continued = sorted(
            one
            for other in self._members.values()
            if self._is_there(other, now_s)
            for one in other.announcement["continued"]
            if name and split_id(one)[1] == name
        )
        if continued:
            return Route("moved", session_id=continued[0])
        return Route("lost" if member else "unknown")

    def avatars(self, now_s: float) -> Mapping[str, Mapping[str, Entry]]:
        """Return the entries of the avatars of the workers that are there, by address."""
        return {
            url: {name: Entry(*entry) for name, entry in announcement["avatars"].items()}
            for url, announcement in self.there(now_s).items()
        }

    def _is_there(self, member: _Member, now_s: float) -> bool:
        return member.gone_s is None and now_s - member.heard_s <= GONE_S

    def _part(self, member: _Member, now_s: float) -> None:
        if member.gone_s is None:
            member.gone_s = now_s

    def _state(self, member: _Member, now_s: float) -> WorkerState:
        told = member.announcement
        pending = sum(now_s - at_s < PENDING_S for at_s in member.pending)
        reason = None if told["reason"] == "full" and member.ended else told["reason"]
        return WorkerState(
            id=told["worker"],
            capacity=told["capacity"],
            free=max(0, told["free"] + member.ended - pending),
            reason=reason,
            prepared=frozenset(told["prepared"]),
            model=told["model"],
            age_s=now_s - member.heard_s if member.gone_s is None else float("inf"),
        )


def _begun(told: Announcement) -> int:
    """Return how many sessions a worker has begun, those included that have ended if it tells of them."""
    return told.get("begun", told["sessions"])

"""What an ingress knows: a state machine of announcements, losses and time."""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule
from pydantic import TypeAdapter

from lipstream.realtime.cluster.membership import GONE_S, PENDING_S, REMEMBERED_S, Members
from lipstream.realtime.cluster.placement import FRESH_S
from lipstream.realtime.errors import UnreadyReason
from lipstream.realtime.wire.cluster_messages import Announcement


def announced(
    worker: str,
    *,
    free: int = 4,
    sessions: int = 0,
    begun: int = 0,
    reason: UnreadyReason | None = None,
    continued: list[str] | None = None,
    model: str = "m",
) -> Announcement:
    return Announcement(
        worker=worker, node="n", model=model, reason=reason, capacity=8, free=free, sessions=sessions, begun=begun,
        continued=continued or [], prepared=[], shown=[], avatars={}, tokens="", keyed=True, held={},
    )  # fmt: skip


A, B = "aaaaaaaa", "bbbbbbbb"


def test_a_session_is_found_by_its_id_until_its_worker_is_gone() -> None:
    members = Members()
    assert members.route(f"one{A}", 0.0).kind == "unknown"
    members.hear("http://a", announced(A), 0.0)
    there = members.route(f"one{A}", GONE_S)
    assert (there.kind, there.url) == ("there", "http://a")
    assert members.route(f"one{A}", GONE_S + 0.1).kind == "lost", "silence counts as loss"
    members.hear("http://a", announced(A), 9.0)
    members.lose("http://a", 9.5)
    assert members.route(f"one{A}", 9.5).kind == "lost", "a closed connection counts at once"
    members.forget_old(9.5 + REMEMBERED_S + 0.1)
    assert members.route(f"one{A}", 9.6 + REMEMBERED_S).kind == "unknown"


def test_a_lost_session_is_found_where_it_is_continued() -> None:
    members = Members()
    members.hear("http://a", announced(A, model="old"), 0.0)
    members.hear("http://b", announced(B), 0.0)
    members.lose("http://a", 1.0)
    members.hear("http://b", announced(B, sessions=1, continued=[f"one{B}"]), 1.2)
    moved = members.route(f"one{A}", 1.5)
    assert (moved.kind, moved.session_id) == ("moved", f"one{B}")
    assert members.route(f"two{A}", 1.5).kind == "lost"
    assert members.model_of(f"one{A}") == "old"


def test_a_server_that_was_started_again_is_another_worker() -> None:
    members = Members()
    members.hear("http://a", announced(A), 0.0)
    members.hear("http://a", announced(B), 0.5)
    assert members.route(f"one{A}", 0.6).kind == "lost"
    assert members.route(f"one{B}", 0.6).url == "http://a"


def free(members: Members, now_s: float) -> int:
    (state,) = members.states(now_s)
    return state.free if state.takes_sessions else 0


def test_what_was_asked_for_counts_until_an_announcement_tells_of_it() -> None:
    members = Members()
    members.hear("http://a", announced(A, free=2), 0.0)
    members.note_asked(A, 0.1)
    assert free(members, 0.2) == 1
    members.hear("http://a", announced(A, free=2), 0.3)  # told before it began
    assert free(members, 0.4) == 1
    members.hear("http://a", announced(A, free=1, sessions=1, begun=1), 0.5)
    assert free(members, 0.6) == 1
    members.note_asked(A, 0.7)
    assert free(members, 0.7 + PENDING_S) == 1, "one that never came about is forgotten"
    members.note_asked("unknown_", 0.7)


def test_one_that_has_ended_before_an_announcement_tells_of_it_or_replaced_another_counts_no_more() -> None:
    members = Members()
    members.hear("http://a", announced(A, free=1, sessions=3, begun=3), 0.0)
    members.note_asked(A, 0.1)
    assert free(members, 0.2) == 0
    members.hear("http://a", announced(A, free=1, sessions=3, begun=4), 0.3)
    assert free(members, 0.4) == 1


def test_a_worker_of_an_earlier_version_is_counted_by_its_sessions() -> None:
    def old(**told: Any) -> Announcement:
        words = {key: value for key, value in announced(A, **told).items() if key != "begun"}
        return TypeAdapter(Announcement).validate_python(words)

    members = Members()
    members.hear("http://a", old(free=2), 0.0)
    members.note_asked(A, 0.1)
    members.hear("http://a", old(free=2), 0.2)
    assert free(members, 0.3) == 1
    members.hear("http://a", old(free=1, sessions=1), 0.4)
    assert free(members, 0.5) == 1


def test_one_that_was_refused_counts_no_more() -> None:
    members = Members()
    members.hear("http://a", announced(A, free=1), 0.0)
    members.note_asked(A, 0.1)
    members.note_refused(A, 0.1)
    assert free(members, 0.2) == 1
    members.note_refused(A, 0.1)
    members.note_refused("unknown_", 0.1)


def test_the_room_of_one_that_was_ended_counts_at_once() -> None:
    members = Members()
    members.hear("http://a", announced(A, free=0, sessions=8, begun=8, reason="full"), 0.0)
    assert free(members, 0.1) == 0
    members.note_ended(f"one{A}")
    assert free(members, 0.1) == 1
    members.hear("http://a", announced(A, free=0, sessions=8, begun=9, reason="full"), 0.2)  # another took it
    assert free(members, 0.3) == 0
    members.hear("http://a", announced(A, free=0, sessions=8, begun=9, reason="draining"), 0.4)
    members.note_ended(f"one{A}")
    assert free(members, 0.5) == 0, "it takes no session for another reason"
    members.note_ended("oneunknown_")


class Knowing(RuleBasedStateMachine):
    """Compares what is known with the events themselves."""

    urls = Bundle("urls")

    def __init__(self) -> None:
        super().__init__()
        self.members, self.now_s = Members(), 0.0
        self.heard: dict[str, tuple[str, float]] = {}  # worker: address, last time; without those that were lost

    @rule(url=st.sampled_from(("http://a", "http://b")), worker=st.sampled_from((A, B, "cccccccc")))
    def hear(self, url: str, worker: str) -> None:
        self.members.hear(url, announced(worker), self.now_s)
        self.heard = {known: at for known, at in self.heard.items() if at[0] != url}
        self.heard[worker] = url, self.now_s

    @rule(url=st.sampled_from(("http://a", "http://b")))
    def lose(self, url: str) -> None:
        self.members.lose(url, self.now_s)
        self.heard = {known: at for known, at in self.heard.items() if at[0] != url}

    @rule(seconds=st.sampled_from((0.1, 1.0, FRESH_S, GONE_S, 30.0, REMEMBERED_S + 1)))
    def wait(self, seconds: float) -> None:
        self.now_s += seconds
        self.members.forget_old(self.now_s)

    @invariant()
    def those_heard_lately_are_there_and_no_others(self) -> None:
        there = {worker: url for worker, (url, at_s) in self.heard.items() if self.now_s - at_s <= GONE_S}
        known = {told["worker"]: url for url, told in self.members.there(self.now_s).items()}
        assert known == there
        lately = {worker for worker, (_, at_s) in self.heard.items() if self.now_s - at_s <= FRESH_S}
        assert {one.id for one in self.members.states(self.now_s) if one.takes_sessions} == lately
        for worker in (A, B, "cccccccc"):
            route = self.members.route(f"x{worker}", self.now_s)
            assert (route.kind == "there") == (worker in there)
            assert route.url == there.get(worker, "")


TestKnowing = Knowing.TestCase
TestKnowing.settings = settings(max_examples=50, stateful_step_count=30)

"""The policy: who is asked for a session, in which order."""

import random

from hypothesis import given
from hypothesis import strategies as st

from lipstream.realtime.cluster.placement import (
    FRESH_S,
    FULL_RETRY_S,
    PACKED_SHARE,
    SAMPLE,
    WARMING_RETRY_S,
    Wish,
    WorkerState,
    order_of,
    refusal_of,
)
from lipstream.realtime.errors import UnreadyReason

_REASONS: tuple[UnreadyReason | None, ...] = (None, "warming", "full", "draining", "renderer")
reasons = st.sampled_from(_REASONS)


@st.composite
def workers(draw: st.DrawFn) -> list[WorkerState]:
    count = draw(st.integers(0, 12))
    found = []
    for number in range(count):
        capacity = draw(st.integers(1, 16))
        found.append(
            WorkerState(
                id=f"{number:08d}",
                capacity=capacity,
                free=draw(st.integers(0, capacity)),
                reason=draw(reasons),
                prepared=draw(st.frozensets(st.sampled_from(("ann", "bob")))),
                model=draw(st.sampled_from(("m1", "m2"))),
                age_s=draw(st.sampled_from((0.0, 1.0, FRESH_S, FRESH_S + 0.1))),
            )
        )
    return found


wishes = st.builds(Wish, st.sampled_from(("", "ann", "bob")), st.sampled_from(("", "m1", "m2")))


@given(workers(), wishes, st.integers(0, 99))
def test_every_worker_with_room_is_asked_once_and_no_other(known: list[WorkerState], wish: Wish, seed: int) -> None:
    order = order_of(known, wish, random.Random(seed))
    able = {one.id for one in known if one.is_fresh and one.reason is None and one.free}
    assert sorted(order) == sorted(able)
    assert (refusal_of(known) is None) == bool(able)


@given(workers(), st.sampled_from(("ann", "bob")), st.integers(0, 99))
def test_a_worker_that_has_the_avatar_comes_before_all_that_have_not(
    known: list[WorkerState], avatar: str, seed: int
) -> None:
    by_id = {one.id: one for one in known}
    has = [avatar in by_id[one].prepared for one in order_of(known, Wish(avatar), random.Random(seed))]
    assert has == sorted(has, reverse=True)


@given(workers(), st.integers(0, 99))
def test_the_first_is_the_fullest_or_the_emptiest_of_the_sample(known: list[WorkerState], seed: int) -> None:
    by_id = {one.id: one for one in known}
    order = [by_id[one] for one in order_of(known, Wish(), random.Random(seed))]
    if not order:
        return
    below = [one for one in order if not one.packed]
    sample = order[: min(SAMPLE, len(below or order))]
    assert all(one.packed == (not below) for one in sample)
    loads = [one.load for one in sample]
    assert loads[0] == (max(loads) if below else min(loads))


def test_sessions_are_packed_up_to_a_share_of_the_capacity() -> None:
    busy, idle = WorkerState("busybusy", 10, 5), WorkerState("idleidle", 10, 10)
    assert order_of([idle, busy], Wish(), random.Random(1))[0] == "busybusy"
    at_share = WorkerState("busybusy", 10, 10 - round(10 * PACKED_SHARE))
    assert order_of([idle, at_share], Wish(), random.Random(1))[0] == "idleidle"


def test_an_avatar_at_hand_weighs_more_than_the_same_weights() -> None:
    avatar = WorkerState("avatar__", 4, 4, prepared={"ann"}, model="new")
    model = WorkerState("model___", 4, 4, model="old")
    both = WorkerState("both____", 4, 1, prepared={"ann"}, model="old")
    wish = Wish("ann", "old")
    assert order_of([model, avatar], wish, random.Random(1)) == ["avatar__", "model___"]
    assert order_of([model, avatar, both], wish, random.Random(1)) == ["both____", "avatar__", "model___"]


def test_a_refusal_says_why_and_when_to_come_again() -> None:
    def refused(*reasons: str | None, free: int = 0) -> tuple[str, int]:
        refusal = refusal_of([WorkerState(str(n), 2, free, reason) for n, reason in enumerate(reasons)])  # type: ignore[arg-type]
        assert refusal is not None
        return refusal.reason, refusal.retry_after_s

    assert refused() == ("warming", WARMING_RETRY_S)
    assert refused("full", None) == ("full", FULL_RETRY_S)
    assert refused("full", "draining") == ("full", FULL_RETRY_S)
    assert refused("draining", "draining", free=2) == ("draining", FULL_RETRY_S)
    assert refused("renderer", "draining", free=2) == ("renderer", WARMING_RETRY_S)
    assert refused("full", "warming") == ("warming", WARMING_RETRY_S)
    assert refusal_of([WorkerState("a", 2, 1, age_s=FRESH_S + 1)]).reason == "warming"  # type: ignore[union-attr]


def test_several_ingresses_with_old_figures_rarely_choose_the_same() -> None:
    known = [WorkerState(f"{n:08d}", 10, 5) for n in range(50)]
    first = [order_of(known, Wish(), random.Random(seed))[0] for seed in range(20)]
    assert len(set(first)) > 10

from hypothesis import given
from hypothesis import strategies as st

from lipstream.realtime.cluster.autoscaling import Scaling, to_drain, wanted_workers
from lipstream.realtime.cluster.placement import WorkerState


def cluster(*free: int, capacity: int = 10) -> list[WorkerState]:
    return [WorkerState(f"{n:08d}", capacity, one) for n, one in enumerate(free)]


def test_room_for_one_worker_and_the_headroom_is_kept_free() -> None:
    scaling = Scaling(least=1, most=100, headroom=0.2)
    assert wanted_workers([], scaling) == 1
    assert wanted_workers(cluster(10), scaling) == 1
    assert wanted_workers(cluster(9), scaling) == 2
    assert wanted_workers(cluster(0, 0, 0, 0, 0), scaling) == 7  # 50 in use, 10 of headroom, 10 of one worker
    assert wanted_workers(cluster(0, 0, 0, 0, 0), Scaling(least=1, most=6)) == 6
    assert wanted_workers(cluster(10, 10), Scaling(least=2, most=6)) == 2


def test_the_room_of_draining_and_of_lost_workers_does_not_count() -> None:
    scaling = Scaling(most=9, headroom=0.0)
    gone = [
        WorkerState("draining", 10, 10, "draining"),
        WorkerState("lost____", 10, 10, age_s=60),
    ]
    assert wanted_workers([*cluster(5), *gone], scaling) == wanted_workers(cluster(5), scaling) == 2
    assert to_drain(gone, 0) == []


@given(st.lists(st.integers(0, 4), max_size=12), st.integers(0, 12))
def test_only_empty_workers_go_and_no_more_than_are_too_many(free: list[int], wanted: int) -> None:
    known = cluster(*free, capacity=4)
    gone = to_drain(known, wanted)
    by_id = {one.id: one for one in known}
    assert all(by_id[one].free == 4 for one in gone)
    assert len(gone) == min(max(0, len(known) - wanted), sum(one == 4 for one in free))

"""The simulated day: nothing is lost from the count, and the policies rank as the documents say."""

import dataclasses

import pytest

from benchmarks.fleet import POLICIES, Fleet, Scenario, figures_of
from benchmarks.placement import OURS

DAY = Scenario(sessions=3000)


@pytest.fixture(scope="module")
def rows() -> dict[str, dict[str, float]]:
    return {name: figures_of(DAY, name, Fleet(DAY, policy(), 1).run()) for name, policy in POLICIES.items()}


def test_every_policy_sees_the_same_day(rows: dict[str, dict[str, float]]) -> None:
    assert len({row["sessions"] for row in rows.values()}) == 1
    assert all(2700 < row["sessions"] < 3300 for row in rows.values())
    assert all(row["gave up %"] == 0 for row in rows.values())


def test_packing_pays_for_the_fewest_workers_and_prepares_the_fewest_avatars(rows: dict[str, dict[str, float]]) -> None:
    for name, row in rows.items():
        if name != OURS:
            assert rows[OURS]["worker hours"] <= row["worker hours"], name
            assert rows[OURS]["avatar prepared %"] < row["avatar prepared %"], name


def test_sessions_of_killed_workers_come_again(rows: dict[str, dict[str, float]]) -> None:
    day = dataclasses.replace(DAY, failures_per_day=48)
    outcome = Fleet(day, POLICIES[OURS](), 1).run()
    assert outcome.replaced_s
    assert min(outcome.replaced_s) >= 0.4, "nobody knows before a page has asked"
    assert outcome.placed >= rows[OURS]["sessions"] + len(outcome.replaced_s)


def test_a_crowd_is_refused_rather_than_placed_on_full_workers() -> None:
    day = dataclasses.replace(DAY, flash=30.0)
    outcome = Fleet(day, POLICIES[OURS](), 1).run()
    assert outcome.refused > 0
    assert outcome.session_s <= outcome.worker_s * day.capacity

"""Whatever workers have, and in whatever order steps succeed, they end the same."""

import copy
import random

from hypothesis import given
from hypothesis import strategies as st

from lipstream.realtime.cluster.avatar_plan import Copy, Entry, Remove, plan

entries = st.builds(Entry, st.integers(1, 5), st.sampled_from(("", "aa", "bb")))
stores = st.dictionaries(
    st.sampled_from(("w1", "w2", "w3", "w4")), st.dictionaries(st.sampled_from(("ann", "bob")), entries)
)
NODES = {"w1": "left", "w2": "left", "w3": "right", "w4": "right"}


@given(stores, st.integers(0, 99))
def test_workers_become_the_same_though_steps_fail(stores: dict[str, dict[str, Entry]], seed: int) -> None:
    chance = random.Random(seed)
    latest: dict[str, Entry] = {}
    for known in stores.values():
        for name, entry in known.items():
            latest[name] = max(entry, latest.get(name, entry))
    for _ in range(60):
        steps = plan(stores, NODES)
        if not steps:
            break
        before = copy.deepcopy(stores)
        for step in steps:
            if isinstance(step, Copy):
                assert before[step.source][step.avatar_id] == step.entry, "only what is there can be copied"
            if chance.random() < 0.7:
                stores[step.target][step.avatar_id] = step.entry
    else:
        raise AssertionError("it never ends")
    for known in stores.values():
        for name, entry in latest.items():
            assert known.get(name) == (entry if entry.digest or name in known else None)


def test_an_avatar_comes_to_each_node_once() -> None:
    stores: dict[str, dict[str, Entry]] = {"w1": {"ann": Entry(1, "aa")}, "w2": {}, "w3": {}, "w4": {}}
    entry = Entry(1, "aa")
    assert plan(stores, NODES) == [Copy("ann", entry, "w1", "w2"), Copy("ann", entry, "w1", "w3")]
    stores["w3"]["ann"] = stores["w2"]["ann"] = entry
    assert plan(stores, NODES) == [Copy("ann", entry, "w3", "w4")]


def test_a_removal_reaches_a_worker_that_was_away_and_a_new_avatar_of_the_same_name_stays() -> None:
    removed, built = Entry(5, ""), Entry(3, "aa")
    assert plan({"w1": {"ann": removed}, "w2": {"ann": built}, "w3": {}}, NODES) == [Remove("ann", removed, "w2")]
    later = Entry(6, "bb")
    assert plan({"w1": {"ann": removed}, "w2": {"ann": later}}, NODES) == [Copy("ann", later, "w2", "w1")]

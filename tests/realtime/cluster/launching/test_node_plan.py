from lipstream.realtime.cluster.launching.node_plan import INGRESS, Node, bundles, is_ingress, node_of, planned_posts

HEAD, SMALL, LARGE = Node("h", "10.0.0.1", 0), Node("s", "10.0.0.2", 4), Node("l", "10.0.0.3", 16, cards=2)


def names(*nodes: Node, held: tuple[str, ...] = (), **more: object) -> set[str]:
    return {post.actor for post in planned_posts(nodes, held, **more)}  # type: ignore[arg-type]


def test_a_machine_has_an_ingress_and_a_worker_or_one_for_each_card() -> None:
    posts = {post.actor: post for post in planned_posts([HEAD, SMALL, LARGE], ())}
    assert set(posts) == {"h/ingress", "s/ingress", "s/worker-0", "l/ingress", "l/worker-0", "l/worker-1"}
    assert [(posts[name].cpus, posts[name].cards) for name in ("s/worker-0", "l/worker-1", "s/ingress")] == [
        (4, 0),
        (8, 1),
        (0, 0),
    ]
    assert [name for name in posts if is_ingress(name) != (posts[name].name == INGRESS)] == []
    assert all(node_of(name) == post.node.id for name, post in posts.items())


def test_workers_that_there_are_stay_and_new_ones_fill_up_what_is_wanted() -> None:
    nodes = [Node(f"n{number}", "", 2) for number in range(4)]
    assert names(*nodes, held=("n3/worker-0",), wanted=2) == {"n3/ingress", "n3/worker-0", "n0/ingress", "n0/worker-0"}
    held = ("n0/worker-0", "n1/worker-0", "n2/worker-0")
    assert {name for name in names(*nodes, held=held, wanted=1) if not is_ingress(name)} == set(held)
    leaving = names(*nodes, held=held, leaving=("n0/worker-0", "n1/worker-0"), wanted=2)
    assert leaving >= {*held, "n3/worker-0"}, "those that leave are not counted"


def test_a_machine_whose_worker_was_drained_by_hand_has_nothing_more() -> None:
    assert names(SMALL, LARGE, resting=("s/worker-0",)) == {"l/ingress", "l/worker-0", "l/worker-1"}


def test_nothing_is_left_when_no_worker_is_wanted() -> None:
    assert names(HEAD, SMALL, wanted=0) == set()
    assert names(HEAD, SMALL, held=("s/worker-0",), wanted=0) == {"s/ingress", "s/worker-0"}


def test_what_is_asked_for_is_as_large_as_the_smallest_worker() -> None:
    assert bundles([HEAD, SMALL, LARGE], 2) == [{"CPU": 4}, {"CPU": 4}]
    assert bundles([HEAD, LARGE], 1) == [{"CPU": 8, "GPU": 1.0}]
    assert bundles([HEAD], 3) == [{"CPU": 1.0}] * 3, "no worker is known yet"

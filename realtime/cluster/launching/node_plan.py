"""Decides which servers each machine of a Ray cluster has. The module is pure.

A machine has one worker, which takes all processors that Ray has there, or one for each of its cards. An ingress is
where a worker is, so that a machine without workers is idle and may go, and on machines without processors for Ray, as
heads often are.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

INGRESS = "ingress"


@dataclass(frozen=True, slots=True)
class Node:
    """A machine as Ray knows it.

    Attributes:
        id: Ray's name for it, another one each time it joins.
        host: Its address.
        cpus: Processors that Ray may give away.
        cards: Graphics cards that Ray may give away.
    """

    id: str
    host: str
    cpus: float
    cards: int = 0


@dataclass(frozen=True, slots=True)
class Post:
    """A server that a machine should have.

    Attributes:
        name: ``ingress``, or ``worker-`` and a number.
        cpus: Processors that Ray sets aside for it.
        cards: Cards that Ray sets aside for it.
    """

    node: Node
    name: str
    cpus: float = 0
    cards: int = 0

    @property
    def actor(self) -> str:
        """Name of the actor that keeps it."""
        return f"{self.node.id}/{self.name}"


def is_ingress(actor: str) -> bool:
    """Return whether an actor keeps an ingress."""
    return actor.endswith(f"/{INGRESS}")


def node_of(actor: str) -> str:
    """Return the id of the machine that an actor is on."""
    return actor.partition("/")[0]


def worker_posts(node: Node) -> list[Post]:
    """Return the workers that a machine has room for."""
    if node.cpus < 1:
        return []
    count = max(1, min(node.cards, int(node.cpus)))
    return [Post(node, f"worker-{number}", node.cpus // count, min(1, node.cards)) for number in range(count)]


def planned_posts(
    nodes: Sequence[Node],
    held: Collection[str],
    *,
    leaving: Collection[str] = (),
    resting: Collection[str] = (),
    wanted: int | None = None,
) -> list[Post]:
    """Return the servers that there should be. A worker that there is stays until it has ended by itself.

    Args:
        held: Actors that there are.
        leaving: Those of them whose worker takes no session any more.
        resting: Actors whose worker somebody else has drained, so that its machine can go: they are not begun again.
        wanted: Number of workers; ``None`` for as many as there is room for.
    """
    posts = [post for node in nodes for post in worker_posts(node)]
    there = [post for post in posts if post.actor in held]
    more = [post for post in posts if post.actor not in held and post.actor not in resting]
    if wanted is not None:
        more = more[: max(0, wanted - sum(post.actor not in leaving for post in there))]
    busy = {post.node.id for post in (*there, *more)}
    always = wanted != 0
    ingresses = [Post(node, INGRESS) for node in nodes if node.id in busy or (always and not worker_posts(node))]
    return [*ingresses, *there, *more]


def bundles(nodes: Sequence[Node], wanted: int) -> list[dict[str, float]]:
    """Return what to ask Ray's autoscaler for, so that there is room for a number of workers.

    Each is as large as the smallest worker that there is room for: a larger one might fit no machine that can be had,
    and too small ones are made up for, because the sessions that are free then ask for more workers.
    """
    posts = [post for node in nodes for post in worker_posts(node)]
    least = min(posts, key=lambda post: (post.cpus, post.cards), default=None)
    if least is None:
        return [{"CPU": 1.0}] * wanted
    return [{"CPU": least.cpus} | ({"GPU": float(least.cards)} if least.cards else {})] * wanted

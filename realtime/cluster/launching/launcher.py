"""Runs the servers of a cluster on the machines of a Ray cluster: a keeper for each, and the list of workers.

Keepers and servers go on without the launcher; the next one finds them by their names. What is known of the workers'
sessions comes as an ingress hears it, without its HTTP side.
"""

import asyncio
import contextlib
import dataclasses
import logging
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
from ray.autoscaler.sdk import request_resources
from ray.exceptions import ActorUnavailableError, RayError
from ray.util import list_named_actors
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from lipstream.avatar_cache.store_root import default_root
from lipstream.realtime.cluster.autoscaling import Scaling, to_drain, wanted_workers
from lipstream.realtime.cluster.ingress import Ingress
from lipstream.realtime.cluster.launching.keeper import Job, Keeper, Report
from lipstream.realtime.cluster.launching.node_plan import Node, Post, bundles, is_ingress, node_of, planned_posts
from lipstream.realtime.errors import SettingsError
from lipstream.realtime.settings import Settings

logger = logging.getLogger(__name__)

SERVER = "lipstream"
"""Module that keepers run."""
_NAMESPACE = "lipstream"
_LOOK_S, _REPORT_S = 1.0, 3.0
_NONE_S = 5.0
"""Time without a keeper after which all servers have ended: Ray does not name every keeper at once."""
_FORGET_S = 60.0
"""Time after which a worker is taken off the list that neither its keeper nor itself has told of."""


def launch_cluster(settings: Settings, options: Mapping[str, Any]) -> None:
    """Launch until a signal ends it, or until the last server has ended if there shall be none.

    Args:
        options: What was chosen, by name: the options of the servers.

    Raises:
        SettingsError: If there is no Ray cluster at the address, or a file that the settings name cannot be used.
    """
    try:
        ray.init(settings.cluster, namespace=_NAMESPACE, logging_level=logging.WARNING)
    except ConnectionError as error:
        raise SettingsError(f"there is no Ray cluster at {settings.cluster!r}: {error}") from error
    try:
        asyncio.run(Launcher(settings, options).run())
    finally:
        ray.shutdown()


class Launcher:
    """What one command knows of its cluster."""

    def __init__(self, settings: Settings, options: Mapping[str, Any]) -> None:
        self._settings, self._options = settings, _absolute(options)
        self._keepers: dict[str, Any] = {}
        self._begun: set[str] = set()
        """Keepers that have this launcher's options."""
        self._reports: dict[str, Report] = {}
        self._leaving: set[str] = set()
        """Keepers whose server this launcher drains."""
        self._resting: set[str] = set()
        self._urls: dict[str, float] = {}
        """Addresses of the workers, and when each was last told of (monotonic time, s)."""
        self._wanted: int | None = None
        folder = (settings.store or default_root()) / "cluster"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._list = folder / "launcher.workers"
        self._list.write_text("")
        self._ingress = Ingress(dataclasses.replace(settings, cluster="", workers=str(self._list)))

    async def run(self) -> None:
        """Look each second until a signal comes, or until all servers have ended if none shall be."""
        stopped, loop = asyncio.Event(), asyncio.get_running_loop()
        for one in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(one, stopped.set)
        await self._find_keepers()
        kept_s = time.monotonic()
        async with self._ingress.running():
            while not stopped.is_set():
                await self._look()
                if self._settings.cluster_workers == (0, 0):
                    await self._find_keepers()
                    kept_s = time.monotonic() if self._keepers else kept_s
                    if time.monotonic() - kept_s > _NONE_S:
                        logger.info("all servers have ended")
                        return
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_S):
                        await stopped.wait()
        logger.info("the launcher ends; the servers go on")

    async def _find_keepers(self) -> None:
        """Add the keepers of earlier launchers."""
        for name in await asyncio.to_thread(list_named_actors):
            if name not in self._keepers:
                with contextlib.suppress(ValueError):  # it has ended meanwhile
                    self._keepers[name] = ray.get_actor(name)

    async def _look(self) -> None:
        nodes = await asyncio.to_thread(_live_nodes)
        self._scale(nodes)
        posts = planned_posts(
            nodes, self._keepers.keys(), leaving=self._leaving, resting=self._resting, wanted=self._wanted
        )
        for post in posts:
            if post.actor not in self._begun:
                self._begin(post)
        there, planned = {node.id for node in nodes}, {post.actor for post in posts}
        for actor in self._keepers.keys() - planned:
            if node_of(actor) not in there:
                self._forget(actor)
            elif is_ingress(actor):
                self._drain(actor)
        self._take_in(await asyncio.to_thread(_reports, self._keepers))
        self._tell()

    def _begin(self, post: Post) -> None:
        """Begin a keeper, or find that of an earlier launcher."""
        job = Job(post.name, post.node.host, self._settings.port + 1, self._options, SERVER)
        actor = ray.remote(Keeper).options(
            name=post.actor,
            lifetime="detached",
            get_if_exists=True,
            num_cpus=post.cpus,
            num_gpus=post.cards,
            max_restarts=-1,
            scheduling_strategy=NodeAffinitySchedulingStrategy(post.node.id, soft=False),
        )
        self._keepers[post.actor] = keeper = actor.remote(job)
        keeper.use.remote(job)
        self._begun.add(post.actor)
        logger.info("%s: %s", post.node.host, post.name)

    def _scale(self, nodes: Sequence[Node]) -> None:
        """Decide how many workers there should be; drain what is too many, and ask for machines."""
        if self._settings.cluster_workers is None:
            return
        least, most = self._settings.cluster_workers
        states = self._ingress.members.states(time.monotonic())
        wanted = wanted_workers(states, Scaling(least, most)) if most else 0
        if wanted != self._wanted:
            logger.info("workers that there should be: %d", wanted)
            request_resources(bundles=bundles(nodes, wanted))
            self._wanted = wanted
        surplus = {self._ingress.members.url_of(one) for one in to_drain(states, wanted)}
        for actor, report in self._reports.items():
            if not is_ingress(actor) and (not most or report.url in surplus):
                self._drain(actor)

    def _drain(self, actor: str) -> None:
        if actor not in self._leaving:
            self._leaving.add(actor)
            self._keepers[actor].drain.remote()

    def _take_in(self, reports: Mapping[str, Report | None]) -> None:
        """Take in what keepers report; ``None`` stands for one that is gone."""
        now_s = time.monotonic()
        for actor, report in reports.items():
            if report is None:
                self._forget(actor)
            elif report.has_ended:
                ray.kill(self._keepers[actor])
                if not is_ingress(actor) and actor not in self._leaving:
                    self._resting.add(actor)  # somebody else has drained it
                self._urls.pop(report.url, None)
                self._forget(actor)
            else:
                if actor not in self._reports:  # what an earlier launcher told it
                    self._urls = dict.fromkeys(report.workers, now_s) | self._urls
                self._reports[actor] = report
                if report.url:
                    self._urls[report.url] = now_s
        for url in self._ingress.members.there(now_s).keys() & self._urls.keys():
            self._urls[url] = now_s
        self._urls = {url: told_s for url, told_s in self._urls.items() if now_s - told_s < _FORGET_S}

    def _tell(self) -> None:
        """Tell the ingresses the workers, and the keepers which of them somebody else drains."""
        urls = tuple(sorted(self._urls))
        text = "".join(f"{url}\n" for url in urls)
        if text != self._list.read_text():
            logger.info("workers: %s", " ".join(urls) or "none")
            self._list.write_text(text)
        now_s = time.monotonic()
        there = self._ingress.members.there(now_s)
        for actor, report in self._reports.items():
            if is_ingress(actor):
                self._keepers[actor].tell.remote(urls)
            elif report.url in there and there[report.url]["reason"] == "draining":
                self._keepers[actor].let_end.remote()

    def _forget(self, actor: str) -> None:
        for known in (self._keepers, self._reports):
            known.pop(actor, None)
        self._begun.discard(actor)
        self._leaving.discard(actor)


def _absolute(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options whose paths mean the same from every folder."""
    paths = {option.name for option in dataclasses.fields(Settings) if option.metadata["parse"] is Path}
    return {name: str(Path(value).absolute()) if name in paths else value for name, value in options.items()}


def _live_nodes() -> list[Node]:
    return [
        Node(
            node["NodeID"],
            node["NodeManagerAddress"],
            node["Resources"].get("CPU", 0.0),
            int(node["Resources"].get("GPU", 0)),
        )
        for node in ray.nodes()
        if node["Alive"]
    ]


def _reports(keepers: Mapping[str, Any]) -> dict[str, Report | None]:
    """Return what keepers report; ``None`` for those that are gone for good. Some may owe an answer."""
    asked = {keeper.report.remote(): actor for actor, keeper in keepers.items()}
    reports: dict[str, Report | None] = {}
    for answer in ray.wait(list(asked), num_returns=len(asked), timeout=_REPORT_S)[0] if asked else ():
        try:
            reports[asked[answer]] = ray.get(answer)
        except ActorUnavailableError:  # it is being started again
            continue
        except RayError as error:
            logger.warning("%s is gone: %s", asked[answer], error)
            reports[asked[answer]] = None
    return reports

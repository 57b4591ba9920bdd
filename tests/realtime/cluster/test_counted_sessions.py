"""What an ingress counts of the sessions that it passes requests for, before their worker announces them."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.realtime.cluster.false_cluster import false_cluster

WORKER = "aaaaaaaa"


async def test_a_session_counts_from_the_request_for_it_and_its_room_from_the_answer_that_it_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted: list[str] = []

    def note(what: str, take: Callable[..., None], about: str, *more: float) -> None:
        noted.append(f"{what} {about}")
        take(about, *more)

    async with false_cluster(tmp_path, WORKER) as cluster:
        members, (worker,) = cluster.ingress.members, cluster.workers
        for what in ("asked", "refused", "ended"):
            take = getattr(members, f"note_{what}")
            monkeypatch.setattr(members, f"note_{what}", partial(note, what, take))
        url = f"http://127.0.0.1:{cluster.ingress.settings.port}/api"
        async with httpx.AsyncClient(base_url=url, timeout=60) as client:

            async def noted_of(status: int, method: str, path: str) -> list[str]:
                noted.clear()
                worker.status = status
                assert (await client.request(method, path, json={})).status_code == status
                return noted[:]

            for path in ("/sessions", "/whip", "/rooms"):
                assert await noted_of(201, "POST", path) == [f"asked {WORKER}"]
                assert await noted_of(422, "POST", path) == [f"asked {WORKER}", f"refused {WORKER}"]
            for path in (f"/sessions/one{WORKER}", f"/whip/one{WORKER}"):
                assert await noted_of(200, "DELETE", path) == [f"ended one{WORKER}"]
                assert await noted_of(404, "DELETE", path) == []
            assert await noted_of(200, "GET", f"/sessions/one{WORKER}") == []
            assert await noted_of(200, "DELETE", f"/sessions/one{WORKER}/recording") == []

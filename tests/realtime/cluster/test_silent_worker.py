"""A worker whose machine is lost without a word: its connections stay open, and nothing comes on them."""

import asyncio
from pathlib import Path

import pytest

from lipstream.realtime.cluster import forwarding, worker_link
from tests.realtime.cluster.false_cluster import WAIT_S, false_cluster, until

WORKER = "aaaaaaaa"


async def test_a_request_to_a_worker_that_is_silent_is_answered_when_it_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_link, "GONE_S", 2.0)
    monkeypatch.setattr(forwarding, "_ANSWER_S", 10 * WAIT_S)
    target = f"/api/sessions/name{WORKER}".encode()
    async with false_cluster(tmp_path, WORKER) as cluster:
        (worker,) = cluster.workers
        worker.is_silent = True
        asked = asyncio.create_task(
            cluster.exchange(b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        )
        await until(lambda: worker.reached)
        assert (await asked).startswith(b"HTTP/1.1 404")
        assert cluster.lost[0] == worker.url

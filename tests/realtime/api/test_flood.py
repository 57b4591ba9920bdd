"""A client that sends fifty requests a second is limited; memory stays flat and the calls of others go on."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
import pytest

from lipstream.realtime.api.authorization import BURST
from tests.server_process import ServerProcess

KEY = "the key of the operator of this test"
FLOOD, PER_SECOND = 250, 50
SLACK_BYTES = 20 << 20
SETTLE_S = 5
"""A start has begun all of its work by then; previews, the last of it, begin after 3 s."""

pytestmark = pytest.mark.timeout(300)


def caller(server: ServerProcess, address: str, token: str) -> httpx.AsyncClient:
    """Return a client with an address of its own; all of 127.0.0.0/8 is this machine."""
    transport = httpx.AsyncHTTPTransport(local_address=address, limits=httpx.Limits(max_connections=64))
    return httpx.AsyncClient(
        transport=transport, base_url=server.url, headers={"Authorization": f"Bearer {token}"}, timeout=20
    )


async def settle(process: psutil.Process) -> None:
    """Wait until the work that follows a start is done, since it needs memory of its own."""
    await asyncio.sleep(SETTLE_S)
    process.cpu_percent()
    for _ in range(60):
        await asyncio.sleep(1)
        if process.cpu_percent() < 10:
            return


async def test_a_flood_from_one_address_is_refused_and_others_are_served(
    start_server: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    (tmp_path / "keys").write_text(KEY)
    server = start_server("--secret-file", str(tmp_path / "keys"), "--max-sessions", "4")
    assert server.process is not None
    process = psutil.Process(server.process.pid)
    async with caller(server, "127.0.0.3", KEY) as operator:
        join = (await operator.post("/api/tokens")).json()["token"]
    async with caller(server, "127.0.0.1", join) as flooder, caller(server, "127.0.0.2", join) as other:
        warm = (await other.post("/api/sessions", json={})).json()
        await other.delete(warm["urls"]["self"], headers={"Authorization": f"Bearer {warm['token']}"})
        await settle(process)
        before = process.memory_info().rss
        statuses: list[int] = []

        async def ask() -> None:
            answer = await flooder.post("/api/sessions", json={"avatar": "unknown"})
            statuses.append(answer.status_code)
            assert answer.status_code == 404 or int(answer.headers["retry-after"]) >= 1

        async def flood() -> None:
            async with asyncio.TaskGroup() as group:
                for _ in range(FLOOD):
                    group.create_task(ask())
                    await asyncio.sleep(1 / PER_SECOND)

        begun_s = time.monotonic()
        flooding = asyncio.create_task(flood())
        took_s = []
        while not flooding.done():
            asked_s = time.monotonic()
            created = await other.post("/api/sessions", json={})
            took_s.append(time.monotonic() - asked_s)
            assert created.status_code == 201
            own = {"Authorization": f"Bearer {created.json()['token']}"}
            assert (await other.delete(created.json()["urls"]["self"], headers=own)).status_code == 204
            await asyncio.sleep(1.1)  # as often as an address may in the long run
        await flooding
        seconds = time.monotonic() - begun_s
    grown = process.memory_info().rss - before
    print(
        f"{len(statuses)} in {seconds:.1f} s: {statuses.count(404)} passed, {statuses.count(429)} refused; "
        f"others served in {1000 * max(took_s):.0f} ms at most; memory grew by {grown / 2**20:.1f} MiB"
    )
    assert set(statuses) == {404, 429}
    assert BURST <= statuses.count(404) <= BURST + seconds + 1
    assert statuses[:BURST].count(404) >= BURST - 1
    assert grown < SLACK_BYTES

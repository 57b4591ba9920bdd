"""A full disk, a real one of 24 MiB: what wants to be kept is refused in plain words, and calls go on."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from lipstream.realtime.api.app import create_app
from lipstream.realtime.errors import AvatarError
from lipstream.realtime.lipsync.metadata import BUILT_IN_WEIGHTS
from lipstream.realtime.server.sessions import Sessions
from lipstream.realtime.settings import Settings
from tests.loopback.conftest import Callers, until
from tests.realtime.fakes import make_store, worker_settings, write_avatar

PORTRAIT = Path(__file__).parents[2] / "avatar_cache" / "astronaut.jpg"

pytestmark = pytest.mark.needs("tmpfs")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
async def callers() -> AsyncIterator[Callers]:
    everyone = Callers()
    yield everyone
    await everyone.hang_up()


def leave(disk: Path, kib: int) -> None:
    """Fill the disk but for so much."""
    ballast = disk / "ballast"
    ballast.unlink(missing_ok=True)
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free - (kib << 10))


async def test_a_full_disk_is_told_and_no_call_ends(disk: Path, callers: Callers, no_built_in_avatars: None) -> None:
    store = make_store(disk, {"ann": 60})
    sessions = Sessions(
        Settings(store=store.root, weights=BUILT_IN_WEIGHTS, picture_workers=0), worker_settings(store, "FakePredictor")
    )
    app = create_app(sessions)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client,
    ):
        await sessions.start()
        _, session = await callers.call(sessions)
        kept = sorted(path.name for path in store.root.rglob("*"))

        leave(disk, 64)
        refused = await client.post("/api/avatars", files={"file": ("me.jpg", bytes(300 << 10))})
        assert (refused.status_code, refused.json()["error"]["code"]) == (507, "storage_full")

        leave(disk, 256)
        accepted = await client.post(
            "/api/avatars", files={"file": ("me.jpg", PORTRAIT.read_bytes())}, data={"id": "me"}
        )
        assert accepted.status_code == 202
        async with asyncio.timeout(100):
            while (state := (await client.get("/api/avatars/me")).json())["state"] == "building":
                await asyncio.sleep(0.1)
        assert (state["state"], state["message"]) == ("failed", "the disk is full")
        await until(lambda: not any((store.root / "uploads").iterdir()), "the upload's end")

        leave(disk, 4096)
        store.build(write_avatar(disk.parent / "big", "big", size=(512, 512)), "big")
        with pytest.raises(AvatarError, match=r"No space left|the disk is full"):
            await sessions.avatars.add("big")
        assert sessions.workers.counts.restarts == 0
        store.remove("big")

        assert sorted({path.name for path in store.root.rglob("*")} - {"uploads"}) == sorted(set(kept))
        left = session.playout.counts.idle
        await until(lambda: session.playout.counts.idle > left + 10, "pictures")
        assert session.state == "live"
        await callers.hang_up()

"""Hostile uploads to a real server: each is refused with one sentence, and nothing is left, run, asked or grown."""

import asyncio
import contextlib
import json
import statistics
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import av
import httpx
import psutil
import pytest

from tests.realtime.api.hostile_files import hostile_files
from tests.server_process import ROOT, ServerProcess

PORTRAIT = ROOT / "tests/avatar_cache/astronaut.jpg"
MEMORY_MB = 50
OTHERS = {".git", ".venv", "build", "__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis"}

pytestmark = pytest.mark.timeout(600)


class Elsewhere(asyncio.DatagramProtocol):
    """A host that hostile files point to: whoever comes is counted."""

    def __init__(self) -> None:
        self.callers = 0
        self.address = ""

    def datagram_received(self, *_: object) -> None:
        self.callers += 1

    def connected(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.callers += 1
        writer.close()


@pytest.fixture
async def elsewhere() -> AsyncIterator[Elsewhere]:
    host = Elsewhere()
    server = await asyncio.start_server(host.connected, "127.0.0.1")
    port = server.sockets[0].getsockname()[1]
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: host, local_addr=("127.0.0.1", port)
    )
    host.address = f"127.0.0.1:{port}"
    yield host
    transport.close()
    server.close()
    await server.wait_closed()


def files_under(folders: list[Path]) -> Iterator[Path]:
    for folder in folders:
        for path in folder.iterdir():
            if path.name not in OTHERS:
                yield path
                if path.is_dir() and not path.is_symlink():
                    yield from files_under([path])


def peak_mb(server: psutil.Process, *, forget: bool = False) -> float:
    """Return the most memory that a process has had since it was last told to forget."""
    if forget:
        Path(f"/proc/{server.pid}/clear_refs").write_text("5")
    status = Path(f"/proc/{server.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


async def refused(client: httpx.AsyncClient, name: str, content: bytes) -> tuple[str, float]:
    """Return why an upload was refused, and after how many seconds."""
    begun_s = time.monotonic()
    answer = await client.post("/api/avatars", files={"file": (name, content)}, data={"id": "bad"})
    if answer.status_code != 202:
        assert answer.status_code in (400, 413, 415), answer.text
        return answer.json()["error"]["message"], time.monotonic() - begun_s
    events = (await client.get("/api/avatars/bad/events")).text
    over = [json.loads(line.removeprefix("data: ")) for line in events.splitlines() if line.startswith("data: ")][-1]
    took_s = time.monotonic() - begun_s
    assert over["state"] == "failed"
    assert (await client.delete("/api/avatars/bad")).status_code == 204
    assert (await client.get("/api/avatars/bad")).status_code == 404
    return over["message"], took_s


async def test_hostile_uploads_are_refused_and_leave_nothing(
    start_server: Callable[..., ServerProcess], elsewhere: Elsewhere, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "ran"
    (tmp_path / "work").mkdir()
    kinds = hostile_files(tmp_path / "work", portrait=PORTRAIT.read_bytes(), address=elsewhere.address, mark=mark)
    assert len(kinds) >= 40
    for name in ("home", "tmp"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    server = start_server("--upload-mb", "32")
    assert server.process is not None
    process = psutil.Process(server.process.pid)
    watched = [tmp_path, server.store, ROOT]
    took_s: dict[str, float] = {}
    async with httpx.AsyncClient(base_url=server.url, timeout=120) as client:
        await refused(client, *kinds["a wall"])  # what the first upload leaves, all do
        before, before_mb = set(files_under(watched)), peak_mb(process, forget=True)
        for kind, (name, content) in kinds.items():
            message, took_s[kind] = await refused(client, name, content)
            assert message, kind
            assert "\n" not in message, kind
            assert not message.startswith("the server failed"), f"{kind}: {message}"
            assert "too much memory" not in message, f"{kind}: {message}"
        grown_mb = peak_mb(process) - before_mb
        left = set(files_under(watched)) - before
        shelf = [avatar["id"] for avatar in (await client.get("/api/avatars")).json()]
    print(
        f"S7: {len(kinds)} hostile uploads refused in {max(took_s.values()):.1f} s at most"
        f" ({max(took_s, key=lambda kind: took_s[kind])}), {statistics.median(took_s.values()):.1f} s median;"
        f" memory grew by {grown_mb:.1f} MB at its peak; {elsewhere.callers} connections, {len(left)} files left"
    )
    assert not mark.exists()
    assert elsewhere.callers == 0
    assert not left
    assert "bad" not in shelf
    assert grown_mb <= MEMORY_MB


async def test_the_same_files_would_go_elsewhere_if_nothing_stopped_them(elsewhere: Elsewhere, tmp_path: Path) -> None:
    kinds = hostile_files(tmp_path, portrait=PORTRAIT.read_bytes(), address=elsewhere.address, mark=tmp_path / "ran")
    path = tmp_path / "a.m3u8"
    path.write_bytes(kinds["a playlist"][1])

    free = {"protocol_whitelist": "file,http,tcp"}

    def follow() -> None:
        with contextlib.suppress(av.FFmpegError, OSError), av.open(str(path), options=free, timeout=5):
            pass

    await asyncio.to_thread(follow)
    assert elsewhere.callers > 0

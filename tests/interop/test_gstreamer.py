"""A client that was not written here: GStreamer's webrtcbin watches by WHEP and publishes by WHIP."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from lipstream.realtime.api.app import create_app
from lipstream.realtime.api.http_server import HttpServer, server_config
from lipstream.realtime.server.sessions import Sessions
from lipstream.realtime.test_client.click_track import voice
from lipstream.realtime.timeline import FRAME_RATE_HZ, SOUND_RATE_HZ
from tests.loopback.conftest import Serve, serve, until
from tests.server_process import free_port
from tests.sound_files import write_wav

__all__ = ["serve"]

SYSTEM_PYTHON = "/usr/bin/python3"
PEER = Path(__file__).parent / "gst_peer.py"

SPARE = 3
"""Pictures more or fewer: a player's clock follows its guess of the sender's, and a picture may be on its way."""

pytestmark = [pytest.mark.needs("gstreamer"), pytest.mark.timeout(600)]


class GstreamerServer:
    """Sessions behind a port, and GStreamer peers of them."""

    def __init__(self, sessions: Sessions, port: int) -> None:
        self.sessions, self.url = sessions, f"http://127.0.0.1:{port}"
        self._peers: list[asyncio.subprocess.Process] = []

    async def gst(self, *arguments: str) -> asyncio.subprocess.Process:
        action, path, *more = arguments
        peer = await asyncio.create_subprocess_exec(
            SYSTEM_PYTHON, str(PEER), action, self.url, path, *more,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self._peers.append(peer)
        return peer

    async def close(self) -> None:
        """End the peers that a test which failed has left."""
        for peer in self._peers:
            if peer.returncode is None:
                peer.kill()
                await peer.communicate()


async def result(process: asyncio.subprocess.Process, patience_s: float = 300) -> dict[str, Any]:
    out, err = await asyncio.wait_for(process.communicate(b"stop\n"), patience_s)
    assert process.returncode == 0, err.decode()[-2000:]
    found: dict[str, Any] = json.loads(out.decode().strip().splitlines()[-1])
    return found


@pytest.fixture
async def served(serve: Serve) -> AsyncIterator[GstreamerServer]:
    # libnice takes no loopback addresses.
    sessions, port = await serve(host="0.0.0.0", insecure=True), free_port()
    server = HttpServer(
        server_config(create_app(sessions), sessions.settings, port=port, log_level="error", lifespan="off")
    )
    running = asyncio.create_task(server.serve())
    await until(lambda: server.started, "the server")
    peers = GstreamerServer(sessions, port)
    yield peers
    await peers.close()
    server.should_exit = True
    await running


@pytest.mark.parametrize("codec", ["H264", "VP8"])
async def test_gstreamer_watches_sound_and_picture(served: GstreamerServer, codec: str) -> None:
    session, _ = await served.sessions.create("ann", None)
    found = await result(
        await served.gst("watch", f"/api/sessions/{session.id}/whep", "--codec", codec, "--enough", "60")
    )
    assert found["codecs"] == sorted(["OPUS", codec])
    assert min(found["counts"].values()) >= 60
    shown, due = found["counts"]["video"], 1 + found["span_s"] * FRAME_RATE_HZ
    left_out = session.playout.counts.dropped
    print(f"GStreamer plays {shown} of {due:.1f} pictures ({codec}); {left_out} were left out")
    assert due - left_out - SPARE <= shown <= due + SPARE, "none is missing but what the server had no time for"
    assert found["directions"] == 2
    assert found["deleted"] == 200
    await until(lambda: session.viewers.count == 0, "the viewer's end")


async def test_gstreamer_publishes_and_its_speech_moves_the_mouth(served: GstreamerServer, tmp_path: Path) -> None:
    sound = tmp_path / "speech.wav"
    write_wav(sound, voice(0, 4 * SOUND_RATE_HZ))
    publisher = await served.gst("publish", "/api/whip?avatar=ann", "--sound", str(sound), "--codec", "VP8")
    await until(lambda: served.sessions.count == 1, "the publisher's session")
    (session,) = served.sessions.all()
    watching = await served.gst("watch", f"/api/sessions/{session.id}/whep", "--enough", "50")
    await until(lambda: session.playout.counts.rendered > 25, "a mouth that speaks")
    seen = await result(watching)
    assert min(seen["counts"].values()) >= 50
    spoken = await result(publisher)
    assert spoken["connected"]
    assert spoken["location"] == f"/api/whip/{session.id}"
    assert spoken["deleted"] == 200
    await until(lambda: served.sessions.count == 0, "the session's end")

"""docs/LIVE_STREAM.md followed from an empty folder: its commands as they stand there, ports and paths apart."""

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import pytest

from tests.server_process import ROOT, ServerProcess, free_port

pytestmark = [pytest.mark.needs("nginx-rtmp", "ffmpeg"), pytest.mark.timeout(300)]

DOCUMENT = (ROOT / "docs" / "LIVE_STREAM.md").read_text()


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", DOCUMENT, re.DOTALL)


@pytest.fixture
def rtmp_port(tmp_path: Path) -> Iterator[int]:
    port = free_port()
    (config,), command = blocks("nginx"), blocks("sh")[0].strip()
    assert command == 'nginx -c "$PWD/rtmp.conf"'
    here = config.replace("127.0.0.1:1935", f"127.0.0.1:{port}").replace("events", f"pid {tmp_path}/pid;\nevents")
    (tmp_path / "rtmp.conf").write_text(here)
    subprocess.run(["bash", "-ec", command], cwd=tmp_path, check=True, timeout=20)
    yield port
    subprocess.run(["bash", "-ec", f"{command} -s stop"], cwd=tmp_path, check=True, timeout=20)


def seen(url: str, path: Path) -> av.VideoFrame:
    """Return the last picture of some seconds that FFmpeg plays."""
    command = ["ffmpeg", "-v", "error", "-y", "-i", url, "-t", "3", "-c", "copy"]
    subprocess.run([*command, str(path)], stdin=subprocess.DEVNULL, check=True, timeout=90)
    with av.open(str(path)) as container:
        pictures = list(container.decode(video=0))
    with av.open(str(path)) as container:
        assert sum(frame.samples for frame in container.decode(audio=0)) > 24_000
    assert len(pictures) > 12, "of three seconds, and the key frame may be two of them off"
    return pictures[-1]


def test_the_page_leads_from_nothing_to_a_stream_and_to_a_channel(
    start_server: Callable[..., ServerProcess], rtmp_port: int, tmp_path: Path
) -> None:
    (toml,) = blocks("toml")
    watched = re.search(r"ffplay (\S+)`", DOCUMENT)
    assert watched
    config = tmp_path / "lipstream.toml"
    config.write_text(toml.replace(":1935", f":{rtmp_port}").replace("/face", "/channel"))  # both on one server
    assert blocks("sh")[2].split() == [".venv/bin/lipstream", "serve", "--config", "lipstream.toml"]
    server = start_server("--config", str(config))
    deadline = time.monotonic() + 60
    while not any(session["state"] == "live" for session in server.get("/api/sessions")):
        assert time.monotonic() < deadline
        time.sleep(0.2)

    begin = blocks("sh")[1].replace("127.0.0.1:8080", f"127.0.0.1:{server.port}").replace(":1935", f":{rtmp_port}")
    assert shutil.which("curl")
    told = subprocess.run(
        ["bash", "-ec", begin.replace(".venv/bin/python", sys.executable)],
        cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60,
    ).stdout  # fmt: skip
    assert '"state":"connecting"' in told
    assert "/live/face" not in told
    url = watched[1].replace(":1935", f":{rtmp_port}")
    picture = seen(url, tmp_path / "stream.mkv")
    assert (picture.width, picture.height) == (512, 512)
    seen(url.replace("/face", "/channel"), tmp_path / "channel.mkv")

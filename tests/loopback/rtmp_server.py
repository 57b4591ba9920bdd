"""A real RTMP server, nginx with its module, and FFmpeg that plays what it sends on."""

import asyncio
import getpass
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.server_process import free_port

MODULE = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")
KEY = "a-secret-key"

_CONFIG = """
load_module {module};
user {user};
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
events {{}}
rtmp {{
    server {{
        listen 127.0.0.1:{port};
        application live {{ live on; record all; record_path {folder}; record_unique on; }}
    }}
}}
"""


class RtmpServer:
    """One nginx, which can be stopped and started again at the same port; it writes what it gets into its folder."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "rtmp.conf").write_text(
            _CONFIG.format(module=MODULE, folder=folder, port=self.port, user=getpass.getuser())
        )

    @property
    def url(self) -> str:
        return f"rtmp://127.0.0.1:{self.port}/live/{KEY}"

    def received(self) -> Path:
        """Return the file of the last stream that it got."""
        return self.all_received()[-1]

    def all_received(self) -> list[Path]:
        """Return a file for each stream that it got, the oldest first."""
        return sorted(self._folder.glob("*.flv"), key=lambda path: path.stat().st_mtime_ns)

    def start(self) -> None:
        folder = str(self._folder)
        command = ["nginx", "-e", f"{folder}/error.log", "-p", folder, "-c", f"{folder}/rtmp.conf"]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def stop(self) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait(20)
            self._process = None


@contextmanager
def rtmp_server(folder: Path) -> Iterator[RtmpServer]:
    server = RtmpServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()


async def play(url: str, path: Path, seconds: float) -> Path:
    """Have FFmpeg write what a server plays, as it comes, into a Matroska file."""
    command = [
        "ffmpeg",
        "-v",
        "error",
        "-y",
        "-i",
        url,
        "-t",
        str(seconds),
        "-c",
        "copy",
        str(path),
    ]
    process = await asyncio.create_subprocess_exec(*command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        async with asyncio.timeout(60):
            _, complaint = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, complaint.decode()
    return path

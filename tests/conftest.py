"""Fixtures of every test: nothing may leak, and what needs a system program says so."""

import asyncio
import gc
import inspect
import logging
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from ctypes.util import find_library
from multiprocessing.process import BaseProcess
from pathlib import Path

import hypothesis
import pytest
import pytest_asyncio

from lipstream.avatar_cache import store
from tests.network.link import can_make_links
from tests.server_process import server_store, speech_wav, start_server
from tests.wheels import wheel

__all__ = ["server_store", "speech_wav", "start_server", "wheel"]


def _can_mount() -> bool:
    with tempfile.TemporaryDirectory() as folder:
        if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], capture_output=True, check=False).returncode:
            return False
        return subprocess.run(["umount", folder], capture_output=True, check=False).returncode == 0


def _can_make_sound_devices() -> bool:
    tools = all(map(shutil.which, ("pulseaudio", "paplay", "parec")))
    return (
        tools
        and bool(find_library("portaudio"))
        and any(Path("/usr/lib").glob("*/alsa-lib/libasound_module_pcm_pulse.so"))
    )


_LIBRARIES = f"/usr/lib/{platform.machine()}-linux-gnu"
_GSTREAMER = (
    f"{_LIBRARIES}/gstreamer-1.0/libgstwebrtc.so",
    f"{_LIBRARIES}/gstreamer-1.0/libgstnice.so",
    f"{_LIBRARIES}/gstreamer-1.0/libgstlibav.so",
    f"{_LIBRARIES}/girepository-1.0/GstWebRTC-1.0.typelib",
    "/usr/lib/python3/dist-packages/gi",
)
_NEEDS: dict[str, Callable[[], object]] = {
    "chromium": lambda: shutil.which("chromium"),
    "firefox": lambda: shutil.which("firefox-esr"),
    "node": lambda: shutil.which("node"),
    "npm": lambda: shutil.which("npm") and (Path(__file__).parent.parent / "web/node_modules/.bin/tsc").exists(),
    "espeak-ng": lambda: shutil.which("espeak-ng"),
    "libgl": lambda: find_library("GL"),
    "coturn": lambda: shutil.which("turnserver"),
    "namespaces": can_make_links,
    "gstreamer": lambda: all(Path(path).exists() for path in _GSTREAMER),
    "ffmpeg": lambda: shutil.which("ffmpeg"),
    "nginx-rtmp": lambda: shutil.which("nginx") and Path("/usr/lib/nginx/modules/ngx_rtmp_module.so").exists(),
    "nginx": lambda: shutil.which("nginx"),
    "srt": lambda: shutil.which("srt-live-transmit"),
    "systemd": lambda: shutil.which("systemd-analyze"),
    "sound server": _can_make_sound_devices,
    "tmpfs": lambda: os.geteuid() == 0 and _can_mount(),
    "xvfb": lambda: shutil.which("Xvfb"),
    "recorded speech": lambda: Path("/usr/share/asterisk/sounds/en_US_f_Allison").exists(),
}
"""Programs outside the package index that a test may need, and a check for each whether it is installed."""


hypothesis.settings.register_profile("lipstream", deadline=None)  # a busy machine fails no test
hypothesis.settings.load_profile("lipstream")


def _kill_later(process: BaseProcess, kill: Callable[[BaseProcess], None] = BaseProcess.kill) -> None:
    process.join(2)  # it ends by itself when its pipe closes, and writes down which lines it ran
    kill(process)


def pytest_configure(config: pytest.Config) -> None:
    if "coverage" in sys.modules:
        BaseProcess.kill = _kill_later  # type: ignore[method-assign, assignment]


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs"):
        for name in marker.args:
            if not _NEEDS[name]():
                if os.environ.get("REQUIRE_SYSTEM") == "1":
                    pytest.fail(f"needs {name}, which is missing")
                pytest.skip(f"needs {name}")


@pytest.fixture
def no_built_in_avatars(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Leave a store with what a test puts into it: preparing the built-in ones takes seconds, for each new store."""
    monkeypatch.setattr(store, "BUILT_IN", tmp_path / "none")


@pytest.fixture(autouse=True)
def logging_left_on() -> Iterator[None]:
    """Switch logging on after a test: ``selftest`` and ``doctor`` switch it off for their whole process."""
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(autouse=True)
def no_leaked_threads() -> Iterator[None]:
    """Fail a test that leaves a thread of ours behind."""
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + 30
    while leaked := [t for t in threading.enumerate() if t not in before and not _is_pool(t)]:
        if time.monotonic() > deadline:
            pytest.fail(f"leaked threads: {leaked}")
        time.sleep(0.01)


def _is_pool(thread: threading.Thread) -> bool:
    """Pools that outlive a test: the event loop's own executor, which ends with the loop."""
    return thread.name.startswith("asyncio_")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if inspect.iscoroutinefunction(getattr(item, "function", None)):
            item.fixturenames.insert(0, "no_leaked_tasks")  # type: ignore[attr-defined]  # first in, last out


@pytest_asyncio.fixture
async def no_leaked_tasks() -> AsyncIterator[None]:
    """Fail an asynchronous test that leaves a task behind; requested by every such test."""
    loop = asyncio.get_running_loop()
    before = asyncio.all_tasks()
    yield
    deadline = loop.time() + 30
    while leaked := [t for t in asyncio.all_tasks() - before if not t.done() and t is not asyncio.current_task()]:
        if loop.time() > deadline:
            pytest.fail(f"leaked tasks: {leaked}")
        await asyncio.sleep(0.01)
    gc.collect()


@pytest.fixture
def display() -> Iterator[str]:
    """Yield the name of a screen that only memory holds."""
    with subprocess.Popen(
        ["Xvfb", "-displayfd", "1", "-screen", "0", "800x800x24", "-nolisten", "tcp"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as screen:
        assert screen.stdout
        yield f":{screen.stdout.readline().decode().strip()}"
        screen.terminate()

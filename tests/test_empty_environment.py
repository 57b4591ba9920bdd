"""The wheel where nothing else is: no torch, no checkout, a new user with an empty home and no variables."""

import asyncio
import os
import shutil
import subprocess
import time
import urllib.error
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks.empty_environment import EmptyEnvironment, empty_environment
from benchmarks.installed_packages import package_sizes
from lipstream.realtime.test_client.call_recording import decode_pictures
from lipstream.realtime.test_client.caller import Caller
from tests.browser.chromium import chromium
from tests.browser.test_sample import LIVE, SPEAKING
from tests.server_process import ROOT, ServerProcess
from tests.sound_files import write_wav
from tests.wheels import NO_INDEX

pytestmark = pytest.mark.timeout(900)
PORTRAIT = ROOT / "tests" / "avatar_cache" / "astronaut.jpg"


@pytest.fixture(scope="module")
def stranger() -> Iterator[EmptyEnvironment]:
    try:
        with empty_environment() as environment:
            yield environment
    except subprocess.CalledProcessError as error:
        if not any(sign in str(error.stderr) + str(error.stdout) for sign in NO_INDEX):
            raise
        if os.environ.get("REQUIRE_SYSTEM") == "1":
            pytest.fail(f"needs a package index: {error.stderr}")
        pytest.skip("needs a package index")


@pytest.fixture(scope="module")
def server(stranger: EmptyEnvironment) -> Iterator[ServerProcess]:
    log = stranger.home.parent / "log"
    server = ServerProcess(
        stranger.home,
        command=tuple(stranger.command("lipstream")),
        cwd=stranger.home,
        log=log,
        options=("--no-browser",),
    )
    server.start()
    yield server
    assert server.stop() == 0
    assert "Traceback" not in log.read_text()


def given(stranger: EmptyEnvironment, source: Path) -> str:
    """Put a file into the stranger's home; return its name."""
    copy = stranger.home / source.name
    shutil.copy(source, copy)
    copy.chmod(0o644)
    return copy.name


def test_there_is_no_torch_and_the_store_is_small(stranger: EmptyEnvironment, server: ServerProcess) -> None:
    done = stranger.run("python", "-c", "import torch")
    assert "No module named 'torch'" in done.stderr
    packages = package_sizes(stranger.folder)
    assert {"openvino", "opencv-python-headless", "av", "numpy", "lipstream"} < {package.name for package in packages}
    assert sum(package.files_mb for package in packages) < 600, packages
    on_disk = sum(
        path.stat().st_size for path in stranger.folder.rglob("*") if path.is_file() and not path.is_symlink()
    )
    assert sum(package.mb for package in packages) == pytest.approx(on_disk / 1e6, rel=1e-3), "nothing is left out"
    store = stranger.home / ".local" / "share" / "lipstream"
    assert [path.name for path in (store / "prepared").iterdir()] == ["ada"], "one avatar, until another is shown"
    assert server.is_ready()


async def test_a_call_shows_a_face(server: ServerProcess) -> None:
    caller = Caller()
    try:
        created = await asyncio.to_thread(
            server.post, "/api/sessions", {"offer": {"sdp": await caller.offer(), "type": "offer"}}
        )
        await caller.accept(created["answer"]["sdp"])
        deadline = time.monotonic() + 120
        while not (pictures := list(decode_pictures(caller.recording.picture.copy()))):
            assert time.monotonic() < deadline, "no picture comes"
            await asyncio.sleep(0.2)
    finally:
        await caller.close()
    assert pictures[0].luma.std() > 10, "a face is no even area"
    await asyncio.to_thread(server.delete, created["urls"]["self"])


@pytest.mark.needs("chromium")
def test_the_page_shows_a_face_that_says_the_sample(server: ServerProcess) -> None:
    with chromium(None, allow_microphone=False) as page:
        page.open(server.url)
        page.until("document.querySelector('[data-avatar] input')")
        page.click("sample")
        page.until(LIVE)
        page.until(SPEAKING)
        page.until("document.getElementById('avatar-video').videoWidth > 0")


def test_another_face_is_prepared_when_it_is_first_shown(stranger: EmptyEnvironment, server: ServerProcess) -> None:
    created, deadline = None, time.monotonic() + 300
    while created is None:
        try:
            created = server.post("/api/sessions", {"avatar": "ben"})
        except urllib.error.HTTPError as error:  # a slow machine's preparation goes on, and the caller comes again
            if error.code != 503 or time.monotonic() > deadline:
                raise
    assert (stranger.home / ".local/share/lipstream/prepared/ben").is_dir()
    server.delete(created["urls"]["self"])


def test_an_avatar_is_built_and_a_film_rendered(stranger: EmptyEnvironment) -> None:
    tone = stranger.home.parent / "tone.wav"
    write_wav(tone, np.zeros(48000, np.float32))
    done = stranger.run("lipstream", "avatar", "build", given(stranger, PORTRAIT), "--id", "me", "--still")
    assert done.returncode == 0, done.stderr
    done = stranger.run("lipstream", "render", "--audio", given(stranger, tone), "--out", "out.mp4", "--avatar", "me")
    assert done.returncode == 0, done.stderr
    assert "25 frames" in done.stdout
    assert (stranger.home / "out.mp4").stat().st_size > 10_000


def test_what_an_extra_brings_is_named_with_the_line_for_a_wheel(stranger: EmptyEnvironment) -> None:
    done = stranger.run("lipstream", "--port", "0", "--device", "cuda", "--store", "other")
    assert done.returncode == 2
    assert done.stderr.endswith("lipstream: device 'cuda' needs torch: pip install 'lipstream[cuda]'\n")
    done = stranger.run(
        "lipstream", "avatar", "build", given(stranger, PORTRAIT), "--id", "x", "--detector", "face-alignment"
    )
    assert done.returncode != 0
    assert "pip install 'lipstream[wav2lip]'" in done.stderr

"""docs/VIDEO_CALL.md and the devices of docs/KIOSK.md, followed on a real sound server: the commands as they are."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lipstream.realtime.sinks.virtual_microphone import MICROPHONE as LIPSTREAM
from tests.realtime.local_audio.sound_server import MICROPHONE, SoundServer, room
from tests.server_process import ROOT, ServerProcess

__all__ = ["room"]

pytestmark = [pytest.mark.needs("sound server", "recorded speech"), pytest.mark.timeout(300)]

KEY = "the key of an operator"


def commands(page: str) -> list[list[str]]:
    """Return the lines of a page's blocks of commands, in words."""
    blocks = re.findall(r"```(\w*)\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)
    return [shlex.split(line) for kind, block in blocks if kind in ("", "sh") for line in block.splitlines()]


def with_words(page: str, *words: str) -> list[str]:
    """Return the page's one command that has some words."""
    (found,) = [command for command in commands(page) if set(words) <= set(" ".join(command).split())]
    return found


@pytest.mark.parametrize("page", ["VIDEO_CALL.md", "KIOSK.md"])
def test_what_a_page_installs_is_what_there_is(page: str) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (wanted,) = re.fullmatch(r"\.\[(.*)\]", with_words(page, "-m", "pip", "install", "-e")[-1]).groups()  # type: ignore[union-attr]
    assert set(wanted.split(",")) <= extras.keys()
    assert "libportaudio2" in (ROOT / "docs" / page).read_text()


def test_who_speaks_on_this_machine_is_heard_as_a_microphone_of_it(
    start_server: Callable[..., ServerProcess], room: SoundServer, speech_wav: Path, tmp_path: Path
) -> None:
    listing = with_words("KIOSK.md", "devices")
    listed = subprocess.run(
        [sys.executable, "-m", "lipstream", *listing[1:]], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert MICROPHONE in listed, "whose name stands in place of the page's `default`, which a test has no say in"

    (tmp_path / "keys").write_text(KEY)
    run = with_words("VIDEO_CALL.md", "--virtual-microphone")
    options = shlex.split(run[-1].removeprefix("ARGS="))
    options[options.index("--local-microphone") + 1] = MICROPHONE
    server = start_server(*options, "--secret-file", str(tmp_path / "keys"))
    server.key = KEY
    deadline = time.monotonic() + 60
    while not (sessions := server.get("/api/sessions")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    url = sessions[0]["urls"]["self"]
    while [one["state"] for one in server.get(url)["devices"] if one["name"] == "virtual microphone"] != ["live"]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    recorder, visitor = room.record(tmp_path / "heard.s16le", LIPSTREAM), room.speak(speech_wav)
    try:
        while loud_s(tmp_path / "heard.s16le") < 1:
            assert time.monotonic() < deadline, server.get(url)
            time.sleep(0.2)
    finally:
        for process in (recorder, visitor):
            process.terminate()
            process.wait(20)
    figures = server.get(url)
    assert figures["frames_rendered"] > 10, "by a mouth that moved"
    (camera,) = [one for one in figures["devices"] if one["name"] == "virtual camera"]
    assert camera["state"] == "live" or " ".join(with_words("VIDEO_CALL.md", "modprobe")) in camera["reason"]

    link = with_words("KIOSK.md", "curl")
    assert shutil.which("curl")
    address = link[-1].replace("https://face.example.org", server.url)
    asked = [part.replace("$KEY", KEY) for part in link[:-1]] + ["-s", address]
    told = subprocess.run(asked, capture_output=True, text=True, check=True, env=os.environ | {"no_proxy": "*"}).stdout
    assert json.loads(told)["expires_in"] > 300 * 24 * 3600, "a year, or nearly"


def loud_s(path: Path) -> float:
    """Return the seconds in which something is heard in a bare recording."""
    sound = np.fromfile(path, "<i2") if path.exists() else np.zeros(0, np.int16)
    blocks = np.abs(sound[: sound.size // 480 * 480].reshape(-1, 480)).max(axis=1)
    return float((blocks > 1000).sum()) / 100

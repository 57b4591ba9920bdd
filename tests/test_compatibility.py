"""Files and options of commit b3fa40a still work, though the modules have moved since.

In ``compatibility`` lie, all made by the code of that commit: a store with an avatar of two frames of the built-in clip
``ada``, which ``python -m avatar_cache build`` made and prepared for the weights file beside it (a network of width
1/16 that hears by ``sliding``); the tokens that its ``Access`` signed with the first of ``keys`` at a time that stands
with them; ``options.toml`` with every option, and in ``settings.json`` what it read there; in ``commands.json`` the
options that each command's ``--help`` named; and its systemd unit.
"""

import dataclasses
import importlib
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from lipstream.avatar_cache.avatar import load_prepared, verify_prepared
from lipstream.avatar_cache.store import AvatarStore
from lipstream.realtime.api.tokens import Role, Tokens
from lipstream.realtime.lipsync.fields import FIELD_BYTES
from lipstream.realtime.lipsync.metadata import Region
from lipstream.realtime.lipsync.weights import load_weights
from lipstream.realtime.settings import Settings, read_settings
from tests.server_process import ROOT, ServerProcess
from tests.sound_files import write_wav

pytestmark = pytest.mark.timeout(300)

MADE = Path(__file__).parent / "compatibility"
PREPARED_FOR = "0b2f187984b6d95b"
COMMANDS: dict[str, list[str]] = json.loads((MADE / "commands.json").read_text())
NAMES = (
    "avatar_cache.store:AvatarStore",
    "realtime.audio.mel:StreamingMel",
    "realtime.audio.mel:mel_spectrogram",
    "realtime.lipsync.network:Wav2Lip",
    "realtime.lipsync.predictor:MouthPredictor",
    "realtime.lipsync.weights:load_weights",
    "realtime.speaker:Speaker",
)


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    """A folder with the store and ``weights.safetensors``."""
    with zipfile.ZipFile(MADE / "store.zip") as packed:
        packed.extractall(tmp_path)
    return tmp_path


def run(*command: str, cwd: Path = ROOT) -> str:
    """Run a command of a checkout; return what it printed."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "100"}
    done = subprocess.run(
        [sys.executable, *command], cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=200
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# The store and the weights


def test_an_avatar_needs_no_new_preparation(unpacked: Path) -> None:
    store = AvatarStore(unpacked / "store")
    assert "before" in [manifest.id for manifest in store.list()]
    store.verify("before")
    avatar = store.load("before")
    assert (avatar.manifest.name, avatar.manifest.loop, avatar.manifest.frames) == ("Before the move", "pingpong", 2)
    assert (avatar.manifest.licence, avatar.manifest.consent) == ("CC0-1.0", "drawn by a program")
    assert len(avatar.manifest.outline) == 15
    assert avatar.is_prepared(PREPARED_FOR)
    verify_prepared(avatar, avatar.prepared_folder(PREPARED_FOR))
    prepared = load_prepared(avatar, PREPARED_FOR)
    width, height = avatar.manifest.size
    assert prepared.frames.shape == (2, height * 3 // 2, width)
    assert prepared.region == Region(48, 96, 12, 84)
    assert prepared.rest_mouths.shape == (2, 48, 72, 3)
    assert prepared.features.crops.shape == (2, 96, 96, 3)
    report = json.loads(store.report("before") or "")
    assert "sharpness" in [line["name"] for line in report["lines"]]
    assert store.preview("before").startswith(b"\xff\xd8")


def test_a_weights_file_with_an_ear_is_read(unpacked: Path) -> None:
    network, metadata = load_weights(unpacked / "weights.safetensors")
    assert (metadata.ear, metadata.head, metadata.width, metadata.size) == ("sliding", "copy", 0.0625, 96)
    assert (metadata.window_offset_samples, metadata.decoded_region) == (-2600, Region(48, 96, 12, 84))
    assert metadata.sha256.startswith(PREPARED_FOR)
    assert network.head == "copy"
    assert not network.training


# Tokens


def test_tokens_open_what_they_opened_for_as_long_as_they_did() -> None:
    made: dict[str, Any] = json.loads((MADE / "tokens.json").read_text())
    tokens, signed_at_s = Tokens.read(MADE / "keys"), made["signed_at_s"]
    assert tokens.role_of(made["operator"], 0.0) is Role.OPERATOR
    for name, good_for_s in (("join", 300), ("kiosk", 366 * 24 * 3600)):
        assert tokens.role_of(made[name], signed_at_s) is Role.GUEST
        assert tokens.role_of(made[name], signed_at_s + good_for_s - 1) is Role.GUEST
        assert tokens.role_of(made[name], signed_at_s + good_for_s + 1) is Role.NOBODY
        assert Tokens(["some other key of the server"]).role_of(made[name], signed_at_s) is Role.NOBODY


# Options


def as_json(settings: Settings) -> dict[str, Any]:
    """Return settings as they stand in ``settings.json``."""
    values = {option.name: getattr(settings, option.name) for option in dataclasses.fields(settings)}
    found: dict[str, Any] = json.loads(json.dumps(values, default=str))
    return found


def as_text(name: str, value: Any) -> str:
    """Return an option's value as a flag or a variable of the environment holds it."""
    match name:
        case "ice_servers":
            return json.dumps(value)
        case "udp_ports":
            return "-".join(map(str, value))
        case "push":
            return " ".join(value)
    return ",".join(value) if isinstance(value, list) else str(value)


def test_each_option_is_read_from_a_file_a_flag_and_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(MADE)  # the files that it names
    expected: dict[str, Any] = json.loads((MADE / "settings.json").read_text())
    assert expected.items() <= as_json(read_settings(["--config", "options.toml"], {})).items()
    texts = {name: as_text(name, value) for name, value in expected.items()}
    environment = {f"LIPSTREAM_{name.upper()}": text for name, text in texts.items()}
    assert expected.items() <= as_json(read_settings([], environment)).items()
    flags = [
        part
        for name, text in texts.items()
        for part in (["--" + name.replace("_", "-")] + ([] if expected[name] is True else [text]))
    ]
    assert expected.items() <= as_json(read_settings(flags, {})).items()


def test_the_unit_starts_the_server(unpacked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its command in its folder, with the store of then; only addresses and paths are this machine's."""
    unit = (MADE / "lipstream.service").read_text()
    (command,) = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    config = unpacked / "lipstream.toml"
    config.write_text('host = "0.0.0.0"\nport = 8080\nallowed_hosts = ["face.example.org"]\nmax_sessions = 4\n')
    places = {
        "/opt/lipstream/.venv/bin/python": sys.executable,
        "${CREDENTIALS_DIRECTORY}": str(MADE),
        "/var/lib/lipstream": str(unpacked / "store"),
        "/etc/lipstream/lipstream.toml": str(config),
    }
    for line in re.findall(r"^Environment=(.*)$", unit, re.MULTILINE):
        for name, value in (setting.split("=") for setting in line.split()):
            monkeypatch.setenv(name, places.get(value, value))
    for name, value in {"AVATAR": "before", "WEIGHTS": str(unpacked / "weights.safetensors")}.items():
        monkeypatch.setenv(f"LIPSTREAM_{name}", value)
    for written, here in places.items():
        command = command.replace(written, here)
    facts = unpacked / "store" / "prepared" / "before" / PREPARED_FOR / "prepared.json"
    made: dict[str, Any] = json.loads((MADE / "tokens.json").read_text())
    server = ServerProcess(unpacked / "store", command=tuple(command.split()), key=made["operator"])
    server.start()
    try:
        session = server.post("/api/sessions", {})
        assert server.get(session["urls"]["self"])["avatar"] == "before"
        assert "token" in server.post("/api/tokens", {})
        server.delete(session["urls"]["self"])
    finally:
        assert server.stop() == 0
    assert json.loads(facts.read_text())["pixel_bytes"] == FIELD_BYTES, "it was prepared again, for mouths of fields"
    AvatarStore(unpacked / "store").verify("before")


# Commands


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_the_options_that_it_had(command: str) -> None:
    shown = run(*command.split(), "--help")
    assert set(COMMANDS[command]) <= set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", shown))


def test_the_shelf_lists_shows_and_verifies_the_avatar(unpacked: Path) -> None:
    shelf = ("-m", "avatar_cache", "--store", str(unpacked / "store"))
    assert re.search(r"^before\b", run(*shelf, "list"), re.MULTILINE)
    assert "drawn by a program" in run(*shelf, "show", "before")
    run(*shelf, "verify", "before")


def test_the_avatar_speaks_in_a_file(unpacked: Path) -> None:
    at = np.arange(48_000) / 48_000
    write_wav(unpacked / "tone.wav", (0.3 * np.sin(2 * np.pi * 200 * at)).astype(np.float32))
    options = ("--store", "store", "--weights", "weights.safetensors", "--avatar", "before", "--device", "cpu")
    shown = run("-m", "realtime.render", "--audio", "tone.wav", "--out", "out.mp4", *options, cwd=unpacked)
    assert "25 frames" in shown
    with av.open(str(unpacked / "out.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 25


# Import paths


@pytest.mark.parametrize("name", NAMES)
def test_each_import_path_gives_one_object_under_both_names(name: str) -> None:
    module, attribute = name.split(":")
    found = getattr(importlib.import_module(module), attribute)
    assert found is getattr(importlib.import_module(f"lipstream.{module}"), attribute)
    assert callable(found)
